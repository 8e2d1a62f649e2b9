"""Blocks of a CAR file, read where they are: nothing is copied, and nothing can be put."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import trio

from sessionctx.blocks.base import inline_block, not_found, turn
from sessionctx.content import CID, Block, CarDecoder, car, carindex, carv2, varint
from sessionctx.errors import (
    CarError,
    CarTruncated,
    HashMismatch,
    StoreClosed,
    StoreCorrupt,
    StoreError,
)


class CarBlockstore:
    """The blocks of one CAR file as a block store that is only read::

        async with CarBlockstore.open("some.car") as blocks:
            node = Node.over(blocks)
            await node.files.export(blocks.roots[0], "./out")

    Where the file has an index (CAR version 2), that says where they are. Otherwise one is made in memory: the file is
    gone through once, and about 100 bytes a block are kept. Each block is hashed whenever it is read.
    """

    def __init__(self, path: Path, data: _Region, roots: tuple[CID, ...], index: carindex.Index) -> None:
        self.path = path
        """The file."""
        self.roots = roots
        """What its header says. A hint: anyone can write anything there."""
        self._data: _Region | None = data
        self._index = index

    @staticmethod
    def open(path: str | os.PathLike[str]) -> AbstractAsyncContextManager[CarBlockstore]:
        """Return an async context manager that opens the file at *path*.

        Raises (on entering):
            StoreError: there is no such file, or it may not be read.
            CarError, CarTruncated: it is no CAR, or its index is damaged; without an index, any of its sections.
        """
        return _open(Path(path))

    async def get(self, cid: CID) -> Block:
        """Return the block; :exc:`BlockNotFound`, or :exc:`StoreCorrupt` if its bytes are not what its name says."""
        await turn("CarBlockstore")
        if (held := inline_block(cid)) is not None:
            return held
        found = self._section(cid)
        if found is None:
            raise not_found(cid, str(self.path))
        try:
            return Block(cid, found)
        except HashMismatch as error:
            raise StoreCorrupt(f"{self.path} is damaged: {error}") from error

    async def has(self, cid: CID) -> bool:
        """Return whether the block is in the file."""
        await turn("CarBlockstore")
        return cid.is_identity or self._section(cid) is not None

    async def put(self, block: Block) -> None:
        """Refuse: :exc:`StoreError`."""
        await self.put_many([block])

    async def put_many(self, blocks: Iterable[Block]) -> None:  # noqa: ARG002
        """Refuse: :exc:`StoreError`."""
        await turn("CarBlockstore")
        raise StoreError(f"{self.path} is only read: nothing can be put into a CAR. Import it into a store first")

    async def sync(self) -> None:
        """Do nothing: nothing is written."""
        await turn("CarBlockstore")

    async def delete(self, cid: CID) -> None:
        """Refuse: :exc:`StoreError`."""
        await turn("CarBlockstore")
        raise StoreError(f"{self.path} is only read: {cid} cannot be deleted from a CAR")

    def close(self) -> None:
        """Read no more; the file is closed by whoever opened it."""
        self._data = None

    def _section(self, cid: CID) -> bytes | None:
        """Return the bytes of a block, unless it is not there."""
        if self._data is None:
            raise StoreClosed(f"{self.path} was closed")
        for offset in self._index.find(cid.multihash):
            named, data = self._read(self._data, offset)
            if named.multihash == cid.multihash:
                return data
        return None

    def _read(self, data: _Region, offset: int) -> tuple[CID, bytes]:
        try:
            start, end = _skip(data, offset)
            section = data[start:end]
            named, length = car.section_name(section, offset)
        except CarError as error:
            raise StoreCorrupt(f"{self.path} is damaged: its index leads to byte {offset}: {error}") from None
        return named, section[length:]


class _Region:
    """A part of a file, sliced like bytes. (A memory map would end the process if somebody cut the file.)"""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd = fd
        self._start = start
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(self._size)
        return os.pread(self._fd, max(stop - start, 0), self._start + start)


@asynccontextmanager
async def _open(path: Path) -> AsyncGenerator[CarBlockstore]:
    await turn("CarBlockstore.open")
    with ExitStack() as stack:
        store = await trio.to_thread.run_sync(_load, path, stack)
        try:
            yield store
        finally:
            store.close()


def _load(path: Path, stack: ExitStack) -> CarBlockstore:
    try:
        file = stack.enter_context(path.open("rb", buffering=0))
        size = os.fstat(file.fileno()).st_size
        whole = _Region(file.fileno(), 0, size)
        header, data = None, whole
        if whole[: len(carv2.PRAGMA)] == carv2.PRAGMA and size >= carv2.BEGINNING:
            header = carv2.decode_header(whole[len(carv2.PRAGMA) : carv2.BEGINNING])
            data = _Region(file.fileno(), header.data_offset, min(header.data_size, max(size - header.data_offset, 0)))
        roots = _roots(data)
        if header is None or not header.index_offset:
            index = carindex.Index(carindex.encode(_sections(data)))
        else:
            index = carindex.Index(_Region(file.fileno(), header.index_offset, max(size - header.index_offset, 0)))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    return CarBlockstore(path, data, roots, index)


def _roots(data: _Region) -> tuple[CID, ...]:
    decoder = CarDecoder()
    decoder.feed(data[: _skip(data, 0)[1]])
    decoder.finish()
    return decoder.roots or ()


def _sections(data: _Region) -> Iterator[tuple[bytes, int]]:
    """Give the multihash of each section, and where it begins, by going from one to the next."""
    at = _skip(data, 0)[1]
    while at < len(data):
        start, end = _skip(data, at)
        cid, _ = car.section_name(data[start : min(end, start + car.MAX_NAME)], at)
        yield cid.multihash, at
        at = end


def _skip(data: _Region, at: int) -> tuple[int, int]:
    """Return where the header or section at *at* begins, behind its length, and where it ends."""
    length, size = car.section_size(data[at : at + varint.MAX_BYTES], at)
    end = at + length + size
    if end > len(data):
        raise CarTruncated(f"the CAR ends within the section at byte {at}")
    return at + length, end

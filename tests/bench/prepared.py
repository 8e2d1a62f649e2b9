"""What the gateways of the benches serve: random content in a CAR file, and the block store that reads it."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

import attrs
import trio

from sessionctx.content import CID, RAW, Block, car, varint
from sessionctx.errors import BlockNotFound

MIB = 1 << 20


class CarBlocks:
    """The blocks of a CAR file, new or prepared: an index in memory, bytes read from the file as they are asked for."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")
        self._places: dict[bytes, tuple[int, int]] = {}
        self.cids: list[CID] = []
        if not path.stat().st_size:
            self._file.write(car.encode_header([]))
            self._file.flush()
        self.end = path.stat().st_size
        self._read_index()

    def _read_index(self) -> None:
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            size, length = varint.decode(view[:10])
            at = size + length
            while at < len(view):
                size, length = varint.decode(view[at : at + 10])
                cid, name = CID.read(view[at + length : at + length + 128])
                at += length + size
                self._keep(cid, at - size + name, size - name)

    def _keep(self, cid: CID, at: int, size: int) -> None:
        self._places[cid.multihash] = (at, size)
        self.cids.append(cid)

    def close(self) -> None:
        self._file.close()

    def place(self, cid: CID) -> tuple[int, int]:
        """Where the bytes of a block begin, and how many they are."""
        return self._places[cid.multihash]

    def read(self, at: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, at)

    async def get(self, cid: CID) -> Block:
        await trio.lowlevel.checkpoint()
        if cid.is_identity:
            return Block.vouched(cid, cid.digest)
        if cid.multihash not in self._places:
            raise BlockNotFound(f"{cid} is not in the CAR")
        return Block.vouched(cid, self.read(*self.place(cid)))

    async def has(self, cid: CID) -> bool:
        await trio.lowlevel.checkpoint()
        return cid.is_identity or cid.multihash in self._places

    async def put(self, block: Block) -> None:
        await self.put_many([block])

    async def put_many(self, blocks) -> None:
        await trio.lowlevel.checkpoint()
        for block in blocks:
            if block.cid.multihash not in self._places:
                section = car.encode_section(block.cid, block.data)
                self._file.write(section)
                self.end += len(section)
                self._keep(block.cid, self.end - len(block.data), len(block.data))
        self._file.flush()

    async def sync(self) -> None:
        await trio.lowlevel.checkpoint()


@attrs.frozen
class Content:
    """A prepared CAR, depth first where it is a DAG."""

    car: Path
    root: str
    """Empty for blocks that nothing links."""
    leaves: list[str]
    """The CIDs of the raw blocks."""
    size: int
    """Bytes of all that was added."""
    digest: str = ""
    """The sha256 of a file."""


def random_file(folder: Path, size: int) -> Content:
    """One file of random bytes, in chunks of 1 MiB."""
    digest = hashlib.sha256()

    async def pieces():
        for at in range(0, size, MIB):
            piece = os.urandom(min(MIB, size - at))
            digest.update(piece)
            yield piece

    content = _added(folder, pieces, size)
    return attrs.evolve(content, digest=digest.hexdigest())


def random_folder(folder: Path, count: int, size: int) -> Content:
    """A folder of *count* files of *size* random bytes."""
    source = folder / "source"
    source.mkdir()
    for number in range(count):
        (source / f"{number:06}").write_bytes(os.urandom(size))
    return _added(folder, lambda: source, count * size)


def random_blocks(folder: Path, count: int, size: int) -> Content:
    """Raw blocks of random bytes."""
    blocks = [Block.of(os.urandom(size)) for _ in range(count)]
    store = CarBlocks(folder / "content.car")
    trio.run(store.put_many, blocks)
    store.close()
    return Content(folder / "content.car", "", [str(block.cid) for block in blocks], count * size)


def _added(folder: Path, source, size: int) -> Content:
    from sessionctx.dag import Dag, Files

    async def main() -> CID:
        root = (await Files(store).add(source())).cid
        await Dag(store).export_car(root, folder / "content.car")
        return root

    store = CarBlocks(folder / "added.car")
    root = trio.run(main)
    store.close()
    (folder / "added.car").unlink()
    leaves = [str(cid) for cid in store.cids if cid.codec == RAW]
    return Content(folder / "content.car", str(root), leaves, size)

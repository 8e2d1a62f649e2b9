"""Blocks on the disk, in an SQLite file, the large ones in a file beside it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

import trio

from sessionctx.blocks import faults, schema, work
from sessionctx.blocks.base import StoreStatistics, batches, inline_block, not_found, turn
from sessionctx.blocks.bound import Bound
from sessionctx.blocks.garbage import GRACE, Collected, collect
from sessionctx.blocks.heap import Heap
from sessionctx.blocks.pins import Pins
from sessionctx.blocks.readers import Readers
from sessionctx.blocks.scan import Audit, BadBlock, CIDs, drop
from sessionctx.blocks.uses import Uses
from sessionctx.blocks.writer import Ticket, Writer
from sessionctx.content import CID, Block
from sessionctx.errors import HashMismatch, StoreClosed, StoreCorrupt, StoreError
from sessionctx.session import require_trio

_GET: Final = "SELECT data, at, size, id FROM blocks WHERE multihash = ?"
_HAS: Final = "SELECT 1 FROM blocks WHERE multihash = ?"
_APART: Final = 512 * 1024
"""Bytes from which a block is read by another thread: less takes no longer than to hand it over, a tenth of a ms."""
_PAUSES: Final = (0.001, 0.01, 0.1, 0.5, 1.0, 3.0)
"""Seconds between the attempts to read while another process repairs the file after a crash."""


class DiskBlockstore:
    """Keeps blocks in a file, until they are deleted. A `Blockstore`::

        async with DiskBlockstore.open("data/blocks.sqlite3") as store:
            await store.put(block)

    **What is kept.** `put` returns when the block is committed: it outlives the process, even if that is killed at
    this moment, and the file is never corrupt. After a *power failure* the last seconds may be missing unless `sync`
    was awaited, or the store left in good order. Blocks put at the same time by many tasks are committed together.

    **Many processes** may have one store open, on a local disk (not on a network share).

    **Reading** is done at once in the trio thread, which is quicker than handing it to another, but for blocks of half
    a MiB and more: several of them are read and hashed at a time, while the trio thread does other things. Each block
    that comes out is hashed again: a disk may lie, too. `verify` does that for the whole store.

    Errors: :exc:`~sessionctx.errors.StoreFull` when the disk or the store is full (it remains usable),
    :exc:`~sessionctx.errors.StoreCorrupt`, :exc:`~sessionctx.errors.StoreClosed`, and
    :exc:`~sessionctx.errors.StoreError` for everything else.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection, bound: Bound | None) -> None:
        """Not for callers: use `open`."""
        self.path = path
        """The store's file, as it was given."""
        self._connection = writer
        self._reader = reader
        self._heap = Heap(path)
        self._bound = bound
        self._writer = Writer(writer, path, self._heap, bound)
        self._readers = Readers()
        self._uses = Uses(self._writer)
        self._closed = False
        self.pins = Pins(path, self._writer, self._check)
        """The names whose blocks `gc` keeps."""

    @staticmethod
    def open(
        path: str | os.PathLike[str], *, max_bytes: int | None = None, grace: float = GRACE
    ) -> AbstractAsyncContextManager[DiskBlockstore]:
        """Return an async context manager: ``async with`` opens the store and closes it again.

        *path* is the store's file. If there is none it is made, with the folders above it. Its large blocks are in
        another beside it, with ``-data`` behind its name. (SQLite keeps two more there while it is open, with ``-wal``
        and ``-shm``; move all four or none.)

        Closing waits for what is being written, and puts everything in order. If the block is left by an exception,
        it does not tidy up, so as to be quick (Ctrl-C); nothing is lost, the next opening does it.

        Args:
            path: the store's file.
            max_bytes: of blocks that the store may hold. What this process puts does not carry it above: blocks that
                no pin leads to are evicted, the least recently used first. Every process has its own word on that.
            grace: seconds; what was put within them is not evicted, nor what was put during a hold that still is.
                (What `cache` was given may go at any time.)

        Raises (when entered):
            NotAStore: *path* is something else: a folder, another file. It is left as it is.
            StoreCorrupt: it is a store, and damaged.
            StoreError: it cannot be opened, for the reason given; StoreFull: there is no room to make it.
        """
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"a store cannot hold less than nothing: max_bytes={max_bytes}")
        path = Path(path)
        return _Opening(path, None if max_bytes is None else Bound(path, max_bytes, grace))

    async def get(self, cid: CID) -> Block:
        """Return the block, verified; :exc:`~sessionctx.errors.BlockNotFound`.

        :exc:`~sessionctx.errors.StoreCorrupt` if the disk has damaged it, or somebody has changed it.
        """
        if (inline := inline_block(cid)) is not None:
            await turn("DiskBlockstore.get")
            return inline
        row = await self._read(_GET, cid)
        if row is None:
            raise not_found(cid, str(self.path))
        _, at, size, number = row
        try:
            if isinstance(size, int) and size >= _APART:
                block = await self._readers.run(self._block, cid, row)
            else:
                block = self._block(cid, row)
        except HashMismatch as error:
            if at is not None and await self._read(_GET, cid) != row:
                return await self.get(cid)  # it was deleted meanwhile, and its room used again
            raise StoreCorrupt(
                f"{self.path} is damaged: what it holds for {cid} does not match. Delete that block, fetch it again"
            ) from error
        if isinstance(number, int):
            self._uses.note(number)
        return block

    async def has(self, cid: CID) -> bool:
        """Return whether the block is kept."""
        return await self._read(_HAS, cid) is not None or cid.is_identity  # which is never kept, and always there

    async def put(self, block: Block) -> None:
        """Keep the block, and return when it is committed; :exc:`~sessionctx.errors.StoreFull`."""
        await self.put_many((block,))

    async def put_many(self, blocks: Iterable[Block]) -> None:
        """Keep all of them, and return when all are committed; :exc:`~sessionctx.errors.StoreFull`.

        They are taken and committed batch by batch (8 MiB), the next one being taken while one is written, so *blocks*
        may be an iterator over more than fits into memory.
        """
        await turn("DiskBlockstore.put_many")
        await self._put(blocks, work.insert)

    async def cache(self, blocks: Iterable[Block]) -> None:
        """Keep copies of blocks that others have: as `put_many`, but for that they are evicted before what was put.

        With no *max_bytes* given, there is no difference.
        """
        await turn("DiskBlockstore.cache")
        await self._put(blocks, work.insert_copies)

    async def _put(self, blocks: Iterable[Block], insert: Callable[..., tuple[int, int]]) -> None:
        before: Ticket | None = None
        for batch in batches(block for block in blocks if not block.cid.is_identity):
            self._check()
            size = sum(len(block.data) for block in batch)
            if self._bound is not None:
                self._uses.flush()
            ticket = await self._writer.submit(partial(insert, batch, self._heap), blocks=len(batch), size=size)
            if before is not None:
                await self._writer.wait(before)
            before = ticket
        self._check()
        if before is not None:
            await self._writer.wait(before)

    async def delete(self, cid: CID) -> None:
        """Stop keeping the block; its room in the file is used again."""
        self._check()
        await self._writer.do(partial(work.delete, cid.multihash))

    async def sync(self) -> None:
        """Return when everything that was put or deleted before is safe from power failures, too."""
        self._check()
        await self._writer.do(work.nothing, durable=True)

    def statistics(self) -> StoreStatistics:
        """Return how much is kept now."""
        self._check()
        try:
            blocks, size = self._reader.execute("SELECT blocks, bytes FROM totals").fetchone()
            return StoreStatistics(blocks=blocks, bytes=size, file_bytes=schema.file_bytes(self.path))
        except faults.ERRORS as error:
            raise faults.explain(error, self.path) from error
        except OSError as error:
            raise StoreError(f"{self.path} is gone: {error.strerror}. What is put from now on will be lost") from error

    def cids(self) -> CIDs:
        """Return an async iterator over the name of every block, as raw CIDs of version 1 (codecs are not kept).

        It holds nothing open and little in memory. What is put or deleted meanwhile may or may not appear.
        """
        return CIDs(self.path, self._check)

    def verify(self) -> Audit:
        """Return an async iterator that reads and hashes every block and yields a `BadBlock` for each that is bad."""
        return Audit(self.path, self._check)

    async def drop(self, bad: BadBlock) -> None:
        """Delete what `verify` found, unless somebody has put the block again, and it is good now."""
        await turn("DiskBlockstore.drop")
        self._check()
        await self._writer.do(partial(drop, bad.multihash, self.path))

    async def gc(
        self, *, grace: float = GRACE, max_bytes: int | None = None, everything: bool = False, dry_run: bool = False
    ) -> Collected:
        """Delete what no pin leads to, and give the room back; `sessionctx.blocks.garbage` has the law.

        Safe beside other tasks and processes. It may be cancelled at any time; what is deleted by then is deleted.

        Args:
            grace: seconds; what was put within them stays.
            max_bytes: of blocks that the store may go on to hold: it is done when there are no more. What was used
                least recently goes first. Default: all goes that may.
            everything: go on where nothing is pinned.
            dry_run: delete nothing, and report what would be.

        Raises:
            NothingPinned: all of the store would go, and neither *everything* nor *max_bytes* says that it shall.
            StoreCorrupt: a block that a pin leads to is damaged, so that its links cannot be known. Nothing is deleted.
        """
        await turn("DiskBlockstore.gc")
        self._check()
        self._uses.flush()
        return await collect(self.path, self._writer, grace, max_bytes, everything=everything, dry_run=dry_run)

    async def aclose(self, *, hurry: bool = False) -> None:
        """Close the store, as leaving ``async with`` does. With *hurry*, leave the tidying to the next opening."""
        self._closed = True
        if not hurry:
            self._uses.flush()
        self._writer.stop(hurry=hurry)
        with trio.CancelScope(shield=True):
            await self._readers.wait_all_done()
            await trio.to_thread.run_sync(self._shut, hurry, limiter=trio.CapacityLimiter(1))

    async def _read(self, query: str, cid: CID) -> tuple[object, ...] | None:
        await turn("DiskBlockstore")
        for pause in (*_PAUSES, None):
            self._check()
            try:
                row: tuple[object, ...] | None = self._reader.execute(query, (cid.multihash,)).fetchone()
            except faults.ERRORS as error:
                if pause is None or faults.code(error) != faults.BUSY:
                    raise faults.explain(error, self.path) from error
            else:
                return row
            await trio.sleep(pause)
        raise AssertionError

    def _block(self, cid: CID, row: tuple[object, ...]) -> Block:
        """Make the block out of its *row*, and hash it. Any thread."""
        data, at, size, _ = row
        if isinstance(at, int) and isinstance(size, int):
            data = self._heap.read(at, size)
        if not isinstance(data, bytes):
            raise StoreCorrupt(
                f"{self.path} is damaged: it holds no bytes for {cid}. Delete that block, fetch it again"
            )
        return Block(cid, data)

    def _check(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self.path} was closed; open it again with DiskBlockstore.open, and use it inside")

    def _shut(self, hurry: bool) -> None:  # noqa: FBT001
        self._writer.join()
        # The last connection to close copies the log into the file. One for reading only cannot, and leaves it.
        order = (self._connection, self._reader) if hurry else (self._reader, self._connection)
        for connection in order:
            connection.close()
        self._heap.close()


class _Opening(AbstractAsyncContextManager[DiskBlockstore]):
    """``async with DiskBlockstore.open(path)``. A class, not a generator, to be safe from Ctrl-C at any moment."""

    def __init__(self, path: Path, bound: Bound | None) -> None:
        self._path = path
        self._bound = bound
        self._open: list[DiskBlockstore] = []

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> DiskBlockstore:
        require_trio("DiskBlockstore.open")
        store = DiskBlockstore(self._path, *await trio.to_thread.run_sync(schema.open_store, self._path), self._bound)
        self._open.append(store)
        return store

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.pop().aclose(hurry=error is not None)

"""Going through a whole store on disk: its names, and whether its blocks are what they are called.

Each step runs in a worker thread, over a connection of its own which is open for that step only. So nothing is held
between steps: a loop that is left early leaves nothing behind, and no snapshot keeps the log from being cleared.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Self

import attrs
import trio

from sessionctx.blocks import schema
from sessionctx.blocks.base import BATCH_BYTES, turn
from sessionctx.blocks.faults import ERRORS, explain
from sessionctx.blocks.heap import Heap
from sessionctx.content import CID, RAW, verify
from sessionctx.errors import InvalidCID, SessionctxError, StoreCorrupt

_KEYS: Final = "SELECT multihash FROM blocks WHERE multihash > ? ORDER BY multihash LIMIT ?"  # reads the index alone
_DATA: Final = "SELECT data, at, size FROM blocks WHERE multihash = ?"
_PAGE: Final = 4096
_AUDIT_PAGE: Final = 256


class CIDs(AsyncIterator[CID]):
    """The names of all blocks of a store, in the order of their multihashes. See `DiskBlockstore.cids`.

    :exc:`~sessionctx.errors.StoreCorrupt` where the list cannot be read; :exc:`~sessionctx.errors.StoreClosed`.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self._path = path
        self._check = check
        self._last = b""
        self._page: deque[bytes] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CID:
        await turn("DiskBlockstore.cids")
        self._check()
        if not self._page:
            self._page.extend(await trio.to_thread.run_sync(_keys, self._path, self._last, _PAGE))
        if not self._page:
            raise StopAsyncIteration
        self._last = self._page.popleft()
        try:
            return CID.new(1, RAW, self._last)
        except InvalidCID as error:
            raise StoreCorrupt(
                f"{self._path} is damaged: a block is called {self._last.hex()}, which is no name"
            ) from error


@attrs.frozen
class BadBlock:
    """A block whose bytes are damaged. Delete it (``store.delete(bad.cid)``) and put it again."""

    multihash: bytes
    """The name under which it is kept."""
    why: str
    """What is wrong with it."""

    @property
    def cid(self) -> CID:
        """Its name as a raw CID; :exc:`~sessionctx.errors.InvalidCID` if it is the name that is damaged."""
        return CID.new(1, RAW, self.multihash)


class Audit(AsyncIterator[BadBlock]):
    """Reads and hashes all blocks of a store, and yields the bad ones. See `DiskBlockstore.verify`.

    :exc:`~sessionctx.errors.StoreCorrupt` where the store is so damaged that its blocks cannot be listed;
    :exc:`~sessionctx.errors.StoreClosed`.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self.blocks = 0
        """How many blocks were read so far, good and bad."""
        self.bytes = 0
        """How many bytes were hashed so far."""
        self._path = path
        self._check = check
        self._last = b""
        self._bad: deque[BadBlock] = deque()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BadBlock:
        await turn("DiskBlockstore.verify")
        while not self._bad:
            if self._ended:
                raise StopAsyncIteration
            self._check()
            self._note(await trio.to_thread.run_sync(_inspect, self._path, self._last))
        return self._bad.popleft()

    def _note(self, seen: list[_Seen]) -> None:
        self._ended = not seen
        for block in seen:
            self._last = block.key
            self.blocks += not block.gone
            self.bytes += block.size
            if block.fault:
                self._bad.append(BadBlock(block.key, block.fault))


@attrs.frozen
class _Seen:
    key: bytes
    size: int = 0
    fault: str = ""
    gone: bool = False  # deleted since the list was made


@contextmanager
def _reading(path: Path) -> Generator[sqlite3.Connection, None, None]:
    try:
        with closing(schema.connect(path, "ro", patience=schema.PATIENCE)) as connection:
            yield connection
    except ERRORS as error:
        raise explain(error, path) from error


def _keys(path: Path, last: bytes, limit: int) -> list[bytes]:
    """Return the next multihashes behind *last*."""
    with _reading(path) as connection:
        return [key for (key,) in connection.execute(_KEYS, (last, limit))]


def _inspect(path: Path, last: bytes) -> list[_Seen]:
    """Check the next blocks, about 8 MiB. Nothing means that this is the end."""
    seen: list[_Seen] = []
    size = 0
    with _reading(path) as connection, closing(Heap(path)) as heap:
        for key in _keys(path, last, _AUDIT_PAGE):
            seen.append(_look(connection, heap, key))
            size += seen[-1].size
            if size >= BATCH_BYTES:
                break
    return seen


def _look(connection: sqlite3.Connection, heap: Heap, key: bytes) -> _Seen:
    try:
        row = connection.execute(_DATA, (key,)).fetchone()
    except ERRORS as error:
        return _Seen(key, fault=f"cannot be read: {error}")
    if row is None:
        return _Seen(key, gone=True)
    seen = _check(key, row, heap)
    if seen.fault and row[1] is not None and connection.execute(_DATA, (key,)).fetchone() != row:
        return _Seen(key, gone=True)  # deleted meanwhile, and its room used again
    return seen


def _check(key: bytes, row: tuple[object, int | None, int], heap: Heap) -> _Seen:
    data, at, size = row
    try:
        data = data if at is None else heap.read(at, size)
    except StoreCorrupt as error:
        return _Seen(key, fault=str(error))
    if not isinstance(data, bytes):
        return _Seen(key, fault="is no bytes")
    try:
        verify(CID.new(1, RAW, key), data)
    except SessionctxError as error:
        return _Seen(key, len(data), str(error))
    return _Seen(key, len(data))


def drop(key: bytes, path: Path, connection: sqlite3.Connection) -> tuple[int, int]:
    """Delete the block if it is bad still, in a transaction, so that nobody's good one goes; return the growth."""
    with closing(Heap(path)) as heap:
        seen = _look(connection, heap, key)
    if not seen.fault:
        return 0, 0
    row = connection.execute("SELECT coalesce(size, length(data)) FROM blocks WHERE multihash = ?", (key,)).fetchone()
    connection.execute("DELETE FROM blocks WHERE multihash = ?", (key,))
    return -1, -row[0]

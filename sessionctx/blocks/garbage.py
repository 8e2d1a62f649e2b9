"""Collecting garbage: what no pin leads to goes. (The module ``gc`` is Python's own.)

**The law.** A collection never deletes a block

1. to which a pin leads through blocks that are in the store at the moment of deletion; so a root may be pinned, and
   missing blocks may come, while it runs;
2. which was put (again, or for the first time) later than *grace* seconds before the collection began;
3. which was put since the beginning of a hold (`Pins.hold`) that was there when the collection began.

So an import is safe if it takes less than the grace period, or holds, and pins its root before it lets go. Having read
a block, or having asked for it with `has`, keeps nothing. Times are those of the system's clock.

**How.** All is done by the writer's thread in short steps, each inside a transaction, so nobody writes within a step,
and others write between two. Marks are in a temporary table, which SQLite keeps in a file when it grows. Before a step
deletes, it looks whether there are pins that were not marked, or blocks that were marked as missing and have come, and
if so has these marked first; this makes the first part of the law true.
"""

from __future__ import annotations

import secrets
import sqlite3
import sys
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from sessionctx.blocks.heap import Heap
from sessionctx.blocks.writer import Writer
from sessionctx.content import CBOR, CID, JSON, RAW, Block, links
from sessionctx.errors import DecodeError, HashMismatch, StoreClosed, StoreCorrupt, Unsupported

GRACE: Final = 3600.0
"""Seconds for which a block stays that was put, pinned or not."""

_STEP_BLOCKS: Final = 256
_STEP_SECONDS: Final = 0.02  # for so long others may have to wait for a step
_TODO, _MISSING = 0, 1  # of what is done it is NULL, and not in the index
_SINCE: Final = "SELECT min(since) FROM holds WHERE until > ?"
_BLOCK: Final = "SELECT data, at, size FROM blocks WHERE multihash = ?"
_CANDIDATES: Final = """SELECT id, multihash, coalesce(size, length(data)) FROM blocks
    WHERE id > ? ORDER BY id LIMIT ?"""
_RECENT: Final = "SELECT 1 FROM recent WHERE id = ? AND put >= ?"


@attrs.frozen
class Collected:
    """What a collection has deleted, or would have."""

    blocks: int
    """How many blocks."""
    bytes: int
    """Their bytes."""


@attrs.frozen
class _Place:
    """How far a collection has come."""

    pins: int = 0  # the last pin that was marked
    puts: int = -1  # what the store said last of how often something was put
    row: int = 0  # the last row that was looked at
    blocks: int = 0
    bytes: int = 0
    ended: bool = False


class Collection:
    """One run of the collector; see `DiskBlockstore.gc`."""

    def __init__(self, path: Path, writer: Writer, *, grace: float, room: int, dry_run: bool) -> None:
        self._path = path
        self._writer = writer
        self._dry_run = dry_run
        self._room = room
        self._before = time.time() - grace
        self._marks = f"temp.marks_{secrets.token_hex(4)}"
        self._place = self._next = _Place()  # a step may be tried twice: it counts once it is committed

    async def run(self) -> Collected:
        """Mark and sweep."""
        try:
            await self._writer.do(self._begin)
            while not self._place.ended:
                await self._writer.do(self._step)
                self._place = self._next
            if not self._dry_run:
                await self._writer.do(_nothing, durable=True)  # only then is the room free
                await self._writer.do(partial(_cut, self._path))
        finally:
            with trio.CancelScope(shield=True), suppress(StoreClosed):
                await self._writer.do(self._end)
        return Collected(self._place.blocks, self._place.bytes)

    # --- in the writer's thread

    def _begin(self, connection: sqlite3.Connection) -> tuple[int, int]:
        held = connection.execute(_SINCE, (time.time(),)).fetchone()[0]
        self._before = min(self._before, time.time() if held is None else held)
        columns = "multihash BLOB, codec INTEGER, state INTEGER, PRIMARY KEY (multihash, codec)"
        connection.execute(f"CREATE TABLE {self._marks} ({columns}) WITHOUT ROWID")
        index = self._marks + "_state"
        connection.execute(
            f"CREATE INDEX {index} ON {self._marks.removeprefix('temp.')} (state) WHERE state IS NOT NULL"
        )
        return 0, 0

    def _end(self, connection: sqlite3.Connection) -> tuple[int, int]:
        connection.execute(f"DROP TABLE IF EXISTS {self._marks}")
        return 0, 0

    def _step(self, connection: sqlite3.Connection) -> tuple[int, int]:
        self._next = self._place
        self._find_new(connection)
        if self._mark(connection):
            return 0, 0
        return self._sweep(connection)

    def _find_new(self, connection: sqlite3.Connection) -> None:
        """Put pins that are new, and blocks that have come since they were missed, on the list."""
        pins = connection.execute("SELECT id, cid FROM pins WHERE id > ? ORDER BY id LIMIT 4096", (self._place.pins,))
        for number, cid in pins.fetchall():
            self._note(connection, [CID.from_bytes(cid)])
            self._next = attrs.evolve(self._next, pins=number)
        (puts,) = connection.execute("SELECT puts FROM totals").fetchone()
        if puts == self._place.puts:
            return
        self._next = attrs.evolve(self._next, puts=puts)
        connection.execute(
            f"UPDATE {self._marks} SET state = {_TODO} WHERE state = {_MISSING}"  # noqa: S608
            f" AND EXISTS (SELECT 1 FROM blocks WHERE blocks.multihash = {self._marks.removeprefix('temp.')}.multihash)"
        )

    def _note(self, connection: sqlite3.Connection, cids: list[CID]) -> None:
        connection.executemany(
            f"INSERT OR IGNORE INTO {self._marks} VALUES (?, ?, {_TODO})",  # noqa: S608
            ((cid.multihash, cid.codec) for cid in cids),
        )

    def _mark(self, connection: sqlite3.Connection) -> bool:
        """Follow the links of some blocks; return whether there were any to follow."""
        todo = f"SELECT multihash, codec FROM {self._marks} WHERE state = {_TODO} LIMIT {_STEP_BLOCKS}"  # noqa: S608
        rows = connection.execute(todo).fetchall()
        latest = time.monotonic() + _STEP_SECONDS
        with closing(Heap(self._path)) as heap:
            for multihash, codec in rows:
                found = self._links(connection, heap, CID.new(1, codec, multihash))
                self._note(connection, found or [])
                state = _MISSING if found is None else None
                values = (state, multihash, codec)
                connection.execute(
                    f"UPDATE {self._marks} SET state = ? WHERE multihash = ? AND codec = ?",  # noqa: S608
                    values,
                )
                if time.monotonic() > latest:
                    break
        return bool(rows)

    def _links(self, connection: sqlite3.Connection, heap: Heap, cid: CID) -> list[CID] | None:
        """Return what a block links to; nothing where that cannot be read, and ``None`` if it is not here."""
        if cid.codec in (RAW, CBOR, JSON):
            return []
        data = cid.digest
        if not cid.is_identity:
            row = connection.execute(_BLOCK, (cid.multihash,)).fetchone()
            if row is None:
                return None
            data = row[0] if row[1] is None else heap.read(row[1], row[2])
        try:
            return links(cid.codec, Block(cid, data).data)
        except (DecodeError, Unsupported):
            return []  # the bytes are what they are called, and nobody here can follow them
        except HashMismatch as error:
            raise StoreCorrupt(
                f"{self._path} is damaged: {cid}, which a pin leads to, does not match; nothing more is deleted. "
                "Delete that block, fetch it again"
            ) from error

    def _sweep(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Delete some of what is neither marked nor recent; all that there is to mark is marked."""
        blocks = size = 0
        latest = time.monotonic() + _STEP_SECONDS
        last = self._place.row
        excess = self._excess(connection)
        rows = connection.execute(_CANDIDATES, (last, _STEP_BLOCKS)).fetchall() if excess > 0 else []
        for last, multihash, length in rows:
            if size < excess and self._garbage(connection, last, multihash):
                blocks, size = blocks + 1, size + length
                if not self._dry_run:
                    connection.execute("DELETE FROM blocks WHERE id = ?", (last,))
            if time.monotonic() > latest:
                break
        self._next = attrs.evolve(
            self._next, row=last, blocks=self._next.blocks + blocks, bytes=self._next.bytes + size, ended=not rows
        )
        return (0, 0) if self._dry_run else (-blocks, -size)

    def _excess(self, connection: sqlite3.Connection) -> int:
        """Return how many bytes the store holds above the room that it may take, or would after a real run."""
        (held,) = connection.execute("SELECT bytes FROM totals").fetchone()
        if self._room == 0:
            return sys.maxsize  # blocks without bytes go, too
        return int(held) - self._room - (self._place.bytes if self._dry_run else 0)

    def _garbage(self, connection: sqlite3.Connection, row: int, multihash: bytes) -> bool:
        marked = f"SELECT 1 FROM {self._marks} WHERE multihash = ?"  # noqa: S608
        recent = connection.execute(_RECENT, (row, self._before)).fetchone()
        return not recent and not connection.execute(marked, (multihash,)).fetchone()


def _nothing(_: sqlite3.Connection) -> tuple[int, int]:
    return 0, 0


def _cut(path: Path, connection: sqlite3.Connection) -> tuple[int, int]:
    with closing(Heap(path)) as heap:
        heap.cut(connection)
    return 0, 0

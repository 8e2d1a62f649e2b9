"""Making room in a store: which blocks go, and in which order. Collecting garbage and keeping below a size both do it.

Blocks that no pin leads to stand in two lines (`marks` puts them there). In the free one stands what may go, whatever
was used least recently first. In the other one stands what was put here; it changes to the free line when it was put
long enough ago. So what may not go, pinned or young, is not gone through each time.

The places in line are corrected only when their turn comes, if a block was put again meanwhile: so a put need not.
Using a block moves it, and notes of that come a little late (see `uses`): a block may go up to `uses.RESOLUTION` too
early against others.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path
from typing import Final

import attrs

from sessionctx.blocks import marks

_SINCE: Final = "SELECT min(since) FROM holds WHERE until > ?"
_OWN: Final = f"""SELECT uses.id, uses.at, put FROM uses LEFT JOIN recent USING (id)
    WHERE line = {marks.OWN} AND (uses.at, uses.id) > (?, ?) AND uses.at < ? ORDER BY uses.at, uses.id LIMIT ?"""  # noqa: S608
_FREE: Final = f"""SELECT uses.id, uses.at, put, fetched, coalesce(size, length(data))
    FROM uses CROSS JOIN blocks USING (id) LEFT JOIN recent USING (id)
    WHERE line = {marks.FREE} AND (uses.at, uses.id) > (?, ?) ORDER BY uses.at, uses.id LIMIT ?"""  # noqa: S608
_MOVE: Final = "UPDATE uses SET line = ?, at = ? WHERE id = ?"


@attrs.frozen
class Place:
    """How far a sweep has come."""

    blocks: int = 0
    """How many blocks have gone."""
    bytes: int = 0
    """Their bytes."""
    own: tuple[float, int] = (-1.0, 0)
    """The last one that was looked at in the line of what was put here: when it was used, and its row."""
    free: tuple[float, int] = (-1.0, 0)
    """The same in the free line."""
    ended: bool = False
    """Whether it is done: there is room, or nothing more may go."""


class Sweep:
    """Deletes blocks, the least recently used first, until the store holds at most *max_bytes*; 0 for all that may go.

    What was put within *grace* seconds before it began, or since the beginning of a hold that was there then, stays.
    One that is *thorough* looks at everything that might go, and leaves what was fetched then, too.
    """

    def __init__(
        self, path: Path, *, grace: float, max_bytes: int, thorough: bool = False, dry_run: bool = False
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._dry_run = dry_run
        self._thorough = thorough
        self._before = time.time() - grace
        self._place = self._next = Place()  # a step may be tried twice: it counts once it is committed
        self._begun = False

    @property
    def place(self) -> Place:
        """How far it has come, with the last step that `settle` was called for."""
        return self._place

    def settle(self) -> None:
        """Count the last step, which is committed."""
        self._place = self._next

    def step(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Do a step inside a transaction; return by how many blocks and bytes the store has grown. StoreCorrupt."""
        self._next = self._place
        if not self._begun:
            held = connection.execute(_SINCE, (time.time(),)).fetchone()[0]
            self._before = self._before if held is None else min(self._before, held)
            self._begun = True
        if marks.advance(connection, self._path) or self._set_free(connection):
            return 0, 0
        return self._evict(connection)

    def _set_free(self, connection: sqlite3.Connection) -> bool:
        """Let some of what was put long enough ago change to the free line; return whether there was anything."""
        before = sys.float_info.max if self._thorough else self._before
        rows = connection.execute(_OWN, (*self._place.own, before, marks.STEP_BLOCKS)).fetchall()
        for row, at, put in rows:
            self._next = attrs.evolve(self._next, own=(at, row))
            if put is None or put < self._before:
                connection.execute(_MOVE, (marks.FREE, at if put is None else max(at, put), row))
            elif put > at:
                connection.execute(_MOVE, (marks.OWN, put, row))
        return bool(rows)

    def _evict(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Delete some blocks; all that there is to mark is marked."""
        blocks = size = 0
        latest = time.monotonic() + marks.STEP_SECONDS
        excess, free = self._excess(connection), self._place.free
        rows = connection.execute(_FREE, (*free, marks.STEP_BLOCKS)).fetchall() if excess > 0 else []
        for row, at, put, fetched, length in rows:
            free = at, row
            if put is not None and put > at:  # it was put again
                connection.execute(_MOVE, (marks.FREE if put < self._before else marks.OWN, put, row))
                if put <= rows[-1][1]:
                    break  # its turn comes within these
            elif put is not None and put >= self._before:
                connection.execute(_MOVE, (marks.OWN, at, row))
            elif not (self._thorough and fetched is not None and fetched >= self._before):
                blocks, size = blocks + 1, size + length
                if not self._dry_run:
                    connection.execute("DELETE FROM blocks WHERE id = ?", (row,))
            if size >= excess or time.monotonic() > latest:
                break
        gone, gone_bytes = self._next.blocks + blocks, self._next.bytes + size
        self._next = attrs.evolve(self._next, blocks=gone, bytes=gone_bytes, free=free, ended=not rows)
        return (0, 0) if self._dry_run else (-blocks, -size)

    def _excess(self, connection: sqlite3.Connection) -> int:
        """Return how many bytes the store holds above what it may hold, or would after a real run."""
        (held,) = connection.execute("SELECT bytes FROM totals").fetchone()
        if self._max_bytes == 0:
            return sys.maxsize  # blocks without bytes go, too
        return int(held) - self._max_bytes - (self._place.bytes if self._dry_run else 0)

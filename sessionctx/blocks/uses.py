"""Noting which blocks are read, so that those which nobody reads go first when room is made.

A note costs a reader next to nothing: the rows are collected in memory, and handed to the writer in one go, now and
then. Nobody waits for that. The time that is kept of a block is at most `RESOLUTION` before it was read last.
Notes are hints: what could not be written, or was not when the process was killed, is forgotten.
"""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import Final

from sessionctx.blocks.writer import Ticket, Writer

RESOLUTION: Final = 60.0
"""Seconds by which the time that is kept of a block may be too early: half for collecting, half for not writing."""
MANY: Final = 16 * 1024
"""How many rows are collected at most."""

_USED: Final = """INSERT INTO uses (id, at) SELECT id, ?1 FROM blocks WHERE id = ?2
    ON CONFLICT (id) DO UPDATE SET at = excluded.at WHERE at <= excluded.at - ?3"""


class Uses:
    """The notes of one store, in the trio thread."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._rows: set[int] = set()
        self._begun = self._due = 0.0
        self._sent: Ticket | None = None

    def note(self, row: int) -> None:
        """Note that the block in *row* was read."""
        now = time.monotonic()
        if now >= self._due or len(self._rows) >= MANY:
            self.flush()
            if not self._rows:
                self._begun, self._due = time.time(), now + RESOLUTION / 2
        self._rows.add(row)

    def flush(self) -> None:
        """Hand what is noted to the writer. What is not through from before is waited for: nothing piles up."""
        if self._sent is not None and not self._sent.done.is_set():
            if len(self._rows) >= MANY:
                self._rows.clear()
        elif self._rows:
            self._sent = self._writer.push(partial(_write, self._rows, self._begun))
            self._rows = set()
            self._due = 0.0


def _write(rows: set[int], now: float, connection: sqlite3.Connection) -> tuple[int, int]:
    connection.executemany(_USED, [(now, row, RESOLUTION / 2) for row in sorted(rows)])
    return 0, 0

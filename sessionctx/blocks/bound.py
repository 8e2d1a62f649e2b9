"""The bound of what a store may hold: a put that would carry it above has room made first, or fails.

The writer asks `Bound.check` before it commits what makes the store grow, so the answer is exact, whoever else writes.
If there is too little room, that transaction is given up, steps of a `Making` are committed, and it is tried again.
Steps are short, and each is committed: readers never wait, and writers of other processes get their turn. They make
somewhat more room than is needed now, so that not every put has to.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import attrs

from sessionctx.blocks.sweep import Sweep
from sessionctx.errors import StoreCorrupt, StoreFull

_SPARE: Final = 10  # a part of so many is left free, when room is made
_SPARE_STEPS: Final = 16  # but for more than is needed now, nobody waits for more steps than these


@attrs.frozen
class Bound:
    """How many bytes of blocks the store at *path* may hold; what was put within *grace* seconds is not evicted."""

    path: Path
    max_bytes: int
    grace: float

    def check(self, connection: sqlite3.Connection) -> None:
        """Raise :exc:`StoreFull` if the store holds more, with what is about to be committed."""
        (held,) = connection.execute("SELECT bytes FROM totals").fetchone()
        if held > self.max_bytes:
            (pins,) = connection.execute("SELECT count(*) FROM pins").fetchone()
            raise StoreFull(
                f"{self.path} would hold {held} bytes, and may hold {self.max_bytes}. What is in it is kept by "
                f"{pins} pins, by work under way, or because it was put within the last {self.grace / 60:.0f} minutes. "
                "Let it hold more (--max-bytes), or unpin what can go (sessionctx pin ls, pin rm)",
                max_bytes=self.max_bytes,
            )


class Making:
    """Making room for *size* bytes more, or for as many as there ever can be."""

    def __init__(self, bound: Bound, size: int) -> None:
        self._bound = bound
        self._enough = max(0, bound.max_bytes - size)
        target = max(0, self._enough - bound.max_bytes // _SPARE)
        self._sweep = Sweep(bound.path, grace=bound.grace, max_bytes=target)
        self._held = bound.max_bytes
        self._spare = _SPARE_STEPS
        self.ended = False
        """Whether there is nothing more to do."""

    @property
    def fruitful(self) -> bool:
        """Whether anything went."""
        return self._sweep.place.blocks > 0

    def step(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Do a step inside a transaction."""
        try:
            blocks, size = self._sweep.step(connection)
        except StoreCorrupt as error:
            raise StoreFull(f"no room can be made: {error}", max_bytes=self._bound.max_bytes) from error
        (before,) = connection.execute("SELECT bytes FROM totals").fetchone()
        self._held = before + size
        return blocks, size

    def settle(self) -> None:
        """Count the last step, which is committed."""
        self._sweep.settle()
        self._spare -= self._held <= self._enough
        self.ended = self._sweep.place.ended or self._spare <= 0

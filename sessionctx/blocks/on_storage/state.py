"""The state that a log leads to: a base, and what has changed since, as runs of sorted rows. Pure."""

from __future__ import annotations

from typing import Final

import attrs

from sessionctx.blocks.on_storage.forms import Base
from sessionctx.blocks.on_storage.rows import ROW, Run, newest

RUN_ROWS: Final = 262_144
"""Rows that are merged into one run; to merge more takes more memory than it is worth."""


@attrs.define(eq=False)
class State:
    """Where each block was when the entry *seq* of the log had been written."""

    base: Base | None = None
    seq: int = 0
    number: int = 0
    """Of the object in which the base is."""
    runs: list[Run] = attrs.field(factory=list[Run])
    """What has changed since the base, the newest last."""

    @property
    def held(self) -> int:
        """Bytes of rows that are in memory."""
        return sum(map(len, self.runs)) * ROW

    def apply(self, rows: bytes) -> None:
        """Take in the next entry."""
        self.seq += 1
        self.runs.append(Run(rows))

    def due(self) -> tuple[Run, Run] | None:
        """Return the last two runs, if they are of like size: then they should be one, so that there are few."""
        if len(self.runs) < 2:
            return None
        older, newer = self.runs[-2:]
        return (older, newer) if len(older) < 2 * len(newer) and len(older) + len(newer) <= RUN_ROWS else None


def merged(older: Run, newer: Run) -> Run:
    """Return both as one."""
    return Run(b"".join(newest((older.rows, newer.rows))))

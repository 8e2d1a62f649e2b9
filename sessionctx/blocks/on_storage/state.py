"""The state that a log leads to: a base, and what has changed since, as runs of sorted rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from sessionctx.blocks.on_storage.forms import Base
from sessionctx.blocks.on_storage.rows import ROW, find, newest

RUN_ROWS: Final = 262_144
"""Rows that are merged into one run; to merge more takes more memory than it is worth."""


@attrs.define(eq=False)
class State:
    """Where each block was when the entry *seq* of the log had been written."""

    base: Base | None = None
    seq: int = 0
    number: int = 0
    """Of the object in which the base is."""
    runs: list[bytes] = attrs.field(factory=list[bytes])
    """What has changed since the base: sorted rows, the newest last. Few, as those of like size are merged."""

    @property
    def held(self) -> int:
        """Bytes of rows that are in memory."""
        return sum(map(len, self.runs))

    def apply(self, rows: bytes) -> None:
        """Take in the next entry."""
        self.seq += 1
        self.runs.append(rows)
        while len(self.runs) > 1 and self._worth_merging(*self.runs[-2:]):
            self.runs[-2:] = [b"".join(newest(self.runs[-2:]))]

    def recent(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the newest row of each key of which there is one since the base."""
        rows: dict[bytes, bytes] = {}
        for key in keys:
            for run in reversed(self.runs):
                if (row := find(run, key)) is not None:
                    rows[key] = row
                    break
        return rows

    @staticmethod
    def _worth_merging(older: bytes, newer: bytes) -> bool:
        return len(older) < 2 * len(newer) and len(older) + len(newer) <= RUN_ROWS * ROW

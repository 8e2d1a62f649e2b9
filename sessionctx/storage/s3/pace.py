"""Whether one stream is all that a reader needs, told by its first few MiB. Pure.

Several at a time are faster where each is held back: by a long way, or by a server that gives each its share. Where
one comes as fast as it can be taken, others beside it only cost memory.
"""

from __future__ import annotations

from typing import Final

import attrs

ENOUGH: Final = 150.0 * 1024 * 1024
"""Bytes per second of one stream that need no others beside it."""
_LOOK: Final = 4 * 1024 * 1024
"""Bytes that tell it."""


@attrs.define(eq=False)
class Pace:
    """The beginning of a stream, while it is looked at."""

    enough: float = ENOUGH
    _came: int = 0
    _seconds: float = 0.0

    @property
    def open(self) -> bool:
        """Whether it is not known yet."""
        return self._came < _LOOK

    def slow(self, count: int, seconds: float) -> bool:
        """Take in that *count* more bytes took so many *seconds*: whether it is known now to be too slow."""
        self._came += count
        self._seconds += seconds
        return self._seconds * self.enough > _LOOK

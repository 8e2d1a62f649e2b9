"""A line: so many bytes a second, for all that share it."""

from __future__ import annotations

from typing import Final

import attrs

from sessionctx.testing.chance import Chance, harmonic_mean

__all__ = ["CHUNK", "Line"]

CHUNK: Final = 16 * 1024
"""Bytes that go over a line together, by default: answers that share it take turns in such pieces."""


@attrs.define(eq=False)
class Line:
    """What is sent goes over it piece after piece, in the order in which it was booked.

    Give one line to several peers, and they are one machine with several names.
    """

    rate: Chance = float("inf")
    """Bytes per second of everything on it. A distribution is drawn from once for each answer."""
    sent: int = attrs.field(default=0, init=False)
    """Bytes that were put on it."""
    _free: float = attrs.field(default=float("-inf"), init=False)

    def book(self, size: int, now: float, rate: float) -> float:
        """Put *size* bytes on the line at *rate* bytes per second; return when the last of them is through."""
        self.sent += size
        self._free = max(self._free, now) + size / rate
        return self._free

    @property
    def usual(self) -> float:
        """Bytes per second that it carries in the long run."""
        return harmonic_mean(self.rate)

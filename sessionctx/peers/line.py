"""The line to one endpoint (scheme, host, port): what is on its way there, and how fast bytes come, whoever asked.

All peers behind one endpoint share it, and all sessions of a tree: its budget is one budget. Pure; time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

ENOUGH: Final = 0.1
"""Seconds in which bytes flow, until they tell a rate."""


@attrs.define(eq=False)
class Line:
    """What all requests to one endpoint have in common."""

    in_flight: int = 0
    in_flight_bytes: int = 0
    receiving: int = 0
    """How many answers have begun to come."""
    spoke: float = 0.0
    """When it was last heard from, or first asked after a time in which it had nothing to do."""
    watchers: list[Callable[[], None]] = attrs.field(factory=list[Callable[[], None]], repr=False)
    """Called whenever something changed that bears on what may be expected of its peers."""
    _flowed: float = 0.0
    """Seconds in which bytes flowed, and how many, since the rate was told last."""
    _flowed_bytes: int = 0

    def changed(self) -> None:
        """Tell whoever keeps peers in order that those behind this line may have changed places."""
        for watcher in self.watchers:
            watcher()

    def asked(self, size: int, now: float) -> None:
        """Note one more request, for *size* bytes."""
        if not self.in_flight:
            self.spoke = now
        self.in_flight += 1
        self.in_flight_bytes += size

    def over(self, size: int) -> None:
        """Note that one is over."""
        self.in_flight -= 1
        self.in_flight_bytes -= size

    def silent(self, now: float) -> float:
        """For how many seconds nothing came, although something was asked."""
        return now - self.spoke if self.in_flight else 0.0

    def flow(self, count: int, now: float, *, first: bool, queued: bool = False) -> float | None:
        """Note bytes, on whichever answer; returns the rate each time that enough have flowed to tell it.

        The *first* bytes of an answer after a pause tell when they came, not how fast; but there was no pause if the
        answer was *queued*: it could have begun when the last bytes came.
        """
        if self.receiving or queued:
            self._flowed += now - self.spoke
            self._flowed_bytes += count
        self.receiving += first
        self.spoke = now
        return self.told(ENOUGH) if self._flowed >= ENOUGH else None

    def told(self, seconds: float) -> float | None:
        """Return the rate of what has flowed since this was told last, if that took so many *seconds* at least."""
        if self._flowed < seconds or not self._flowed_bytes:
            return None
        rate = self._flowed_bytes / self._flowed
        self._flowed, self._flowed_bytes = 0.0, 0
        return rate

"""Hedging: when a request counts as late, and how many of them may be doubled. Pure."""

from __future__ import annotations

from typing import Final

import attrs

LEAST_LATE: Final = 0.05
"""Seconds; nothing is late before that, so that jitter costs no requests."""


def late_after(predicted: float, usual: float) -> float:
    """Return after how many seconds a request predicted to take *predicted* is late.

    That is after *usual* times as long, which is what the slowest twentieth of the peer's last answers took, by their
    own predictions.
    """
    return max(LEAST_LATE, predicted * usual)


@attrs.define
class HedgeBudget:
    """A bucket of tokens: each request puts in a little, each hedge takes out one.

    A hedge that was faster puts back a half: so where they help, up to one in ten requests is one, otherwise one in
    twenty.
    """

    share: float = 0.05
    """Hedges per request, where they do not help."""
    back: float = 0.5
    """What is put back for a hedge that was faster."""
    most: float = 8.0
    tokens: float = 8.0

    def earn(self) -> None:
        """Count one ordinary request."""
        self.tokens = min(self.tokens + self.share, self.most)

    def allows(self) -> bool:
        """Whether one more hedge may be sent."""
        return self.tokens >= 1.0

    def spend(self) -> None:
        """Count one hedge."""
        self.tokens -= 1.0

    def won(self) -> None:
        """Count one hedge that was faster than what it doubled."""
        self.tokens = min(self.tokens + self.back, self.most)

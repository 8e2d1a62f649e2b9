"""Hedging: when a request counts as late, and how many of them may be doubled. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs

LEAST_LATE: Final = 0.05
"""Seconds; nothing is late before that, so that jitter costs no requests."""


def late_after(predicted: float, lateness: Collection[float]) -> float:
    """Return after how many seconds a request predicted to take *predicted* is late.

    That is half as long again as predicted, or what the slowest twentieth of the peer's last answers took, by their
    own predictions: *lateness* holds the ratios.
    """
    usual = sorted(lateness)[int(len(lateness) * 0.95)] if lateness else 1.5
    return max(LEAST_LATE, predicted * max(usual, 1.5))


@attrs.define
class HedgeBudget:
    """A bucket of tokens: each request puts in a little, each hedge takes out one."""

    share: float = 0.05
    """Hedges per request."""
    most: float = 8.0
    tokens: float = 2.0

    def earn(self) -> None:
        """Count one ordinary request."""
        self.tokens = min(self.tokens + self.share, self.most)

    def allows(self) -> bool:
        """Whether one more hedge may be sent."""
        return self.tokens >= 1.0

    def spend(self) -> None:
        """Count one hedge."""
        self.tokens -= 1.0

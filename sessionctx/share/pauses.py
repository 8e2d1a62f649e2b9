"""When to ask again: back-off with jitter, what services asked for, and how much time the caller has. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LONGEST: Final = 60.0
"""Seconds; a pause grows no longer by itself."""


def backoff(round_: int, delay: float, chance: float) -> float:
    """Return the seconds to wait after the *round_*-th round (from 1): *delay*, doubled each time, up to a minute.

    Of that a half to all, by *chance* (from 0 to 1): services that failed together are not asked again together.
    """
    most = min(delay * 2.0 ** min(round_ - 1, 32), max(LONGEST, delay))
    return most * (0.5 + 0.5 * chance)


def next_round(now: float, pause: float, not_before: Iterable[float], deadline: float) -> float | None:
    """Return when to ask again: after the *pause*, and when the first of the services may be asked.

    *not_before* says for each of them when that is, as it asked itself. None where that is not before the *deadline*:
    then there is no use in waiting.
    """
    at = max(now + pause, min(not_before, default=now))
    return at if at < deadline else None

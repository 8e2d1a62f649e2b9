"""How much is on its way at a time: what the line holds, shared by all who move bytes over it. Pure."""

from __future__ import annotations

from typing import Final

LEAST: Final = 1024 * 1024
MOST: Final = 8 * 1024 * 1024
"""Bytes on their way for one file. Ssh itself lets 2 MiB be on their way in most builds, so that more gains little."""
UNKNOWN: Final = 4 * 1024 * 1024
TOGETHER: Final = 32 * 1024 * 1024
"""For all files of one storage."""


def window(latency: float | None, rate: float | None, sharers: int) -> int:
    """Return how many bytes to have on their way, where an answer takes *latency* s and *rate* bytes come in each s.

    Twice what that makes, so that the line never idles while an answer is being dealt with.
    """
    wanted = UNKNOWN if latency is None or rate is None else int(2 * latency * rate)
    return min(max(wanted, LEAST), MOST, TOGETHER // max(sharers, 1))


def piece(window: int, most: int, plain: int) -> int:
    """Return how many bytes to ask for at a time: some of them make up the *window*; at least *plain*, or *most*."""
    return max(min(most, window // 4), min(plain, most))

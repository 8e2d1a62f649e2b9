"""The window: how many requests at a time keep the line to a peer busy. Pure.

A line that carries *rate* bytes a second and is *nearest* seconds long holds rate x nearest bytes (its bandwidth-delay
product): with fewer on their way it idles, with more they queue at the peer, where nobody else can have them.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from sessionctx.peers import Record

HEADROOM: Final = 2.0
"""Times the product. Estimates lag, and a window that follows them exactly would never find out that there is more."""
UNKNOWN: Final = 2
"""Requests that tell how fast a peer sends, as the second answer comes right behind the first."""
LEAST: Final = 4
"""Requests, on however short a line: answers are handled one by one on both ends, which takes time, too."""


def window(record: Record, size: float) -> int:
    """Return how many requests for *size* bytes each *record*'s peer should have at a time, by what is known of it.

    Never more than the peer takes gladly; few while it is not known how fast it sends.
    """
    most = record.peer.most
    if record.rate is None:
        return min(UNKNOWN, most)
    if record.nearest is None:
        return most
    needed = HEADROOM * record.nearest * record.rate / max(size, 1.0)
    return most if needed >= most else min(max(ceil(needed) + 1, LEAST), most)


def open_up(record: Record, size: float) -> None:
    """Widen the window that a good peer has earned at once to what its line holds, instead of one by one.

    A window that failures have closed opens step by step.
    """
    if record.rate is not None and not record.failures and record.success > 0.9:
        record.window = max(record.window, float(window(record, size)))

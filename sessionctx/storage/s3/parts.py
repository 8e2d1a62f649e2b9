"""How a file is cut into parts: at most 10,000 of them, each at most 5 GiB, 5 TiB in all. Pure.

Source: Amazon S3 User Guide, "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

import math
from typing import Final

MIB: Final = 1024 * 1024
PART: Final = 8 * MIB
"""Bytes of a part, unless there would be too many."""
MOST_PARTS: Final = 10_000
SMALLEST: Final = 5 * MIB
"""Bytes of any part but the last."""
LARGEST: Final = 5 * 1024 * MIB
"""Bytes of a part, or of a file that is written or copied in one request."""
MOST: Final = 5 * 1024 * 1024 * MIB
"""Bytes of a file."""
MEMORY: Final = 256 * MIB
"""Bytes of parts that are in flight at a time, if there are several of them."""
_STEADY: Final = 1_300
"""Parts of the first size, where the end is not known; then each is so small a fraction of what went before."""


def part_size(size: int, least: int = PART) -> int:
    """Return the bytes of each part of a file of *size* bytes: *least*, or what fits into 10,000, in whole MiB."""
    return _whole(max(least, math.ceil(size / MOST_PARTS)))


def next_size(gone: int, least: int = PART) -> int:
    """Return the bytes of the next part after *gone* bytes, where nobody knows how many will follow.

    It grows geometrically, so that 5 TiB fit into 10,000 parts, and a file of 10 GiB has none over *least*.
    """
    return min(_whole(max(least, gone // _STEADY)), LARGEST)


def at_once(size: int, most: int) -> int:
    """Return how many parts of *size* bytes may be in flight, *most* at the best: memory is bounded."""
    return max(1, min(most, MEMORY // size))


def ranges(start: int, end: int, size: int) -> list[tuple[int, int]]:
    """Return what lies from *start* to *end*, in ranges of *size* bytes."""
    return [(at, min(at + size, end)) for at in range(start, end, size)]


def _whole(size: int) -> int:
    return -(-size // MIB) * MIB

"""Memory for the bytes of blocks: reused for the next ones, not fetched from the system block by block."""

from __future__ import annotations

from functools import cache
from typing import Final

LARGE: Final = 8 * 1024 * 1024
"""Bytes: a buffer larger than any block, of which many are in flight."""


@cache
def keep_what_is_freed() -> None:
    """Let the C library keep up to twice `LARGE` of freed memory for what comes next.

    glibc begins by mapping each buffer over 128 KiB, or by cutting its heap short behind it, so that each block pays
    for its pages anew: a quarter of the CPU time of 256 KiB over HTTP, a third of that of importing files. It learns
    from the first mapped buffer that is freed how large the usual ones are (mallopt(3), ``M_MMAP_THRESHOLD``). This one
    is never written to, and costs no memory. Other C libraries are left as they are.
    """
    bytes(LARGE)

"""How many threads this backend uses: to hash large bodies, to read credentials, to keep a journal."""

from __future__ import annotations

from typing import Final

import trio

THREADS: Final = trio.CapacityLimiter(4)
"""Shared by all buckets."""

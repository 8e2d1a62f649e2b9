"""The check that bytes match their name, where it costs least: here, or for large blocks in a thread."""

from __future__ import annotations

import os
from typing import Final

import trio

from sessionctx.content import CID, verify

INLINE: Final = 512 * 1024
"""Bytes; hashing that many is worth the hop to a worker thread (50 microseconds)."""

_HASHERS: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("sessionctx.hashers")


async def check(cid: CID, data: bytes) -> None:
    """Raise as `verify` does, unless *data* matches *cid*."""
    if len(data) < INLINE:
        verify(cid, data)
    else:
        await trio.to_thread.run_sync(verify, cid, data, limiter=_hashers())


def _hashers() -> trio.CapacityLimiter:
    """The threads that hash: a few of their own, since those of others may be waiting for what is being hashed."""
    try:
        return _HASHERS.get()
    except LookupError:
        _HASHERS.set(limiter := trio.CapacityLimiter(os.cpu_count() or 1))
        return limiter

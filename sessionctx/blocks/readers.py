"""Threads that read for a store: a few at a time, and none of them left when it is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import attrs
import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MOST: Final = 4  # more do not read faster from memory, and hardly from a disk


@attrs.define(eq=False)
class Readers:
    """The reads of one store that other threads do."""

    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(_MOST), init=False)
    _running: int = attrs.field(default=0, init=False)
    _done: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self, read: Callable[[*Ts], T], *args: *Ts) -> T:
        """Return ``read(*args)``, done in a thread. If it is cancelled, it ends as soon as that has been read."""
        self._running += 1
        try:
            return await trio.to_thread.run_sync(read, *args, limiter=self._limiter)
        finally:
            self._running -= 1
            if not self._running:
                self._done.set()

    async def wait_all_done(self) -> None:
        """Wait until none of them is running."""
        await trio.lowlevel.checkpoint()
        while self._running:
            self._done = trio.Event()
            await self._done.wait()

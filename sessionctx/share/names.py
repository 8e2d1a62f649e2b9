"""A lock per name, which is there only while somebody holds it or waits for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio


@attrs.define(eq=False)
class Names:
    """What is worked on, by name: by one at a time, first come, first served."""

    _locks: dict[str, trio.Lock] = attrs.field(factory=dict[str, trio.Lock], init=False)

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def only(self, name: str) -> AsyncGenerator[None]:
        """Be the only one who works on *name*, for the length of the block."""
        lock = self._locks.setdefault(name, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._locks.pop(name, None)

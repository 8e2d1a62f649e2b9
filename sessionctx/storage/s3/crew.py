"""Tasks beside a block: what goes wrong in one of them, or in the block, comes out of it as it is, and alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVarTuple

import attrs
import trio

Args = TypeVarTuple("Args")


@attrs.define(eq=False)
class Crew:
    """Some tasks; the first error of one ends them all, and the block."""

    _nursery: trio.Nursery
    error: Exception | None = None
    """The first one of a task."""

    def start(self, work: Callable[[*Args], Awaitable[object]], *args: *Args) -> None:
        """Begin a task."""
        self._nursery.start_soon(self._guarded, work, *args)

    async def _guarded(self, work: Callable[..., Awaitable[object]], *args: object) -> None:
        try:
            await work(*args)
        except Exception as error:  # noqa: BLE001 - whoever opened the crew gets it
            if self.error is None:
                self.error = error
            self._nursery.cancel_scope.cancel()


@asynccontextmanager
async def crew(*, wait: bool) -> AsyncGenerator[Crew]:
    """Lend a crew. At the end of the block *wait* for its tasks, or cancel them."""
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        tasks = Crew(nursery)
        try:
            yield tasks
        except trio.Cancelled:
            raise
        except BaseException as failure:  # noqa: BLE001 - raised below, outside of the nursery, which would wrap it
            error = failure
        if error is not None or not wait:
            nursery.cancel_scope.cancel()
    error = error or tasks.error
    if error is not None:
        try:
            raise error
        finally:
            del error

"""What is under way, and how it ends when the share is closed: let finish for a while, then cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

import attrs
import trio

from sessionctx.errors import StoreClosed

_UNWINDS: Final = 5.0
"""Seconds that what is cancelled has to clean up."""


@attrs.define(eq=False)
class Running:
    """Calls that are under way, and readers that are open."""

    closed: bool = attrs.field(default=False, init=False)
    _scopes: set[trio.CancelScope] = attrs.field(factory=set[trio.CancelScope], init=False)
    _readers: int = attrs.field(default=0, init=False)
    _ended: trio.Event = attrs.field(factory=trio.Event, init=False)

    @contextmanager
    def call(self) -> Generator[None]:
        """Be under way; cancelled when the share closes. :exc:`StoreClosed` if that is so, or was."""
        self.check()
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
                self._ended.set()
        if scope.cancelled_caught:
            raise StoreClosed("the share was closed while this was under way; open its nursery inside of its block")

    @contextmanager
    def reader(self) -> Generator[None]:
        """Be read from."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._ended.set()

    def check(self) -> None:
        """:exc:`StoreClosed` if it is closed."""
        if self.closed:
            raise StoreClosed("the share is closed: its block was left")

    async def close(self, grace: float) -> None:
        """Take nothing new, let what is under way finish for *grace* seconds, and cancel the rest."""
        self.closed = True
        try:
            with trio.move_on_after(grace):
                await self._until(lambda: not self._scopes and not self._readers)
        finally:
            for scope in self._scopes:
                scope.cancel(reason="the share was closed")
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _UNWINDS):
                await self._until(lambda: not self._scopes)

    async def _until(self, over: Callable[[], bool]) -> None:
        while not over():
            self._ended = trio.Event()
            await self._ended.wait()


class Serves(Protocol):
    """A server that stops gently when it is told to."""

    def __call__(self, stop: trio.Event, grace: float, *, task_status: trio.TaskStatus[str]) -> Awaitable[None]:
        """Report the URL, and serve until *stop* is set and *grace* seconds have passed after that."""
        ...


@asynccontextmanager
async def alongside(serve: Serves, grace: float) -> AsyncGenerator[str]:
    """Serve until the block is left, and say where; stop gently, unless it is left by an error."""
    failure, stop = None, trio.Event()
    async with trio.open_nursery() as nursery:
        try:
            yield await nursery.start(serve, stop, grace)
        except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery, which would wrap it
            failure = error
            nursery.cancel_scope.cancel()
        stop.set()
    if failure is not None:
        raise failure

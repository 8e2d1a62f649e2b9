"""Streams as async context managers: what has to be awaited first happens on entering, inside the session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

import trio

from sessionctx import session
from sessionctx.dag.walk import Walk
from sessionctx.session import Limits

T = TypeVar("T")
X = TypeVar("X")


class Opened(Generic[X]):
    """An async context manager that joins or begins a session, calls *start* and gives what it returns.

    A session that begins has the *limits*.

    *start* puts what must be left again on the stack that it is given. Usable once.
    """

    def __init__(
        self, what: str, start: Callable[[AsyncExitStack], Awaitable[X]], limits: Limits | None = None
    ) -> None:
        self._what = what
        self._limits = limits
        self._start = start

    async def __aenter__(self) -> X:
        session.require_trio(self._what)
        async with AsyncExitStack() as stack:
            stack.enter_context(session.begin(default_limits=self._limits))
            found = await self._start(stack)
            self._stack = stack.pop_all()
        return found

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    if not TYPE_CHECKING:  # a checker finds it by itself, as long as these are not there

        def __aiter__(self) -> NoReturn:
            raise self._not_entered()

        def __await__(self) -> NoReturn:
            raise self._not_entered()

        def _not_entered(self) -> TypeError:
            call = self._what[:1].lower() + self._what[1:]
            return TypeError(f"it has to be entered: write 'async with {call}(...) as opened:', and go on inside")


class Flat(Generic[T, X]):
    """Iterates over the single things in the groups that a walk gives."""

    def __init__(self, walk: Walk[T, Iterable[X]]) -> None:
        self._walk = walk
        self._group: Iterator[X] = iter(())

    def __aiter__(self) -> AsyncIterator[X]:
        return self

    async def __anext__(self) -> X:
        await trio.lowlevel.checkpoint()  # before one is taken, or a cancelled call would lose it
        for found in self._group:
            return found
        while True:
            self._group = iter(await self._walk.__anext__())
            for found in self._group:
                return found

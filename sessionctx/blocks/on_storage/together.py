"""Doing one thing to many, a few at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeVar

import trio

T = TypeVar("T")

AT_ONCE: Final = 16
"""Requests at a time, of one piece of work."""


async def each(work: Callable[[T], Awaitable[object]], things: Sequence[T], *, at_once: int = AT_ONCE) -> None:
    """Do *work* to all *things*. The first error cancels the rest, and comes out as it is, in no group."""
    if len(things) == 1:
        await work(things[0])
        return
    left = iter(things)
    failed: list[Exception] = []

    async def some(left: Iterator[T]) -> None:
        try:
            for thing in left:
                await work(thing)
        except Exception as error:  # noqa: BLE001  # raised below, outside of the nursery
            failed.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(min(at_once, len(things))):
            nursery.start_soon(some, left)
    if failed:
        raise failed[0]

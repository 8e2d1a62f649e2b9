"""Doing two things at a time: making the next one while the last one is used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

T = TypeVar("T")


async def overlap(make: Callable[[], Awaitable[T | None]], use: Callable[[T], Awaitable[object]]) -> None:
    """Use all that *make* gives until it gives ``None``, in order; while one is used, the next is made.

    An error of *use* cancels *make*. An error of *make* comes out when what was made before it has been used. Errors
    come out as they are, in no group.
    """
    made = await make()
    while made is not None:
        made = await _step(make, use, made)


async def _step(make: Callable[[], Awaitable[T | None]], use: Callable[[T], Awaitable[object]], made: T) -> T | None:
    failed: list[Exception] = []
    following: T | None = None

    async def using() -> None:
        try:
            await use(made)
        except Exception as error:  # noqa: BLE001  # raised below, outside of the nursery
            failed.insert(0, error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(using)
        try:
            following = await make()
        except Exception as error:  # noqa: BLE001  # raised below
            failed.append(error)
    if failed:
        raise failed[0]
    return following

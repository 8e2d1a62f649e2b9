"""Doing two things at a time: making the next ones while those before are used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

T = TypeVar("T")


async def overlap(
    make: Callable[[], Awaitable[T | None]], use: Callable[[T], Awaitable[object]], *, ahead: int = 1
) -> None:
    """Use all that *make* gives until it gives ``None``, in order; while one is used, up to *ahead* are made.

    An error of *use* cancels *make*. An error of *make* comes out when what was made before it has been used. Errors
    come out as they are, in no group.
    """
    failed: list[Exception] = []
    made_send, made_receive = trio.open_memory_channel[T](ahead - 1)

    async def making() -> None:
        with made_send:
            try:
                while (made := await make()) is not None:
                    await made_send.send(made)
            except Exception as error:  # noqa: BLE001  # raised below, outside of the nursery
                failed.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(making)
        try:
            async for made in made_receive:
                await use(made)
        except Exception as error:  # noqa: BLE001  # raised below
            failed.insert(0, error)
            nursery.cancel_scope.cancel()
    if failed:
        raise failed[0]

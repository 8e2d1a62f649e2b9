"""Leaving a nursery of one's own, from an ``__aexit__``."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import cast

import trio


async def close(manager: AbstractAsyncContextManager[trio.Nursery], error: BaseException | None) -> None:
    """Wait for the tasks of a cancelled nursery; an *error* of the block is not lost to a cancellation around it."""
    try:
        await manager.__aexit__(None, None, None)
    except BaseException as found:
        if error is None or not _only_cancelled(found):
            raise


def _only_cancelled(error: BaseException) -> bool:
    if not isinstance(error, BaseExceptionGroup):
        return isinstance(error, trio.Cancelled)
    return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)[1] is None

"""A reader that a task of its own feeds, so that requests can end and begin anew while somebody reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeAlias

import trio

from sessionctx.storage.base import Entry, Reader

Piece: TypeAlias = bytes | bytearray | memoryview


class Feed:
    """Where the task puts what it gets: first the entry, then pieces, none of which is held back or kept."""

    def __init__(self) -> None:
        self._entry: Entry | None = None
        self._begun = trio.Event()
        self._failure: Exception | None = None
        self._send, self._receive = trio.open_memory_channel[Piece](0)

    @property
    def begun(self) -> bool:
        """Whether it is known what is being read."""
        return self._entry is not None

    def begin(self, entry: Entry) -> None:
        """Say what is being read."""
        self._entry = entry
        self._begun.set()

    async def give(self, piece: Piece) -> None:
        """Hand out the next piece, and wait until somebody takes it."""
        await self._send.send(piece)

    async def run(self, fetch: Callable[[Feed], Awaitable[None]]) -> None:
        """Let *fetch* feed this; its errors are raised where the pieces are read."""
        try:
            await fetch(self)
        except Exception as error:  # noqa: BLE001 - raised to who reads
            self._failure = error
        self._begun.set()
        self._send.close()

    async def reader(self) -> Reader:
        """Return the reader, as soon as it is known what is being read."""
        await self._begun.wait()
        if self._entry is None:
            raise self._failure or RuntimeError("what feeds a reader ended without saying what is read")
        return _Relayed(self._entry, self._next)

    async def _next(self) -> Piece:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None


class _Relayed:
    def __init__(self, entry: Entry, following: Callable[[], Awaitable[Piece]]) -> None:
        self.entry = entry
        self._following = following

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        return await self._following()


@asynccontextmanager
async def relayed(fetch: Callable[[Feed], Awaitable[None]]) -> AsyncGenerator[Reader]:
    """Read what *fetch* gets, in a task that ends with the block. Errors come as they are, in no group."""
    feed, failure = Feed(), None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run, fetch)
        try:
            yield await feed.reader()
        except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure

"""What comes of a blob, in order, for whoever writes it down. It ends well only when all was right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import trio


class Pieces:
    """What comes of a blob, in order: an async iterator for whoever writes it down."""

    def __init__(
        self,
        receive: trio.MemoryReceiveChannel[memoryview],
        digest: Callable[[], str],
        taken: Callable[[], None],
    ) -> None:
        self._receive = receive
        self._digest = digest
        self._taken = taken
        self._first: memoryview | None = None
        self.failure: Exception | None = None
        """Why it has ended before it was whole."""
        self.size = 0
        """Bytes so far."""

    @property
    def digest(self) -> str:
        """Of all that came, once it has ended."""
        return self._digest()

    async def begin(self) -> None:
        """Wait for the first piece, if there is one. Raises what has happened if there is not."""
        self._first = await self._next()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        piece, self._first = self._first, None
        if piece is None:
            piece = await self._next()
        else:
            await trio.lowlevel.checkpoint()
        if piece is None:
            raise StopAsyncIteration
        self.size += len(piece)
        return piece

    async def _next(self) -> memoryview | None:
        try:
            piece = await self._receive.receive()
        except trio.EndOfChannel:
            if self.failure is not None:
                raise self.failure from None
            return None
        self._taken()
        return piece

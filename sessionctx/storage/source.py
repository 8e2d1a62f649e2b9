"""What is to be written, as a stream of pieces, whatever form it was given in."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Self

import trio

from sessionctx.storage.base import Source


def pieces(source: Source) -> AsyncIterator[bytes | bytearray | memoryview]:
    """Return the pieces of *source*, as it gives them."""
    return _One(source) if isinstance(source, bytes | bytearray | memoryview) else aiter(source)


def length_of(source: Source) -> int | None:
    """Return how many bytes *source* holds, if that can be told beforehand."""
    return memoryview(source).nbytes if not isinstance(source, AsyncIterable) else None


class _One:
    """An async iterator of one piece; of none, if that is empty."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._left: bytes | bytearray | memoryview = data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | bytearray | memoryview:
        await trio.lowlevel.checkpoint()
        data, self._left = self._left, b""
        if not data:
            raise StopAsyncIteration
        return data


class Gathered:
    """The pieces of a source, small ones put together: each has at least *enough* bytes, except for the last."""

    def __init__(self, source: Source, enough: int) -> None:
        self._pieces = pieces(source)
        self._enough = enough
        self.ended = False
        """Whether all has been given."""

    async def next(self) -> bytes | bytearray | memoryview:
        """Return the next piece, good until the next is asked for; an empty one at the end."""
        gathered = bytearray()
        async for piece in self._pieces:
            if not gathered and memoryview(piece).nbytes >= self._enough:
                return piece
            gathered += piece
            if len(gathered) >= self._enough:
                return gathered
        self.ended = True
        return gathered

"""Where bytes come from: a file, bytes, or an async stream; always read in big pieces."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack
from typing import Final, Protocol, Self, TypeAlias

import trio

from sessionctx.errors import SourceUnreadable

PIECE: Final = 1024 * 1024
"""Bytes read at a time."""

Source: TypeAlias = "str | os.PathLike[str] | bytes | AsyncIterable[bytes]"
"""A path of a file, the bytes themselves, or an async stream of them (such as ``trio.abc.ReceiveStream``)."""


class Pieces(Protocol):
    """Bytes in pieces: ``await next()`` gives the next one, and ``b""`` at the end."""

    async def next(self) -> bytes:
        """Return the next piece; ``b""`` at the end."""
        ...


class FromBytes:
    """Bytes that are there already."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    async def next(self) -> bytes:
        """Return the next piece."""
        await trio.lowlevel.checkpoint()
        piece = self._data[self._at : self._at + PIECE]
        self._at += len(piece)
        return piece


class FromStream:
    """An async stream."""

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream: AsyncIterator[bytes] = aiter(stream)

    async def next(self) -> bytes:
        """Return the next piece that is not empty. Errors: those of the stream."""
        await trio.lowlevel.checkpoint()
        async for piece in self._stream:
            if piece:
                return bytes(piece)
        return b""


class FromFile:
    """A file, read in worker threads. An async context manager."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)

    async def __aenter__(self) -> Self:
        try:
            self._file = await trio.open_file(self._path, "rb", buffering=0)
        except OSError as error:
            raise unreadable(self._path, error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._file.aclose()

    async def next(self) -> bytes:
        """Return the next piece. :exc:`SourceUnreadable`."""
        try:
            return await self._file.read(PIECE)
        except OSError as error:
            raise unreadable(self._path, error) from error


async def open_source(source: Source, stack: AsyncExitStack) -> Pieces:
    """Return the pieces of *source*; a file is open until the *stack* is left. :exc:`SourceUnreadable`."""
    if isinstance(source, bytes):
        return FromBytes(source)
    if isinstance(source, AsyncIterable):
        return FromStream(source)
    return await stack.enter_async_context(FromFile(source))


def unreadable(path: str, error: OSError) -> SourceUnreadable:
    """Return the error for a path that could not be read."""
    return SourceUnreadable(f"{path!r} cannot be read: {error.strerror or error}")

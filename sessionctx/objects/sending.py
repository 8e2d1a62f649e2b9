"""How a body goes out: at once if it is short, resumably if it can be read again, in parts if its length is unknown."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import trio

from sessionctx.errors import NotOffered, OutcomeUnknown, PeerError, SourceUnreadable, Unreachable
from sessionctx.objects import single, uploads
from sessionctx.objects.metadata import Metadata
from sessionctx.objects.operations import Body as Content
from sessionctx.objects.uploads import PART, Piece
from sessionctx.objects.wire import Wire
from sessionctx.objects.zstd import Compressor, compressed
from sessionctx.storage import PASSING, Patience, pieces
from sessionctx.transports import Body

READ: Final = 1024 * 1024
"""Bytes that are read of a file at a time."""

Pieces: TypeAlias = AsyncIterator[Piece]


async def put(wire: Wire, key: str, metadata: Metadata, content: Content) -> str:
    """Keep *content*, compressed if *metadata* says so; returns its key."""
    if isinstance(content, bytes | bytearray | memoryview):
        body = content if metadata.encoding is None else await _compressed(content)
        return await _whole(wire, key, metadata, Body.of(body))
    if isinstance(content, PathLike):
        file = await opened(content)
        if metadata.encoding is None and file.size > PART:
            try:
                return await uploads.resumably(wire, key, metadata, file)
            except NotOffered:
                pass  # in parts, then
        async with file.read(0) as stream:
            return await _stream(wire, key, metadata, stream)
    return await _stream(wire, key, metadata, content)


async def _whole(wire: Wire, key: str, metadata: Metadata, body: Body) -> str:
    """Send a body that is at hand; again, if it breaks and has a key: then twice is as good as once."""
    patience = Patience()
    while True:
        try:
            return await single.put(wire, key, metadata, body)
        except PASSING as error:
            if not key and not isinstance(error, Unreachable):
                raise unknown(error) from error
            await patience.pause(error)


async def _stream(wire: Wire, key: str, metadata: Metadata, content: AsyncIterable[Piece]) -> str:
    rest = pieces(content)
    if metadata.encoding is not None:
        rest = _Compressed(rest)
    first: list[Piece] = []
    held = 0
    async for piece in rest:
        first.append(bytes(piece))
        held += len(piece)
        if held > PART:
            return await uploads.in_parts(wire, key, metadata, first, rest)
    return await _whole(wire, key, metadata, Body.of(*first))


def unknown(error: PeerError) -> OutcomeUnknown:
    """Return what is to be said of a write whose answer is lost."""
    return OutcomeUnknown(f"the object was sent, and no answer came: {error}")


async def _compressed(content: bytes | bytearray | memoryview) -> bytes:
    return await trio.to_thread.run_sync(compressed, content) if len(content) > READ else compressed(content)


class _Compressed:
    """A stream, compressed as it passes."""

    def __init__(self, source: Pieces) -> None:
        self._source = source
        self._compressor: Compressor | None = Compressor()

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> Piece:
        while self._compressor is not None:
            piece = await anext(self._source, None)
            if piece is None:
                last, self._compressor = self._compressor.finish(), None
                return last
            if packed := self._compressor.feed(piece):
                return packed
        raise StopAsyncIteration


@attrs.frozen
class File:
    """A file of this machine, opened when its turn comes."""

    path: Path
    size: int

    @asynccontextmanager
    async def read(self, offset: int) -> AsyncGenerator[Pieces]:
        """Lend its pieces from *offset*. :exc:`SourceUnreadable`."""
        try:
            async with await trio.open_file(self.path, "rb", buffering=0) as file:
                await file.seek(offset)
                yield _FilePieces(file.read)
        except OSError as error:
            raise SourceUnreadable(f"{self.path} cannot be read: {error}") from error


class _FilePieces:
    def __init__(self, read: Callable[[int], Awaitable[bytes]]) -> None:
        self._read = read

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> Piece:
        piece = await self._read(READ)
        if not piece:
            raise StopAsyncIteration
        return piece


async def opened(path: PathLike[str]) -> File:
    """Return a file, and how long it is. :exc:`SourceUnreadable`."""
    try:
        found = await trio.to_thread.run_sync(os.stat, path)
    except OSError as error:
        raise SourceUnreadable(f"{os.fspath(path)} cannot be read: {error}") from error
    return File(Path(path), found.st_size)

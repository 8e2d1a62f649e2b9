"""What is given to be shared, as a stream that is hashed and counted on its way."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeAlias

import attrs
import trio

from sessionctx.errors import FileDamaged, SourceUnreadable
from sessionctx.share.blob import Hash
from sessionctx.storage import Source

PIECE: Final = 1024 * 1024
"""Bytes that are read from a file at a time."""

Given: TypeAlias = Source | str | PathLike[str]
"""Bytes, pieces of bytes as they come, or the path of a file."""


@attrs.define(eq=False)
class Sized:
    """Pieces, and how many bytes they will be, where that is known."""

    pieces: AsyncIterator[bytes | bytearray | memoryview]
    size: int | None


@asynccontextmanager
async def opened(given: Given) -> AsyncGenerator[Sized]:
    """Open what is given, for the length of the block. :exc:`SourceUnreadable` for a file that cannot be read."""
    if isinstance(given, str | PathLike):
        async with _file(Path(given)) as file:
            yield file
    elif isinstance(given, AsyncIterable):
        await trio.lowlevel.checkpoint()
        yield Sized(aiter(given), None)
    else:
        await trio.lowlevel.checkpoint()
        yield Sized(_InMemory(memoryview(given).cast("B")), memoryview(given).nbytes)


@asynccontextmanager
async def _file(path: Path) -> AsyncGenerator[Sized]:
    try:
        file = await trio.to_thread.run_sync(_open, path)
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        about = os.fstat(file.fileno())
        yield Sized(_File(file, path), about.st_size if stat.S_ISREG(about.st_mode) else None)
    finally:
        file.close()


def _open(path: Path) -> BinaryIO:
    return path.open("rb", buffering=0)


class _File:
    """The bytes of a file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await trio.to_thread.run_sync(self._file.read, PIECE)
        except OSError as error:
            raise SourceUnreadable(f"{self._path} cannot be read: {error.strerror or error}") from error
        if not piece:
            raise StopAsyncIteration
        return piece


class _InMemory:
    """Bytes that are here already, a piece at a time."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        await trio.lowlevel.checkpoint()
        piece, self._data = self._data[:PIECE], self._data[PIECE:]
        if not piece:
            raise StopAsyncIteration
        return piece


@attrs.define(eq=False)
class Hashed:
    """A source that is hashed and counted as it is read, and refused at its end if it is not what was *expected*."""

    _pieces: AsyncIterator[bytes | bytearray | memoryview]
    _expected: str | None
    _came: Callable[[int], Awaitable[None]]
    """Called with the size of each piece, before that is handed on."""
    size: int = attrs.field(default=0, init=False)
    _hash: Hash = attrs.field(factory=hashlib.sha256, init=False)

    @property
    def digest(self) -> str:
        """Of what it gave so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | bytearray | memoryview:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._check()
            raise
        size = memoryview(piece).nbytes
        await self._came(size)
        self._hash.update(piece)
        self.size += size
        return piece

    async def drain(self) -> None:
        """Read to the end, for the digest alone."""
        async for _ in self:
            pass

    def _check(self) -> None:
        if self._expected not in (None, self.digest):
            raise FileDamaged(f"what was to be shared has the digest {self.digest}, and not {self._expected}")

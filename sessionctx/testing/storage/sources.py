"""What the tests of a storage write, and how they look at what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Self

import trio

from sessionctx.errors import NoSuchFile
from sessionctx.storage import Backend, Entry


class Pieces:
    """A source that gives these pieces, then raises *error* if there is one."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None, *, hang: bool = False) -> None:
        self._pieces = iter(pieces)
        self._error = error
        self._hang = hang

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        if self._hang:
            await trio.sleep_forever()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration


async def everything(reader: AsyncIterator[bytes | bytearray | memoryview]) -> bytes:
    """Return all that *reader* gives."""
    return b"".join([bytes(piece) async for piece in reader])


async def listed(backend: Backend, prefix: str = "", *, recursive: bool = False) -> dict[str, Entry]:
    """Return the entries of a listing by their paths; each may come only once."""
    found: dict[str, Entry] = {}
    async with backend.list(prefix, recursive=recursive) as listing:
        async for entry in listing:
            assert entry.path not in found, f"{entry.path} is listed twice"
            found[entry.path] = entry
    return found


async def content(backend: Backend, path: str) -> bytes:
    """Return the whole content of *path*."""
    async with backend.read(path) as reader:
        return await everything(reader)


async def nothing_at(backend: Backend, path: str) -> bool:
    """Whether there is nothing at *path*."""
    try:
        await backend.stat(path)
    except NoSuchFile:
        return True
    return False


class Broken(Exception):
    """What a source raises in the tests."""

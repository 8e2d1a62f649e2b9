"""Reading one file of the disk in large pieces, each a step in a worker thread."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Final, Self, TypeVar

import attrs
import trio

from sessionctx.storage.base import Entry
from sessionctx.storage.local.place import Place, entry_of, version_of
from sessionctx.storage.local.steps import changed

T = TypeVar("T")
Worker = Callable[[str, Callable[[], T]], Awaitable[T]]

PIECE: Final = 4 * 1024 * 1024
"""Bytes read in one step: so many that the way into a thread and back does not count."""


@attrs.define(eq=False)
class Opened:
    """A file that is open, from *at* to *end*. It stays the one that was opened, whatever its name leads to."""

    place: Place
    entry: Entry
    handle: int
    at: int
    end: int

    @classmethod
    def open(cls, place: Place, path: str, offset: int, length: int | None, version: str | None) -> Opened:
        """Open it. :exc:`OSError`, :exc:`NoSuchFile`, :exc:`FileChanged`."""
        where = place.through(path)
        flags = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_NONBLOCK", "O_NOFOLLOW"))
        handle = os.open(where, os.O_RDONLY | flags)
        with ExitStack() as ending:
            ending.callback(os.close, handle)
            entry = entry_of(path, os.fstat(handle))
            if entry.kind != "file":
                raise place.no_file(path)
            if version not in {None, entry.version}:
                raise changed(place, path, str(version))
            ending.pop_all()
        size = entry.size or 0
        return cls(place, entry, handle, offset, size if length is None else min(offset + length, size))

    def piece(self) -> bytes:
        """Read on; nothing at the end. :exc:`FileChanged` if it is not what it was."""
        wanted = min(PIECE, self.end - self.at)
        data = os.pread(self.handle, wanted, self.at) if wanted > 0 else b""
        self.at += len(data)
        if self.at >= self.end or not data:
            self.check()
        return data

    def check(self) -> None:
        """:exc:`FileChanged` if it is not what it was when it was opened."""
        if version_of(os.fstat(self.handle)) != self.entry.version:
            raise changed(self.place, self.entry.path, str(self.entry.version))

    def close(self) -> None:
        """Leave it."""
        os.close(self.handle)


class FileReader:
    """The pieces of an open file; the *first* has been read already."""

    def __init__(self, opened: Opened, first: bytes, work: Worker[bytes]) -> None:
        self._opened, self._next, self._work = opened, first, work

    @property
    def entry(self) -> Entry:
        """The file as it was opened."""
        return self._opened.entry

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece, self._next = self._next, b""
        if piece:
            await trio.lowlevel.checkpoint()
            return piece
        if self._opened.at >= self._opened.end:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        piece = await self._work(self.entry.path, self._opened.piece)
        if not piece:
            raise StopAsyncIteration
        return piece

"""A file as it comes: several requests in flight, in order to the reader, and all of one version."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Self

import attrs

from sessionctx.errors import FileChanged, NoSuchFile, PeerError
from sessionctx.storage.base import Entry
from sessionctx.storage.endpoint import Request
from sessionctx.storage.smb import answers, messages, status
from sessionctx.storage.smb.answers import Times
from sessionctx.storage.smb.entries import entry_of, version
from sessionctx.storage.smb.pending import Pending
from sessionctx.storage.smb.share import WAITS, Handle, Share

IN_FLIGHT: Final = 6
"""Requests for one file at a time."""


@attrs.frozen
class _Part:
    offset: int
    length: int
    pending: Pending


@attrs.define(eq=False)
class SmbReader:
    """Reads a range of an open file."""

    entry: Entry
    _share: Share
    _request: Request
    _handle: Handle
    _at: int
    """The next byte that goes to the reader."""
    _end: int
    _asked: int = attrs.field(init=False)
    """The next byte to ask for."""
    _window: deque[_Part] = attrs.field(factory=deque[_Part], init=False)
    _broken: int = attrs.field(default=0, init=False)
    """How often the line broke since something came."""
    _over: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._asked = self._at

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        while not self._over:
            try:
                if not self._handle.is_open:  # it had to make way for another
                    await self._open_again()
                elif self._at < self._end:
                    return await self._piece()
                else:
                    self._check(await self._handle.close())
                    self._over = True
            except PeerError:
                if self._handle.line.fault is None or self._broken == len(WAITS):
                    raise
                await self._go_on()
        raise StopAsyncIteration

    def let_go(self) -> None:
        """Close the file; whoever reads on opens it anew, and sees whether it is still the same."""
        self._handle.drop()

    def leave(self) -> None:
        """Nothing more is wanted."""
        for part in self._window:
            part.pending.leave()
        self._handle.drop()

    async def _piece(self) -> memoryview:
        self._ask()
        part = self._window[0]
        reply = await part.pending.reply()
        self._window.popleft()
        if reply.status != status.SUCCESS:
            raise status.error_of(reply.status, storage=self._share.public, path=self.entry.path)
        data = answers.was_read(reply)[: part.length]
        if not data:
            raise self._changed()
        if len(data) < part.length and self._handle.is_open:
            self._window.appendleft(self._part(part.offset + len(data), part.length - len(data)))
        self._at += len(data)
        self._broken = 0
        self._ask()
        self._request.came(len(data))
        return data

    def _ask(self) -> None:
        """Have as much in flight as there may be."""
        while self._handle.is_open and self._asked < self._end and len(self._window) < IN_FLIGHT:
            length = min(self._handle.line.most_read, self._end - self._asked)
            self._window.append(self._part(self._asked, length))
            self._asked += length

    def _part(self, offset: int, length: int) -> _Part:
        return _Part(offset, length, self._handle.post(messages.read(self._handle.id, offset, length)))

    async def _go_on(self) -> None:
        """Go on where the line broke, on a new one."""
        self._broken += 1
        await self._open_again()

    async def _open_again(self) -> None:
        self._window.clear()
        try:
            self._handle = await self._share.repeated(partial(self._share.open_to_read, self.entry.path))
        except NoSuchFile:
            raise self._changed() from None
        self._asked = self._at
        self._check(self._handle.times)

    def _check(self, times: Times) -> None:
        if version(times) != self.entry.version:
            raise self._changed()

    def _changed(self) -> FileChanged:
        path, public = self.entry.path, self._share.public
        return FileChanged(f"{public}: {path} was changed while it was read: start over", storage=public, path=path)


@asynccontextmanager
async def reading(
    share: Share, request: Request, path: str, *, offset: int, length: int | None, wanted: str | None
) -> AsyncGenerator[SmbReader]:
    """Read a range of the file *path*, of the version that is *wanted*."""
    handle = await share.repeated(partial(share.open_to_read, path))
    entry = entry_of(path, handle.times)
    size = handle.times.size
    reader = SmbReader(
        entry, share, request, handle, min(offset, size), size if length is None else min(offset + length, size)
    )
    try:
        if wanted not in {None, entry.version}:
            raise FileChanged(
                f"{share.public}: {path} is not version {wanted} any more", storage=share.public, path=path
            )
        with share.read_by(path, reader.let_go):
            yield reader
    finally:
        reader.leave()

"""What is in a folder, page by page as it is asked for; and in those below it, each of them once."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Self, TypeAlias

import attrs
import trio

from sessionctx.errors import PeerError, StorageError
from sessionctx.storage.base import Entry
from sessionctx.storage.smb import answers, messages, status
from sessionctx.storage.smb.entries import entry_of, listed
from sessionctx.storage.smb.line import Line
from sessionctx.storage.smb.messages import Access, Options
from sessionctx.storage.smb.share import WAITS, Handle, Share

PAGE: Final = 64 * 1024
"""Bytes of a page: some hundred entries."""

_Way: TypeAlias = "tuple[int, _Way] | None"
"""The ids of a folder and of those above it."""


@attrs.frozen
class _Folder:
    entry: Entry
    way: _Way


@attrs.define(eq=False)
class SmbListing:
    """Lists the folder that is open, and then those that were found below."""

    _share: Share
    _recursive: bool
    _folder: _Folder
    _handle: Handle | None
    _ready: deque[Entry] = attrs.field(factory=deque[Entry], init=False)
    _below: list[_Folder] = attrs.field(factory=list[_Folder], init=False)
    _begun: bool = attrs.field(default=False, init=False)
    """A page of this folder has come."""
    _broken: int = attrs.field(default=0, init=False)
    """How often the line broke since one came."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        await trio.lowlevel.checkpoint()
        while not self._ready:
            if self._handle is not None:
                await self._page(self._handle)
            elif self._below:
                await self._descend(self._below.pop())
            else:
                raise StopAsyncIteration
        return self._ready.popleft()

    def leave(self) -> None:
        """Nothing more is wanted."""
        if self._handle is not None:
            self._handle.drop()

    async def _page(self, handle: Handle) -> None:
        """Take in the next page of the folder that is open."""
        pending = handle.post(messages.find(handle.id, PAGE))
        try:
            reply = await self._share.answer(pending, handle.path, status.MORE_FILES_NOT, status.NO_SUCH_FILE)
        except PeerError:
            if handle.line.fault is None or self._begun or self._broken == len(WAITS):
                raise
            self._broken += 1
            self._handle = await self._share.repeated(partial(open_folder, self._share, handle.path))
            return
        self._begun, self._broken = True, 0
        if reply.status == status.SUCCESS:
            for found in answers.found(reply):
                self._take(found, ids=handle.times.id != 0)
        else:
            handle.drop()
            self._handle = None

    def _take(self, found: answers.Found, *, ids: bool) -> None:
        if found.name not in {".", ".."}:
            entry = listed(self._folder.entry.path, found, ids=ids)
            if self._recursive and entry.kind == "folder" and entry.problem is None:
                self._below.append(_Folder(entry, (found.times.id, self._folder.way)))
            else:
                self._ready.append(entry)

    async def _descend(self, folder: _Folder) -> None:
        """Open the next folder, and give its own entry: with a problem, where it cannot be opened."""
        if _leads_back(folder.way):
            self._ready.append(attrs.evolve(folder.entry, kind="link"))
            return
        try:
            self._handle = await self._share.repeated(partial(open_folder, self._share, folder.entry.path))
        except StorageError as error:
            self._ready.append(attrs.evolve(folder.entry, problem=error))
        else:
            self._folder, self._begun = folder, False
            self._ready.append(folder.entry)


def _leads_back(way: _Way) -> bool:
    """Whether a folder is one of those that it is in: a link on the server led back to it."""
    if way is None or not way[0]:
        return False
    own, above = way
    while above is not None:
        if above[0] == own:
            return True
        above = above[1]
    return False


async def open_folder(share: Share, path: str, line: Line) -> Handle:
    """Open a folder to list it."""
    return await share.opened(path, Access.READ | Access.SYNCHRONIZE, Options.FOLDER, line=line)


@asynccontextmanager
async def listing(share: Share, prefix: str, *, recursive: bool) -> AsyncGenerator[SmbListing]:
    """List the folder *prefix*."""
    handle = await share.repeated(partial(open_folder, share, prefix))
    found = SmbListing(share, recursive, _Folder(entry_of(prefix, handle.times), (handle.times.id, None)), handle)
    try:
        yield found
    finally:
        found.leave()

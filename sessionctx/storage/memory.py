"""A storage in memory: for tests, for trying things out, and as the plainest reading of what a backend promises."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final, Self

import attrs
import trio

from sessionctx.errors import FileChanged, FileExists, NoSuchFile, SessionctxError
from sessionctx.storage.base import PLAIN, Can, Entry, Listing, Reader, Source, WriteOptions
from sessionctx.storage.paths import checked, parent, within
from sessionctx.storage.source import pieces

CAN: Final = Can(
    rename=True,
    copy=True,
    if_absent=True,
    if_version=True,
    times=True,
    modes=True,
    metadata=True,
    sorted=True,
    local=True,
)
PIECE: Final = 1024 * 1024
"""Bytes that a reader hands out at a time."""


@attrs.define(eq=False)
class MemoryStorage:
    """Files in memory, gone with this object. What fits is up to its user."""

    url: str = "memory://"
    can: Can = CAN
    _files: dict[str, tuple[Entry, bytes]] = attrs.field(factory=dict[str, tuple[Entry, bytes]], init=False, repr=False)
    _folders: set[str] = attrs.field(factory=lambda: {""}, init=False, repr=False)

    @property
    def public(self) -> str:
        """The same as its url: there are no credentials."""
        return self.url

    @property
    def endpoint(self) -> str:
        """Its own."""
        return f"{self.url}#{id(self)}"

    async def stat(self, path: str = "") -> Entry:
        """Return what *path* is."""
        await trio.lowlevel.checkpoint()
        if checked(path) in self._folders:
            return Entry(path=path, kind="folder")
        return self._file(path)[0]

    @asynccontextmanager
    async def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AsyncGenerator[Reader]:
        """Read what the file is now, whatever becomes of it."""
        await trio.lowlevel.checkpoint()
        entry, data = self._file(checked(path))
        if version not in {None, entry.version}:
            raise FileChanged(f"{self.url}: {path} is not version {version} any more", storage=self.url, path=path)
        end = len(data) if length is None else min(offset + length, len(data))
        yield _Pieces(entry, memoryview(data)[offset:end])

    async def write(
        self,
        path: str,
        source: Source,
        *,
        size_hint: int | None = None,  # noqa: ARG002
        options: WriteOptions = PLAIN,
    ) -> Entry:
        """Take it in whole, and show it then."""
        self._check_writable(checked(path), options)
        data = bytearray()
        async for piece in pieces(source):
            data += piece
        await trio.lowlevel.checkpoint()
        self._check_writable(path, options)
        entry = Entry(
            path=path,
            size=len(data),
            modified=time.time() if options.modified is None else options.modified,
            version=hashlib.sha256(data).hexdigest(),
            mode=options.mode,
            content_type=options.content_type,
            metadata=dict(options.metadata),
        )
        self._make_folders(parent(path))
        self._files[path] = entry, bytes(data)
        return entry

    @asynccontextmanager
    async def list(
        self, prefix: str = "", *, recursive: bool = False, after: str | None = None
    ) -> AsyncGenerator[Listing]:
        """List what is there when the listing begins."""
        await trio.lowlevel.checkpoint()
        if checked(prefix) not in self._folders:
            raise NoSuchFile(f"{self.url}: there is no folder {prefix}", storage=self.url, path=prefix)
        paths = [path for path in (*self._folders, *self._files) if path != prefix and within(prefix, path)]
        chosen = [path for path in paths if recursive or parent(path) == prefix]
        wanted = sorted((path for path in chosen if after is None or path.encode() > after.encode()), key=str.encode)
        yield _Entries(iter([self._files[p][0] if p in self._files else Entry(path=p, kind="folder") for p in wanted]))

    async def delete(self, path: str) -> None:
        """Delete a file or an empty folder."""
        await trio.lowlevel.checkpoint()
        if checked(path) in self._folders:
            if any(parent(other) == path and other != path for other in (*self._folders, *self._files)):
                raise FileExists(f"{self.url}: the folder {path} is not empty", storage=self.url, path=path)
            self._folders.discard(path or "/")
        self._files.pop(path, None)

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Delete each."""
        failed: dict[str, SessionctxError] = {}
        for path in paths:
            try:
                await self.delete(path)
            except SessionctxError as error:
                failed[path] = error
        return failed

    async def mkdir(self, path: str) -> None:
        """Make a folder and those on the way."""
        await trio.lowlevel.checkpoint()
        self._make_folders(checked(path))

    async def rename(self, source: str, target: str) -> None:
        """Move a file."""
        await self.copy(source, target)
        if source != target:
            del self._files[source]

    async def copy(self, source: str, target: str) -> Entry:
        """Let a file be there twice."""
        await trio.lowlevel.checkpoint()
        entry, data = self._file(checked(source))
        self._check_writable(checked(target), PLAIN)
        self._make_folders(parent(target))
        copied = attrs.evolve(entry, path=target)
        self._files[target] = copied, data
        return copied

    # ---

    def _file(self, path: str) -> tuple[Entry, bytes]:
        if path not in self._files:
            what = "is a folder" if path in self._folders else "is not there"
            raise NoSuchFile(f"{self.url}: {path} {what}", storage=self.url, path=path)
        return self._files[path]

    def _check_writable(self, path: str, options: WriteOptions) -> None:
        if path in self._folders:
            raise FileExists(f"{self.url}: {path or 'the root'} is a folder", storage=self.url, path=path)
        found = self._files.get(path)
        if options.if_absent and found is not None:
            raise FileExists(f"{self.url}: {path} is there already", storage=self.url, path=path)
        if options.if_version is not None and (found is None or found[0].version != options.if_version):
            raise FileChanged(
                f"{self.url}: {path} is not version {options.if_version} any more", storage=self.url, path=path
            )

    def _make_folders(self, path: str) -> None:
        way = path.split("/")
        folders = ["/".join(way[:n]) for n in range(1, len(way) + 1)]
        for folder in folders:
            if folder in self._files:
                raise FileExists(f"{self.url}: {folder} is a file, and no folder", storage=self.url, path=folder)
        self._folders.update(folders)


class _Pieces:
    """Bytes in memory, piece by piece."""

    def __init__(self, entry: Entry, data: memoryview) -> None:
        self.entry = entry
        self._data = data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        await trio.lowlevel.checkpoint()
        piece, self._data = self._data[:PIECE], self._data[PIECE:]
        if not piece:
            raise StopAsyncIteration
        return piece


class _Entries:
    """Entries that are known already."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        await trio.lowlevel.checkpoint()
        try:
            return next(self._entries)
        except StopIteration:
            raise StopAsyncIteration from None


@asynccontextmanager
async def open_memory(url: str) -> AsyncGenerator[MemoryStorage]:
    """Open a new one, which is empty."""
    await trio.lowlevel.checkpoint()
    yield MemoryStorage(url)

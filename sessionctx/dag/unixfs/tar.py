"""Tar: a file, directory or symlink as an archive, made while it is read, in the memory of a few blocks.

Source: POSIX.1-2001, pax interchange format. The same blocks make the same bytes: there is no time or owner in them
that the blocks do not name.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Iterable
from typing import Final

from sessionctx.dag.unixfs.unpack import Action, File, Folder, MakeFolder, MakeSymlink, Metadata, Tag
from sessionctx.dag.walk import Walk

_RECORD: Final = 512
_END: Final = bytes(2 * _RECORD)


class Archive:
    """Turns the steps of unpacking into the bytes of an archive."""

    def __init__(self) -> None:
        self._file: File | None = None
        self._written = 0

    def take(self, action: Action) -> bytes:
        """Return the bytes for the next step."""
        if isinstance(action, MakeFolder):
            folder = action.folder
            assert folder.parent is not None
            return _header(folder.parent, folder.name, folder.metadata, kind=tarfile.DIRTYPE, mode=0o755)
        if isinstance(action, MakeSymlink):
            return _header(
                action.parent, action.name, action.metadata, kind=tarfile.SYMTYPE, mode=0o777, to=action.target
            )
        file, head = action.file, b""
        if file is not self._file:
            self._file, self._written = file, 0
            head = _header(file.parent, file.name, file.metadata, kind=tarfile.REGTYPE, mode=0o644, size=file.size)
        self._written += len(action.data)
        return head + action.data + (bytes(-file.size % _RECORD) if self._written == file.size and action.data else b"")


class TarChunks:
    """The bytes of an archive, as an async iterator."""

    def __init__(self, walk: Walk[Tag, Iterable[Action]]) -> None:
        self._walk = walk
        self._archive = Archive()
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. Errors: those of an export, without those of the disk."""
        if self._ended:
            raise StopAsyncIteration
        try:
            while True:
                actions = await self._walk.__anext__()
                if chunk := b"".join(self._archive.take(action) for action in actions):
                    return chunk
        except StopAsyncIteration:
            self._ended = True
            return _END


def _header(
    parent: Folder,
    name: bytes,
    metadata: Metadata,
    *,
    kind: bytes,
    mode: int,
    size: int = 0,
    to: bytes = b"",
) -> bytes:
    about = tarfile.TarInfo(_path(parent, name))
    about.type, about.size = kind, size
    about.mode = mode if metadata.mode is None else metadata.mode
    about.mtime = 0 if metadata.mtime_ns is None else metadata.mtime_ns / 1_000_000_000
    about.linkname = to.decode("utf-8", "surrogateescape")
    return about.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _path(parent: Folder, name: bytes) -> str:
    parts = [name]
    at: Folder = parent
    while at.parent is not None:
        parts.append(at.name)
        at = at.parent
    return b"/".join(reversed(parts)).decode("utf-8", "surrogateescape")

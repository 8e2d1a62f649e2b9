"""Tar: a file, directory or symlink as an archive, made while it is read, in the memory of a few blocks.

Source: POSIX.1-2001, pax interchange format; IPIP-288. The same blocks make the same bytes: there is no time or owner
in them that the blocks do not name.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Iterable
from typing import Final

import attrs
import trio

from sessionctx.content import PBLink
from sessionctx.dag.unixfs.node import Node
from sessionctx.dag.unixfs.unpack import (
    Action,
    File,
    Folder,
    MakeFolder,
    MakeSymlink,
    Metadata,
    Named,
    Tag,
    safe_name,
)
from sessionctx.dag.walk import Walk
from sessionctx.errors import UnsafePath

_RECORD: Final = 512
_END: Final = bytes(2 * _RECORD)
_CHUNK: Final = 64 * 1024


def naming(link: PBLink, node: Node, folder: Folder) -> Named:
    """Say where an entry goes. A name may be a path that leads to this folder or to one around it (IPIP-288).

    :exc:`UnsafePath` for what leads elsewhere.
    """
    *steps, last = (link.name or "").split("/")
    plain = safe_name(attrs.evolve(link, name=last), node)
    if not steps:
        return Named(folder, plain)
    around = _around(folder)
    here, lost = len(around), 0  # folders from the root down to where the path is; steps below, that are none of these
    for step in steps:
        if step == "..":
            here, lost = (here, lost - 1) if lost else (here - 1, 0)
        elif step not in ("", "."):
            known = not lost and here < len(around) and around[here].name == step.encode()
            here, lost = (here + 1, 0) if known else (here, lost + 1)
        if here == 0:
            break
    if lost or here == 0:
        raise UnsafePath(
            f"the directory {node.cid} has an entry called {(link.name or '')[:200]!r}, which leads elsewhere"
        )
    return Named(around[here - 1], plain, moved=True)


def _around(folder: Folder) -> list[Folder]:
    """Return the folders from the root down to this one."""
    found: list[Folder] = []
    while folder.parent is not None:
        found.append(folder)
        folder = folder.parent
    return found[::-1]


class Archive:
    """Turns the steps of unpacking into the bytes of an archive."""

    def __init__(self) -> None:
        self._file: File | None = None
        self._written = 0
        self._linked = False

    def take(self, action: Action) -> bytes:
        """Return the bytes for the next step. :exc:`UnsafePath` for a file that might be written through a symlink."""
        if isinstance(action, MakeFolder):
            folder = action.folder
            assert folder.parent is not None
            return _header(folder.parent, folder.name, folder.metadata, kind=tarfile.DIRTYPE, mode=0o755)
        if isinstance(action, MakeSymlink):
            self._linked = True
            return _header(
                action.parent, action.name, action.metadata, kind=tarfile.SYMTYPE, mode=0o777, to=action.target
            )
        file, head = action.file, b""
        if file is not self._file:
            if file.moved and self._linked:
                raise UnsafePath(f"a name is a path that leads to {_path(file.parent, file.name)!r}, after a symlink")
            self._file, self._written = file, 0
            head = _header(file.parent, file.name, file.metadata, kind=tarfile.REGTYPE, mode=0o644, size=file.size)
        self._written += len(action.data)
        return head + action.data + (bytes(-file.size % _RECORD) if self._written == file.size and action.data else b"")


class TarChunks:
    """The bytes of an archive, in chunks of 64 KiB or more; an async iterator."""

    def __init__(self, walk: Walk[Tag, Iterable[Action]]) -> None:
        self._walk = walk
        self._archive = Archive()
        self._begun = False
        self._ended = False
        self._error: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. Errors: those of an export, without those of the disk.

        They are raised at once instead of the first chunk, and later when the good bytes before them are out.
        """
        await trio.lowlevel.checkpoint()
        pieces: list[bytes] = []
        size = 0
        while size < _CHUNK and not self._ended and self._error is None:
            piece = await self._next()
            pieces.append(piece)
            size += len(piece)
        if not size:
            raise self._error or StopAsyncIteration
        self._begun = True
        return b"".join(pieces)

    async def _next(self) -> bytes:
        try:
            return b"".join(self._archive.take(action) for action in await self._walk.__anext__())
        except StopAsyncIteration:
            self._ended = True
            return _END
        except Exception as error:
            if not self._begun:
                raise
            self._error = error
            return b""


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

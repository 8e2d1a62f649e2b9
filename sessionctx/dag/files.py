"""Files and folders: add, export, open, cat, ls, stat."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import attrs

from sessionctx import session
from sessionctx.blocks import Blockstore, default_limits
from sessionctx.content import ByteRange
from sessionctx.dag.frontier import AHEAD, AHEAD_BYTES, Ahead, Frontier
from sessionctx.dag.opened import Flat, Opened
from sessionctx.dag.opening import FIRST, Opening
from sessionctx.dag.path import Ref, Resolved, find, parse_ref, resolve
from sessionctx.dag.reader import FileReader
from sessionctx.dag.source import Source
from sessionctx.dag.unixfs.add import Added, add
from sessionctx.dag.unixfs.export import Exported, export_to
from sessionctx.dag.unixfs.parts import Part
from sessionctx.dag.unixfs.profile import V1_2025, Profile, find_profile
from sessionctx.dag.unixfs.progress import OnProgress
from sessionctx.dag.unixfs.read import Entry, Listed, Stat, content_of, read_directory, read_file, stat_of
from sessionctx.dag.unixfs.tar import TarChunks, naming
from sessionctx.dag.unixfs.unpack import Folder, Named, Tag, unpack
from sessionctx.dag.walk import Walk, always

MAX_ENTRIES: Final = 10_000_000
"""Files, folders and symlinks after which an export ends with an error."""


class Files:
    """Files and folders, kept as UnixFS in any block store.

    What names a file below is a CID, or a text ``cid/path/to/file``; *path* goes on below it. Symlinks are never
    followed. Besides the errors that are listed, there are those of the store: ``BlockNotFound``, ``FetchFailed``, ...
    """

    def __init__(self, blocks: Blockstore) -> None:
        self._blocks = blocks
        self.default_limits = default_limits(blocks)
        """Of sessions that begin with a call of a method here; None for no limits."""

    @session.operation
    async def add(
        self,
        source: Source,
        *,
        profile: Profile | str = V1_2025,
        chunker: str | None = None,
        hidden: bool = False,
        mode: bool = False,
        mtime: bool = False,
        pin: bool = True,
        progress: OnProgress | None = None,
    ) -> Added:
        """Add a file, folder or symlink by its path; or one file by its bytes, or as an async stream of bytes.

        The same input has the same CID, whenever and wherever it is added. It returns once all blocks are stored, and
        safe from a loss of power if the store offers ``sync()``. If it is cancelled or fails, no root was made, and
        blocks that were stored already do no harm.

        Args:
            source: a path (``str`` or path-like), ``bytes``, or an async iterable of bytes.
            profile: how to cut it into blocks, or the name of that; default ``unixfs-v1-2025``.
            chunker: how to cut files instead, as kubo calls it: ``size-N``, ``buzhash``, ``rabin``, ``rabin-AVG`` or
                ``rabin-MIN-AVG-MAX``. All but the first cut where the content says: a change leaves most chunks alone.
            hidden: add files and folders in a folder whose names begin with a dot, too. Default: they are left out.
            mode: keep the permissions of files and folders, which changes the CID. Default: they are left out.
            mtime: keep when files, folders and symlinks were last changed, likewise. `export` sets what was kept.
            pin: keep it when garbage is collected, by the name of the file; for stores that keep pins. Default: yes.
            progress: called with a `Progress`: the files and bytes which are stored so far.

        Raises:
            SourceUnreadable: a file or folder is absent, or may not be read.
            SourceChanged: a file changed while it was read.
            Unaddable: a socket, device or pipe, or a name that is not UTF-8.
            DagTooDeep: more than 256 folders inside each other.
            Unsupported: there is no *profile* or *chunker* of this name.
            MissingExtra: the chunker needs numpy, which is not installed.
        """
        chosen = find_profile(profile)
        if chunker is not None:
            chosen = attrs.evolve(chosen, chunker=chunker)
        return await add(
            self._blocks, source, chosen, pin=pin, hidden=hidden, mode=mode, mtime=mtime, progress=progress
        )

    @session.operation
    async def export(
        self,
        ref: Ref,
        target: str | os.PathLike[str],
        *,
        path: str = "",
        progress: OnProgress | None = None,
        max_entries: int = MAX_ENTRIES,
    ) -> Exported:
        """Write a file, directory or symlink to *target*: whole, or not at all.

        It is built under a temporary name in the folder of *target*, and gets its name when all of it is verified and
        on the disk. Nothing is ever written outside *target*, or through a symlink. Permissions and modification times
        are set where the blocks say them (never setuid and the like).

        Args:
            ref: what to export.
            target: where to; must not exist, its folder must.
            path: below *ref*.
            progress: called with a `Progress`: the files and bytes which are written so far, of how many.
            max_entries: how many files, folders and symlinks there may be; default 10 million.

        Raises:
            TargetExists: something is there already.
            TargetUnwritable: no permission, no such folder, no room on the disk, a name this file system refuses.
            UnsafePath: a name in a directory is no file name, such as ``..``, or is there twice.
            ExportError: more than *max_entries*.
            PathNotFound, NotADirectory: *path* leads nowhere.
            InvalidDag, DagTooDeep, DecodeError, NotAFile: the blocks are no proper tree of files.
        """
        found = await resolve(self._blocks, ref, path)
        return await export_to(self._blocks, found.cid, target, progress=progress, max_entries=max_entries)

    @session.operation
    async def stat(self, ref: Ref, *, path: str = "") -> Stat:
        """Say what the first block of a file, directory or symlink tells about it.

        Raises:
            PathNotFound, NotADirectory: *path* leads nowhere.
            InvalidDag, DecodeError: the block contradicts itself.
        """
        found = await resolve(self._blocks, ref, path)
        return stat_of(await self._blocks.get(found.cid))

    def open(
        self,
        ref: Ref,
        *,
        path: str = "",
        offset: int = 0,
        length: int | None = None,
        ahead: int = AHEAD,
        ahead_bytes: int = AHEAD_BYTES,
    ) -> Opened[FileReader]:
        """Open a file for reading with a cursor, as files on the disk are read; each byte is verified::

            async with files.open(cid) as f:
                head = await f.read(16)
                f.seek(-1024, io.SEEK_END)
                tail = await f.read()

        On entering, the path is resolved and the file's first block is read. It joins or begins a session for its
        length; leaving it cancels at once what is got ahead.

        Args:
            ref: what to read.
            path: below *ref*.
            offset: where the range begins that is opened; default 0. Positions in it count from there.
            length: how many bytes it has; default: to the end. Fewer, where the file ends before.
            ahead: how many blocks are got at a time, at most, and how many wait; default 32. It begins with one, and
                widens as it is read.
            ahead_bytes: how many bytes wait, about; default 32 MiB.

        Raises:
            ValueError: *offset* or *length* is negative, or *ahead* is less than 1.
            PathNotFound, NotADirectory, NotAFile: on entering.
            InvalidDag, DecodeError: on entering, where the first block contradicts itself.
        """
        check_range(offset, length)
        bounds = Ahead(ahead, ahead_bytes)

        async def start(stack: AsyncExitStack) -> FileReader:
            found = await self._find(stack, ref, path, span=ByteRange(offset, offset + FIRST - 1))
            root = await content_of(self._blocks, await self._blocks.get(found.cid))
            reader = FileReader(self._blocks, root, offset, length, bounds)
            return await stack.enter_async_context(reader)

        return Opened("Files.open", start, self.default_limits)

    async def read_bytes(self, ref: Ref, *, path: str = "", offset: int = 0, length: int | None = None) -> bytes:
        """Return what is in a file, all at once: for files that fit in memory. `cat` and `open` read others.

        Args:
            ref: what to read.
            path: below *ref*.
            offset: the first byte wanted; default 0.
            length: how many bytes at most; default: to the end.

        Raises:
            ValueError, PathNotFound, NotADirectory, NotAFile, InvalidDag, DagTooDeep, DecodeError: as `cat`.
        """
        async with self.cat(ref, path=path, offset=offset, length=length) as chunks:
            return b"".join([chunk async for chunk in chunks])

    def cat(
        self, ref: Ref, *, path: str = "", offset: int = 0, length: int | None = None, ahead: int = AHEAD
    ) -> Opened[Flat[Part, bytes]]:
        """Read a file from end to end, verified and in order, while what comes next is being got::

            async with files.cat(cid) as chunks:
                async for chunk in chunks: ...

        Args:
            ref: what to read.
            path: below *ref*.
            offset: the first byte wanted; default 0. What lies before it is not fetched.
            length: how many bytes; default: to the end. Less is given where the file ends before.
            ahead: how many blocks are got at a time; default 32. It begins with one, and widens as it is read.

        Raises:
            ValueError: *offset* or *length* is negative.
            PathNotFound, NotADirectory, NotAFile: on entering or while iterating.
            InvalidDag, DagTooDeep, DecodeError: while iterating, where the blocks contradict each other.
        """
        check_range(offset, length)

        async def start(stack: AsyncExitStack) -> Flat[Part, bytes]:
            found = await self._find(stack, ref, path, span=ByteRange(offset, offset + FIRST - 1))
            walk = read_file(self._blocks, found.cid, offset, length, ahead=ahead)
            return Flat(await stack.enter_async_context(walk))

        return Opened("Files.cat", start, self.default_limits)

    def tar(self, ref: Ref, *, path: str = "", name: str = "", ahead: int = AHEAD) -> Opened[TarChunks]:
        """Read a file, directory or symlink as a tar, in chunks of bytes, made while it is read::

            async with files.tar(cid) as chunks:
                async for chunk in chunks: ...

        Permissions and modification times are in it where the blocks say them, and nobody's names. The same blocks make
        the same archive.

        Args:
            ref: what to read.
            path: below *ref*.
            name: what it is called in the archive; default: its CID.
            ahead: how many blocks are got at a time; default 32.

        Raises:
            ValueError: *name* has a slash in it.
            PathNotFound, NotADirectory: on entering.
            UnsafePath: while iterating; a name in a directory leads out of it, or is there twice.
            InvalidDag, DagTooDeep, DecodeError, NotAFile: while iterating; the blocks are no proper tree of files.
        """
        if "/" in name:
            raise ValueError(f"{name!r} is no name of one file or folder")

        async def start(stack: AsyncExitStack) -> TarChunks:
            found = await resolve(self._blocks, ref, path)
            tag: Tag = Named(Folder(None, b""), (name or str(found.cid)).encode())
            visit = partial(unpack, naming=naming)
            walk = Walk(self._blocks, Frontier(found.cid, tag, visit, Ahead(ahead), dups=True), whole=always)
            return TarChunks(await stack.enter_async_context(walk))

        return Opened("Files.tar", start, self.default_limits)

    def ls(self, ref: Ref, *, path: str = "", detail: bool = False, ahead: int = AHEAD) -> Opened[Flat[Listed, Entry]]:
        """List a directory, however big, in little memory; entries come in the order in which they are kept::

            async with files.ls(cid) as entries:
                async for entry in entries: ...

        Args:
            ref: the directory.
            path: below *ref*.
            detail: read the first block of each entry, to say what it is and how big; default: names and CIDs only.
            ahead: how many blocks are got at a time; default 32.

        Raises:
            PathNotFound, NotADirectory: on entering or while iterating.
            InvalidDag, DagTooDeep, DecodeError: while iterating, where the blocks contradict each other.
        """

        async def start(stack: AsyncExitStack) -> Flat[Listed, Entry]:
            found = await self._find(stack, ref, path, listing=True)
            walk = read_directory(self._blocks, found.cid, detail=detail, ahead=ahead)
            return Flat(await stack.enter_async_context(walk))

        return Opened("Files.ls", start, self.default_limits)

    async def _find(
        self, stack: AsyncExitStack, ref: Ref, path: str, *, span: ByteRange | None = None, listing: bool = False
    ) -> Resolved:
        """Find the root of a read, of a file or a listing, with what it needs first on its way beside it."""
        cid, segments = parse_ref(ref, path)
        await stack.enter_async_context(Opening(self._blocks, cid, segments, span=span, listing=listing))
        return await find(self._blocks, cid, segments)


def check_range(offset: int, length: int | None) -> None:
    """:exc:`ValueError` where one is negative."""
    if offset < 0 or (length is not None and length < 0):
        raise ValueError(f"offset and length must not be negative: {offset}, {length}")

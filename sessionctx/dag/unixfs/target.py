"""Writing files and folders where they appear whole or not at all: plain blocking code, run in worker threads.

All is built under a temporary name beside the target, and renamed when it is whole. Every name is reached through the
open folder it is in, made exclusively and never through a symlink, so nothing in a DAG, and nobody who changes
the folder meanwhile, leads a write elsewhere.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import attrs
import trio

from sessionctx.atomic import fresh_name, give_name
from sessionctx.dag.unixfs.sync import Syncing, begin_writing, reason, sync_file_system
from sessionctx.dag.unixfs.unpack import Action, File, Folder, MakeFolder, MakeSymlink, Metadata, Write
from sessionctx.errors import ExportError, TargetExists, TargetUnwritable, UnsafePath

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AHEAD: Final = 16 * 1024 * 1024
"""Bytes of a file after which the disk begins to write them, so that syncing it has less to wait for in the end."""
_OPEN_FOLDERS: Final = 32
_BIG: Final = 16 * 1024 * 1024
"""Bytes from which a file is not begun unless there is room for all of it."""


@attrs.define
class Counts:
    """How much was written."""

    files: int = 0
    folders: int = 0
    symlinks: int = 0
    bytes: int = 0


class Target:
    """One export on its way to its target. Ends with `publish` or `discard`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Look at the target, without changing anything. :exc:`TargetExists`, :exc:`TargetUnwritable`."""
        self.path = os.fspath(path)
        self.counts = Counts()
        if "\0" in self.path:
            raise TargetUnwritable(f"{self.path!r} is no path")
        stripped = self.path.rstrip("/") or self.path
        parent, name = os.path.split(stripped)
        if name in ("", ".", "..") or os.path.lexists(stripped):
            raise self._exists()
        self._name = os.fsencode(name)
        try:
            fd = os.open(parent or ".", _FOLDER)
        except OSError as error:
            raise TargetUnwritable(f"{self.path!r} cannot be written: {parent or '.'!r}: {reason(error)}") from error
        self.base = Folder(None, b"")
        self.root = fresh_name().encode()
        """The temporary name, in *base*."""
        self._fds: OrderedDict[Folder, int] = OrderedDict({self.base: fd})
        self._later: list[Folder] = []
        self._locked: list[Folder] = []
        self._file: File | None = None
        self._fd = -1
        self._written = 0
        self._on_its_way = 0  # bytes of the file that the disk has been told to write
        self._whole = -1
        self._root: Action | None = None

    # --- writing

    def perform(self, actions: Iterable[Action]) -> None:
        """Do what is to be done, in order.

        Raises:
            TargetUnwritable: the file system refuses, or is full.
            UnsafePath: a name is taken already, which a proper DAG cannot cause.
        """
        for action in actions:
            trio.from_thread.check_cancelled()
            if self._root is None:
                self._root = action
            try:
                self._perform(action)
            except OSError as error:
                raise self._error(action, error) from error

    def _perform(self, action: Action) -> None:
        if isinstance(action, Write):
            self._write(action)
        elif isinstance(action, MakeFolder):
            self._make_folder(action.folder)
        else:
            self._make_symlink(action)

    def _make_folder(self, folder: Folder) -> None:
        assert folder.parent is not None
        os.mkdir(folder.name, dir_fd=self._folder(folder.parent))
        self.counts.folders += 1
        if folder.metadata != Metadata():
            self._later.append(folder)  # once it is filled, which changes it

    def _make_symlink(self, link: MakeSymlink) -> None:
        fd = self._folder(link.parent)
        os.symlink(link.target, link.name, dir_fd=fd)
        self.counts.symlinks += 1
        if (mtime := link.metadata.mtime_ns) is not None:
            os.utime(link.name, ns=(mtime, mtime), dir_fd=fd, follow_symlinks=False)

    def _write(self, write: Write) -> None:
        file = write.file
        if file is not self._file:
            self._create(file)
        left = memoryview(write.data)
        while left:
            left = left[os.write(self._fd, left) :]
        self._written += len(write.data)
        if self._written - self._on_its_way >= _AHEAD:
            begin_writing(self._fd, self._on_its_way, self._written - self._on_its_way)
            self._on_its_way = self._written
        self.counts.bytes += len(write.data)
        if self._written == file.size:
            self._finish(file)

    def _create(self, file: File) -> None:
        assert self._fd < 0, "the file before is not whole"
        fd = self._folder(file.parent)
        if file.size >= _BIG:
            room = os.fstatvfs(fd)
            if room.f_bavail * room.f_frsize < file.size:
                raise OSError(errno.ENOSPC, f"no room for {file.size} bytes")
        self._fd = os.open(file.name, _NEW, 0o666, dir_fd=fd)
        self._file, self._written, self._on_its_way = file, 0, 0

    def _finish(self, file: File) -> None:
        _apply(self._fd, file.metadata)
        self.counts.files += 1
        if file.parent is self.base:
            self._whole = os.dup(self._fd)  # to sync it at the end
        self._close_file()

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)

    def _folder(self, folder: Folder) -> int:
        """Return *folder*, open. The few used last are kept open; others are opened again from there downwards."""
        way: list[Folder] = []
        at = folder
        while at not in self._fds:
            way.append(at)
            assert at.parent is not None
            at = at.parent
        fd = self._fds[at]
        for below in reversed(way):
            fd = self._fds[below] = os.open(below.name, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
        self._fds.move_to_end(folder)
        self._fds.move_to_end(self.base)
        while len(self._fds) > _OPEN_FOLDERS:
            os.close(self._fds.popitem(last=False)[1])
        return fd

    # --- the end

    def finish(self) -> None:
        """Say that all is written; set what could not be set before. :exc:`TargetUnwritable`."""
        assert self._fd < 0, "the last file is not whole"
        while self._later:
            folder = self._later.pop()
            self._locked.append(folder)
            try:
                _apply(self._folder(folder), folder.metadata)
            except OSError as error:
                raise self._error(MakeFolder(folder), error) from error

    def syncing(self) -> Syncing | None:
        """Return what waits until all is on the disk; ``None`` for a symlink."""
        if isinstance(self._root, MakeFolder):
            return Syncing(sync_file_system, os.dup(self._fds[self.base]), self.path)
        return None if self._whole < 0 else Syncing(os.fsync, os.dup(self._whole), self.path)

    def publish(self) -> None:
        """Give it its name. :exc:`TargetExists` if that is taken by now, :exc:`TargetUnwritable`."""
        fd = self._fds[self.base]
        try:
            give_name(self.root, self._name, fd)
            with suppress(OSError):  # some file systems cannot sync a folder
                os.fsync(fd)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise self._exists() from error
            raise TargetUnwritable(f"{self.path!r} cannot be written: {reason(error)}") from error
        self._close()

    def discard(self) -> None:
        """Remove all that was written."""
        base = self._fds[self.base]
        if self._fd >= 0:
            self._close_file()
        with suppress(OSError):
            if isinstance(self._root, MakeFolder):
                self._unlock()
                shutil.rmtree(self.root, dir_fd=base)
            else:
                os.unlink(self.root, dir_fd=base)
        self._close()

    def _unlock(self) -> None:
        """Make folders writable again, whose permissions were set already, outermost first."""
        for folder in reversed(self._locked):
            assert folder.parent is not None
            os.chmod(folder.name, 0o700, dir_fd=self._folder(folder.parent))

    def _close(self) -> None:
        if self._whole >= 0:
            os.close(self._whole)
        while self._fds:
            os.close(self._fds.popitem()[1])

    # --- errors

    def _exists(self) -> TargetExists:
        return TargetExists(f"{self.path!r} exists already; choose another target, or remove it first")

    def _error(self, action: Action, error: OSError) -> ExportError:
        if isinstance(action, MakeFolder):
            parent, name = action.folder.parent, action.folder.name
        elif isinstance(action, Write):
            parent, name = action.file.parent, action.file.name
        else:
            parent, name = action.parent, action.name
        assert parent is not None
        where = self.path
        if parent.parent is not None:
            where = "/".join(filter(None, (where, parent.where(), name.decode(errors="replace"))))
        if error.errno == errno.EEXIST:
            return UnsafePath(f"{where!r} would be written twice: two entries have the same name on this file system")
        return TargetUnwritable(f"{where!r} cannot be written: {reason(error)}; nothing of {self.path!r} was left")


def _apply(fd: int, metadata: Metadata) -> None:
    if metadata.mode is not None:
        os.fchmod(fd, metadata.mode)
    if metadata.mtime_ns is not None:
        os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))

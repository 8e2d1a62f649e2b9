"""The steps of writing and copying a file on the disk: beside its place, then there at once. Blocking."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from sessionctx.atomic import Draft, check_free, sync_folder
from sessionctx.errors import FileChanged
from sessionctx.storage.base import Entry, WriteOptions
from sessionctx.storage.local.place import Place, entry_of, version_of

AT_ONCE: Final = 64 * 1024 * 1024
"""Bytes that the system copies for us in one call, between which a copy can be cancelled."""
_TRIES: Final = 8
"""How often a folder is made anew that somebody else removes."""
_CANNOT: Final = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.ETXTBSY}
"""What the system says where it does not copy between these two files itself."""


@attrs.define(eq=False)
class Writing:
    """A file on its way to *path*. Ends with `close`; what was not published is gone then."""

    place: Place
    path: str
    options: WriteOptions
    sync: bool
    draft: Draft = attrs.field(init=False)
    size: int = attrs.field(default=0, init=False)
    _made: list[Path] = attrs.field(factory=list[Path], init=False)
    """Folders that were made for it, the innermost last."""

    def __attrs_post_init__(self) -> None:
        check_target(self.place, self.path, self.options)
        where = self.place.at(self.path)
        for left in range(_TRIES, -1, -1):
            try:
                self._made += make_folders(where.parent)
                self.draft = Draft(where, replace=not self.options.if_absent)
            except FileNotFoundError:
                if not left:
                    raise
            else:
                return

    def take(self, data: bytes | bytearray | memoryview) -> None:
        """Append *data*."""
        left = memoryview(data)
        self.size += left.nbytes
        while left:
            left = left[os.write(self.draft.file.fileno(), left) :]

    def take_from(self, source: int) -> bool:
        """Append a piece of the open file *source* without its passing through us; False at its end."""
        count = _copied(source, self.draft.file.fileno(), self.size)
        self.size += count
        return count > 0

    def publish(self) -> Entry:
        """Show it."""
        options, draft = self.options, Path(self.draft.file.name)
        if options.mode is not None:
            draft.chmod(options.mode & 0o777)
        if options.modified is not None:
            when = round(options.modified * 1e9)
            os.utime(draft, ns=(when, when))
        found = draft.stat()
        if self.sync:
            self.draft.settle()
        with alone_in(self.draft.path.parent):
            check_target(self.place, self.path, options)
            self.draft.reveal()
        self._made.clear()
        if self.sync:
            settle_folders(self.draft.path.parent)
        return entry_of(self.path, found)

    def close(self) -> None:
        """Leave it."""
        self.draft.close()
        with suppress(OSError):
            for folder in reversed(self._made):
                folder.rmdir()


def check_target(place: Place, path: str, options: WriteOptions) -> None:
    """:exc:`OSError` or :exc:`FileChanged` if *path* may not be written, by what is there now."""
    where = place.at(path)
    if options.if_absent:
        check_free(where)
    try:
        found = where.lstat()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    if not path or (found is not None and entry_of(path, found).kind == "folder"):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if options.if_version is not None and (found is None or version_of(found) != options.if_version):
        raise changed(place, path, options.if_version)


def changed(place: Place, path: str, version: str) -> FileChanged:
    """Return the error of somebody who wanted a version that is gone."""
    return FileChanged(f"{place.shown}: {path} is not version {version} any more", storage=place.shown, path=path)


def make_folders(where: Path) -> list[Path]:
    """Make a folder and those on the way; return those that were not there. :exc:`OSError`."""
    missing: list[Path] = []
    while not where.is_dir():
        missing.append(where)
        where = where.parent
    made: list[Path] = []
    for folder in reversed(missing):
        try:
            folder.mkdir()
        except FileExistsError:
            if not folder.is_dir():
                raise
        else:
            made.append(folder)
    return made


def delete(place: Place, path: str) -> None:
    """Delete a file, a link or an empty folder; not the root. :exc:`OSError`."""
    where = place.at(path)
    with suppress(FileNotFoundError, NotADirectoryError):
        if entry_of(path, where.lstat()).kind != "folder":
            where.unlink()
        elif path:
            where.rmdir()


def rename(place: Place, source: str, target: str) -> None:
    """Give a file another name, in place of what is there. :exc:`OSError`."""
    old, new = place.at(source), place.at(target)
    if entry_of(source, old.lstat()).kind == "folder":
        raise place.no_file(source)
    check_target(place, target, WriteOptions())
    make_folders(new.parent)
    with alone_in(new.parent):
        old.replace(new)
    settle_folders(old.parent, new.parent)


def settle_folders(*folders: Path) -> None:
    """Make the names in *folders* safe from a loss of power, where that can be."""
    for folder in folders:
        with suppress(OSError):  # some file systems cannot
            sync_folder(folder)


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Change what is in *folder* while nobody else does who asks like this: in any thread and process of ours."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _copied(source: int, target: int, at: int) -> int:
    """Copy the next bytes by whatever way the system has: sharing them on the disk, in the kernel, or by hand."""
    if sys.platform == "linux":
        try:
            return os.copy_file_range(source, target, AT_ONCE, at, at)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    data = os.pread(source, 4 * 1024 * 1024, at)
    return os.pwrite(target, data, at)

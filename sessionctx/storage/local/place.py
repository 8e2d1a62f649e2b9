"""Where a path of a storage lies on the disk, what is there, and what the system's errors mean. Blocking."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from sessionctx.errors import (
    AccessDenied,
    FileExists,
    InvalidLocation,
    NoRoom,
    NoSuchFile,
    StorageError,
)
from sessionctx.storage.base import Entry, Kind
from sessionctx.storage.paths import checked

_MEANINGS: Final[dict[int, tuple[type[StorageError], str]]] = {
    errno.ENOENT: (NoSuchFile, "is not there"),
    errno.ENOTDIR: (NoSuchFile, "is not there, or no folder"),
    errno.ELOOP: (NoSuchFile, "is a link that leads to itself"),
    errno.EISDIR: (FileExists, "is a folder"),
    errno.EEXIST: (FileExists, "is there already"),
    errno.EAGAIN: (FileExists, "is being written by somebody else"),
    errno.ENOTEMPTY: (FileExists, "is a folder that is not empty"),
    errno.ENAMETOOLONG: (InvalidLocation, "has a name that is too long for this file system"),
    errno.EILSEQ: (InvalidLocation, "has a name that this file system does not take"),
    errno.EACCES: (AccessDenied, "may not be accessed"),
    errno.EPERM: (AccessDenied, "may not be accessed"),
    errno.EROFS: (AccessDenied, "is on a file system that may only be read"),
    errno.ENOSPC: (NoRoom, "has no room: the disk is full"),
    errno.EDQUOT: (NoRoom, "has no room: the quota is used up"),
    errno.EFBIG: (NoRoom, "is larger than a file may be here"),
}
_KINDS: Final[dict[int, Kind]] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
_PERMISSIONS: Final = 0o777


@attrs.frozen
class Place:
    """A folder, and what is in it by paths. Links lead nowhere out of it."""

    root: Path
    """Absolute, and without links."""
    shown: str

    def at(self, path: str) -> Path:
        """Return where *path* itself lies, which may be a link; folders on the way may be links within the root.

        :exc:`AccessDenied` if the way leads out of it. Whoever can put links in its folders at this very moment can
        lead astray: a root is not a jail for other programs.
        """
        names = checked(path).split("/")
        if os.name == "nt" and any(set(name) & set('\\:*?"<>|') for name in names):
            raise InvalidLocation(f"{self.shown}: {path} is no name on Windows", storage=self.shown, path=path)
        if len(names) == 1:
            return self.root / path
        folder = os.path.realpath(self.root.joinpath(*names[:-1]))
        self._check_inside(folder, path)
        return Path(folder, names[-1])

    def through(self, path: str) -> Path:
        """Return what *path* names: if it is a link, where that leads."""
        place = self.at(path)
        if not place.is_symlink():
            return place
        real = os.path.realpath(place)
        self._check_inside(real, path)
        return Path(real)

    def look(self, path: str) -> Entry:
        """Return what *path* is. A link that leads to nothing within the root is but a link."""
        place = self.at(path)
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            try:
                found = self.through(path).stat()
            except (OSError, AccessDenied):
                return entry_of(path, found)
        return entry_of(path, found)

    @contextmanager
    def faults(self, path: str) -> Generator[None]:
        """Say the system's errors in ours, as such of *path*."""
        try:
            yield
        except OSError as error:
            kind, what = _MEANINGS.get(error.errno or 0, (StorageError, f"failed: {error.strerror or error}"))
            raise kind(f"{self.shown}: {path or 'the root'} {what}", storage=self.shown, path=path) from error

    def no_file(self, path: str) -> NoSuchFile:
        """Return the error of somebody who wanted to read what is no file."""
        return NoSuchFile(f"{self.shown}: {path or 'the root'} is no file", storage=self.shown, path=path)

    def _check_inside(self, real: str, path: str) -> None:
        if not Path(real).is_relative_to(self.root):
            raise AccessDenied(
                f"{self.shown}: {path} is, or goes through, a link that leads out of the storage",
                storage=self.shown,
                path=path,
            )


def entry_of(path: str, found: os.stat_result) -> Entry:
    """Return what the system says of *path*."""
    mode = found.st_mode
    kind = _KINDS.get(stat.S_IFMT(mode), "other")
    if kind != "file":
        return Entry(path=path, kind=kind, modified=found.st_mtime, mode=mode & _PERMISSIONS)
    return Entry(
        path=path,
        size=found.st_size,
        modified=found.st_mtime,
        version=version_of(found),
        mode=mode & _PERMISSIONS,
    )


def version_of(found: os.stat_result) -> str:
    """Return which version of a file this is: a replaced one is another file, a changed one has another time."""
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"

"""Files that appear whole or not at all. Plain blocking code, for worker threads; errors are :exc:`OSError`."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import attrs


def fresh_name() -> str:
    """Return a name, hidden and taken by nobody, for what is not whole yet."""
    return f".sessionctx-{secrets.token_hex(6)}.part"


def is_unfinished(name: str) -> bool:
    """Whether *name* is that of something that is not whole yet."""
    return name.startswith(".sessionctx-") and name.endswith(".part")


@attrs.define(eq=False)
class Draft:
    """A new file in the folder of *path*, which gets that name when it is published. Ends with `close`.

    :exc:`FileExistsError` if there is something at *path*, unless it is to *replace* that.
    """

    path: Path
    replace: bool = False
    file: BinaryIO = attrs.field(init=False)
    """To write to."""
    _fresh: Path = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not self.replace:
            check_free(self.path)
        self._fresh = self.path.with_name(fresh_name())
        self.file = self._fresh.open("xb")

    def publish(self) -> None:
        """Give it its name, once it is on the disk. :exc:`FileExistsError` if that is taken by now."""
        self.settle()
        self.reveal()
        with suppress(OSError):  # some file systems cannot sync a folder
            sync_folder(self.path.parent)

    def settle(self) -> None:
        """Wait until its content is on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def reveal(self) -> None:
        """Give it its name, as `publish` does, and wait for nothing: a loss of power may undo it."""
        if self.replace:
            self._fresh.replace(self.path)
        else:
            give_name(self._fresh, self.path)

    def close(self) -> None:
        """Leave it; what was not published is removed."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self._fresh.unlink()


@contextmanager
def writing(path: Path, *, replace: bool = False) -> Generator[BinaryIO]:
    """Write a file that appears at *path* at the end of the block, unless that is left by an error."""
    draft = Draft(path, replace)
    try:
        yield draft.file
        draft.publish()
    finally:
        draft.close()


def give_name(fresh: str | bytes | Path, name: str | bytes | Path, folder: int | None = None) -> None:
    """Rename a file, symlink or folder without ever replacing something, as a rename would.

    Both names are in the open *folder*, if it is given. Where nothing can be linked (FAT, some networks, a folder),
    whoever takes the name at the very same moment may be replaced. :exc:`FileExistsError`.
    """
    try:
        os.link(fresh, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        check_free(name, folder)
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(fresh, dir_fd=folder)


def check_free(name: str | bytes | Path, folder: int | None = None) -> None:
    """:exc:`FileExistsError` if there is something of this name, be it a symlink to nowhere."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* safe from a loss of power. Windows has no such thing, and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

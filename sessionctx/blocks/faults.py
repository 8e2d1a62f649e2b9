"""What SQLite's errors mean to whoever keeps blocks in it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Final

from sessionctx.errors import StoreCorrupt, StoreError, StoreFull

# The primary result codes: sqlite.org/rescode.html. (The module names them from Python 3.11 on, but not for typing.)
BUSY: Final = 5
ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises; the second when SQLite's message quotes a damaged file."""

_READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 8, 10, 11, 13, 14, 26
_NO_ROOM: Final = 1024 * 1024  # bytes; with less than this free, a failed write means a full disk


def code(error: Exception) -> int:
    """Return SQLite's primary result code, 0 for other errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def explain(error: Exception, path: Path) -> StoreError:
    """Return the error of our tree that says what *error*, one of `ERRORS`, means for the store at *path*."""
    why = code(error)
    if why == _FULL or (why == _IOERR and _free(path) < _NO_ROOM):
        return StoreFull(f"{path}: the disk is full. Nothing kept before is lost; make room and put the block again")
    if why == _IOERR:
        advice = "a failing disk, a quota or a file size limit"
        return StoreError(
            f"{path}: the disk refused to read or write ({error}). Look for {advice}; nothing kept is lost"
        )
    if why in (_CORRUPT, _NOTADB) or isinstance(error, UnicodeDecodeError):
        return StoreCorrupt(
            f"{path} is damaged ({error}). If it opens, verify() names the bad blocks; if not, restore it"
        )
    if why == BUSY:
        return StoreError(f"{path}: another process is writing to this store and does not let go; try again later")
    if why in (_READONLY, _CANTOPEN):
        return StoreError(f"{path} cannot be written ({error}). Check the permissions of the file and of its folder")
    return StoreError(f"{path}: {error}")


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return _NO_ROOM

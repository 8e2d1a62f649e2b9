"""The data file of a store: its large blocks, beside the database, so that their bytes are written once.

Through SQLite's log they would be written twice, which takes three times as long. The rules:

1. The database alone says what is where. Bytes are written inside the transaction that names them, to where no
   committed row has anything: whoever dies meanwhile leaves nothing but room that is taken the next time.
2. Room is taken at the end, or where deleted blocks were. The latter only once their deletion is durable, for until
   then a loss of power could bring them back.
3. A durable commit syncs the data before it syncs the log. So up to the row called ``sure``, all is there whatever
   happens. Rows behind it might, after a loss of power, name bytes that never came to the disk: opening the store
   hashes those, and drops what is bad. There is a durable commit at least every `SURE_EVERY` bytes, so they are few.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from sessionctx.atomic import sync_folder
from sessionctx.content import CID, RAW, Block, verify
from sessionctx.errors import SessionctxError, StoreCorrupt, StoreError, StoreFull

LARGE: Final = 64 * 1024 if hasattr(os, "pwritev") else sys.maxsize
"""Bytes from which a block is kept in the data file."""
SURE_EVERY: Final = 256 * 1024 * 1024
"""Bytes written after which a commit is made durable, though nobody asked."""

_AHEAD: Final = 32 * 1024 * 1024  # bytes after which the disk is told to begin
_RUN: Final = 1024 * 1024  # bytes written with one call; four times as many took twice as long
_OPEN: Final = os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
_READ_ONLY: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
_PUT: Final = "INSERT INTO blocks (multihash, data, at, size) VALUES (?, x'', ?, ?) ON CONFLICT DO NOTHING"
_ROOM: Final = "SELECT tail, EXISTS (SELECT 1 FROM holes WHERE since < synced) FROM totals"
_HAS: Final = "SELECT 1 FROM blocks WHERE multihash = ?"
_HOLE: Final = (
    "SELECT at, size FROM holes WHERE size >= ? AND since < (SELECT synced FROM totals) ORDER BY size LIMIT 1"
)
_LAST_HOLE: Final = (
    "SELECT at FROM holes, totals WHERE at = (SELECT max(at) FROM holes) AND at + size = tail AND since < synced"
)
_SURE: Final = "UPDATE totals SET sure = (SELECT coalesce(max(id), 0) FROM blocks), synced = serial"
_UNSURE: Final = "SELECT id, multihash, at, size FROM blocks WHERE id > (SELECT sure FROM totals) AND at IS NOT NULL"
_LOST: Final = "UPDATE totals SET blocks = blocks - 1, bytes = bytes - ?, serial = serial + 1"

_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None) if sys.platform == "linux" else None
_SYNC_FILE_RANGE_WRITE = 2

Place: TypeAlias = "tuple[int, int]"
"""Where a block is, and how many bytes it has."""


def data_file(path: Path) -> Path:
    """Return the data file of the store at *path*."""
    return path.with_name(path.name + "-data")


class Heap:
    """The data file, open as soon as it is needed. One thread writes, under SQLite's write lock; any may read."""

    def __init__(self, path: Path) -> None:
        self.path = data_file(path)
        self._in = self._out = -1
        self._opening = threading.Lock()
        self._begun = self._written = 0  # bytes of the run being written, and of it those the disk knows of
        self._end = 0
        self._lost: OSError | None = None
        self.unsure = 0
        """Bytes written since all was durable."""

    # --- the writer's side

    @property
    def due(self) -> bool:
        """Whether the next commit should be durable."""
        return self.unsure >= SURE_EVERY

    def put(self, connection: sqlite3.Connection, blocks: Sequence[Block]) -> tuple[int, int]:
        """Write *blocks* and their rows; return how many are new, and their bytes. :exc:`StoreError`."""
        start, holes = connection.execute(_ROOM).fetchone()
        new: list[bytes] = []
        run: list[bytes] = []
        tail = start
        for block in blocks:
            key, data = block.cid.multihash, block.data
            if holes and connection.execute(_HAS, (key,)).fetchone():
                continue
            at = self._take(connection, len(data)) if holes else None
            if not connection.execute(_PUT, (key, tail if at is None else at, len(data))).rowcount:
                continue
            new.append(data)
            if at is None:
                run.append(data)
                tail += len(data)
                if tail - start >= _RUN:
                    self._write(start, run)
                    run, start = [], tail
            else:
                self._write(at, [data])
        if run:
            self._write(start, run)
        connection.execute("UPDATE totals SET tail = ?", (tail,))
        return len(new), sum(map(len, new))

    def sync(self, connection: sqlite3.Connection) -> None:
        """Bring all to the disk, and say so in the database; the commit that follows must be durable."""
        if self._out < 0 and self.path.exists():
            self._open_out()  # another process may have written
        if self._lost is not None:
            raise self._explain(self._lost) from self._lost
        if self._out >= 0:
            try:
                getattr(os, "fdatasync", os.fsync)(self._out)
            except OSError as error:
                self._lost = error  # systems report it once, and call the lost pages clean from then on
                raise self._explain(error) from error
        connection.execute(_SURE)
        self.unsure = 0

    def cut(self, connection: sqlite3.Connection) -> None:
        """Give the free end of the file back to the system.

        Inside the transaction that says so, while nobody else can append. If it is not committed, there is a hole
        behind the end of the file, which is as good as one inside.
        """
        hole = connection.execute(_LAST_HOLE).fetchone()
        if hole is None or not self.path.exists():
            return
        if self._out < 0:
            self._open_out()
        connection.execute("DELETE FROM holes WHERE at = ?", hole)
        connection.execute("UPDATE totals SET tail = ?", hole)
        try:
            os.ftruncate(self._out, hole[0])
        except OSError as error:
            raise self._explain(error) from error

    def _take(self, connection: sqlite3.Connection, size: int) -> int | None:
        """Return where there is a hole of *size* bytes or more, and take it. It is ours if this is committed."""
        hole = connection.execute(_HOLE, (size,)).fetchone()
        if hole is None:
            return None
        at, room = hole
        if room == size:
            connection.execute("DELETE FROM holes WHERE at = ?", (at,))
        else:
            connection.execute("UPDATE holes SET at = at + ?, size = size - ? WHERE at = ?", (size, size, at))
        return int(at)

    def _write(self, at: int, run: list[bytes]) -> None:
        if self._out < 0:
            self._open_out()
        left, offset = [memoryview(data) for data in run], at
        try:
            while left:
                done = os.pwritev(self._out, left, offset)
                offset += done
                while left and done >= len(left[0]):
                    done -= len(left.pop(0))
                if done:
                    left[0] = left[0][done:]
        except OSError as error:
            raise self._explain(error) from error
        self.unsure += offset - at
        self._begin_writing(at, offset - at)

    def _begin_writing(self, at: int, size: int) -> None:
        """Let the disk write what has come together, without a wait, so that syncing it has less to wait for."""
        if at != self._end:
            self._begun = self._written = 0
        self._end = at + size
        self._written += size
        waiting = self._written - self._begun
        if waiting >= _AHEAD and _sync_file_range is not None:
            start = ctypes.c_int64(self._end - waiting)
            _sync_file_range(self._out, start, ctypes.c_int64(waiting), _SYNC_FILE_RANGE_WRITE)
            self._begun = self._written

    def _open_out(self) -> None:
        new = not self.path.exists()
        try:
            self._out = os.open(self.path, _OPEN | os.O_CREAT, 0o644)
            if new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise self._explain(error) from error

    def _explain(self, error: OSError) -> StoreError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return StoreFull(f"{self.path}: the disk is full. Nothing kept before is lost; make room, put it again")
        return StoreError(f"{self.path}: the disk refused to write ({error.strerror or error}); nothing kept is lost")

    # --- the reader's side

    def read(self, at: int, size: int) -> bytes:
        """Return what is at *at*; less than *size* bytes where the file was cut. :exc:`StoreCorrupt`."""
        try:
            if self._in < 0:
                with self._opening:
                    self._in = self._in if self._in >= 0 else os.open(self.path, _READ_ONLY)
            return os.pread(self._in, size, at)
        except FileNotFoundError as error:
            raise StoreCorrupt(f"{self.path} is gone, which holds the large blocks. Restore it from a copy") from error
        except OSError as error:
            raise StoreCorrupt(f"{self.path} cannot be read: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file, once both sides have ended."""
        for fd in (self._in, self._out):
            if fd >= 0:
                os.close(fd)
        self._in = self._out = -1


def recover(connection: sqlite3.Connection, path: Path) -> None:
    """Drop the blocks whose bytes a loss of power has kept from the disk."""
    heap = Heap(path)
    try:
        if all(_holds(heap, row) for row in connection.execute(_UNSURE)):
            return
        connection.execute("BEGIN IMMEDIATE")  # nobody moves anything now
        with connection:
            for row in connection.execute(_UNSURE).fetchall():
                if not _holds(heap, row):
                    connection.execute("DELETE FROM blocks WHERE id = ?", (row[0],))
                    connection.execute(_LOST, (row[3],))
    finally:
        heap.close()


def _holds(heap: Heap, row: tuple[int, bytes, int, int]) -> bool:
    _, key, at, size = row
    try:
        verify(CID.new(1, RAW, key), heap.read(at, size))
    except SessionctxError:
        return False
    return True

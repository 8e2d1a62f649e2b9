"""A file on this disk that is put together from parts in any order, and can be gone on with after a break. Blocking.

Beside it, while it is not whole, lies a note in JSON: of which file and version it is, and the spans that are on the
disk, each with its checksum, so that what is gone on with is what was written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from sessionctx.atomic import give_name
from sessionctx.errors import FileDamaged
from sessionctx.storage.base import Entry, WriteOptions
from sessionctx.storage.local.place import Place, entry_of
from sessionctx.storage.local.steps import alone_in, check_target, make_folders, settle_folders

FORMAT: Final = 1
_PIECE: Final = 4 * 1024 * 1024


@attrs.define(eq=False)
class Span:
    """Bytes that are there, one after the other: from *begin* to *end*, with their CRC-32."""

    begin: int
    end: int = attrs.field(default=attrs.Factory(lambda self: self.begin, takes_self=True))
    crc: int = 0


@attrs.define(eq=False)
class Landing:
    """The file that will be at *path*. *source* says where it comes from: the same version of it can be gone on with.

    Ends with `close`.
    """

    place: Place
    path: str
    source: str
    entry: Entry
    """Of the source: its size and its version count."""
    options: WriteOptions
    keep: bool
    """Whether what is there so far is kept for another time if it does not become whole."""
    sync: bool = True
    """Whether it is to be safe from a loss of power when it appears."""
    spans: list[Span] = attrs.field(factory=list[Span], init=False)
    _draft: Path = attrs.field(init=False)
    _handle: int = attrs.field(init=False)
    _whole: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        check_target(self.place, self.path, self.options)
        where = self.place.at(self.path)
        make_folders(where.parent)
        name = hashlib.blake2b(f"{self.source}\0{where.name}".encode(), digest_size=8).hexdigest()
        self._draft = where.with_name(f".sessionctx-{name if self.keep else os.urandom(8).hex()}.part")
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._handle = os.open(self._draft, flags, 0o666)
        try:
            _claim(self._handle)
            self.spans = [span for span in self._noted() if self._intact(span)] if self.keep else []
            _reserve(self._handle, self.entry.size or 0)
        except BlockingIOError:
            os.close(self._handle)
            raise
        except BaseException:
            self._leave()
            raise

    @property
    def here(self) -> int:
        """Bytes that are there."""
        return sum(span.end - span.begin for span in self.spans)

    def begin(self, at: int) -> Span:
        """Return the span of what will come from *at* on."""
        span = Span(at)
        self.spans.append(span)
        return span

    def put(self, span: Span, data: bytes | bytearray | memoryview) -> None:
        """Write what comes next of *span*."""
        left = memoryview(data)
        while left:
            count = os.pwrite(self._handle, left, span.end)
            span.crc = zlib.crc32(left[:count], span.crc)
            span.end += count
            left = left[count:]

    def note(self) -> None:
        """Make sure of what is there, and write down that it is."""
        known = [[span.begin, span.end, span.crc] for span in self.spans if span.end > span.begin]
        os.fsync(self._handle)
        record = {"format": FORMAT, "source": self.source, "version": self.entry.version, "size": self.entry.size}
        fresh = self._draft.with_name(f".sessionctx-{os.urandom(6).hex()}.part")
        fresh.write_text(json.dumps(record | {"spans": known}))
        fresh.replace(self._note)

    def publish(self) -> Entry:
        """Show it, whole."""
        size = self.entry.size or 0
        if not _covers(self.spans, size):
            raise FileDamaged(
                f"{self.place.shown}: {self.path} did not become whole", storage=self.place.shown, path=self.path
            )
        if self.options.mode is not None:
            self._draft.chmod(self.options.mode & 0o777)
        if self.options.modified is not None:
            when = round(self.options.modified * 1e9)
            os.utime(self._draft, ns=(when, when))
        if self.sync:
            os.fsync(self._handle)
        found = self._draft.stat()
        where = self.place.at(self.path)
        with alone_in(where.parent):
            check_target(self.place, self.path, self.options)
            if self.options.if_absent:
                give_name(self._draft, where)
            else:
                self._draft.replace(where)
        self._whole = True
        if self.sync:
            settle_folders(where.parent)
        return entry_of(self.path, found)

    def discard(self) -> None:
        """Let nothing of it be kept: it is of no use any more."""
        self.keep = False

    def close(self) -> None:
        """Leave it."""
        try:
            if self.keep and not self._whole:
                self.note()
        finally:
            self._leave()

    # ---

    def _leave(self) -> None:
        with suppress(OSError):
            if self._whole or not self.keep:
                self._note.unlink(missing_ok=True)
            if not self._whole and not self.keep:
                self._draft.unlink(missing_ok=True)
        os.close(self._handle)

    @property
    def _note(self) -> Path:
        return self._draft.with_name(f"{self._draft.stem}-note.part")

    def _noted(self) -> Iterator[Span]:
        """Give what the note says, if it is one of this version of the file."""
        try:
            record: dict[str, Any] = json.loads(self._note.read_text())
            expected = {
                "format": FORMAT,
                "source": self.source,
                "version": self.entry.version,
                "size": self.entry.size,
            }
            if self.entry.version is None or any(record[key] != value for key, value in expected.items()):
                return
            spans = [Span(int(begin), int(end), int(crc)) for begin, end, crc in record["spans"]]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return
        yield from spans

    def _intact(self, span: Span) -> bool:
        """Whether what is on the disk is what was written there."""
        crc, at = 0, span.begin
        if not 0 <= span.begin < span.end <= (self.entry.size or 0):
            return False
        while at < span.end:
            data = os.pread(self._handle, min(_PIECE, span.end - at), at)
            if not data:
                return False
            crc, at = zlib.crc32(data, crc), at + len(data)
        return crc == span.crc


def _covers(spans: list[Span], size: int) -> bool:
    at = 0
    for span in sorted(spans, key=lambda span: span.begin):
        if span.begin > at:
            return False
        at = max(at, span.end)
    return at >= size


def _claim(handle: int) -> None:
    """:exc:`BlockingIOError` if another process, or task, writes the same; :exc:`PermissionError` if it is not ours."""
    if sys.platform != "win32":
        import fcntl

        if os.fstat(handle).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _reserve(handle: int, size: int) -> None:
    """Take the room on the disk now. :exc:`OSError` if there is not enough."""
    os.ftruncate(handle, size)
    if size and sys.platform == "linux":
        os.posix_fallocate(handle, 0, size)

"""Uploads that are under way, noted in a folder, so that those of a program that was killed can be resumed or swept.

Each is a file, locked by its writer as long as that lives; the system unlocks it, however the writer ends.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs
import trio

from sessionctx.errors import CannotDo
from sessionctx.storage.s3.threads import THREADS

_MOST: Final = 64 * 1024
"""Bytes of a note that are read."""


@attrs.frozen
class Record:
    """What has to be known of an upload to go on with it, or to take it back."""

    endpoint: str
    bucket: str
    key: str
    id: str
    headers: dict[str, str] = attrs.field(factory=dict[str, str])
    """What it was begun with."""
    checksums: bool = False


@attrs.define(eq=False)
class Note:
    """A record in the journal that is ours until it is struck or left."""

    record: Record
    _path: Path
    _file: int

    def strike(self) -> None:
        """The upload is no more: forget it."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._file)

    def leave(self) -> None:
        """The upload is still there: let somebody else take care of it."""
        os.close(self._file)


@attrs.frozen
class Journal:
    """The notes in a folder, shared by any number of programs on this machine."""

    folder: Path

    async def note(self, record: Record) -> Note:
        """Note an upload that has begun."""
        return await trio.to_thread.run_sync(self._note, record, limiter=THREADS)

    async def abandoned(self, endpoint: str, bucket: str, key: str | None = None) -> list[Note]:
        """Return the uploads to a bucket, or to one *key* in it, whose writers are gone; they are ours now."""
        return await trio.to_thread.run_sync(self._abandoned, endpoint, bucket, key, limiter=THREADS)

    def _note(self, record: Record) -> Note:
        self.folder.mkdir(parents=True, exist_ok=True)
        about = json.dumps(attrs.asdict(record)).encode()
        name = sha256(about).hexdigest()[:32]
        path = self.folder / f"{name}.upload"
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        _lock(file)
        os.write(file, about)
        return Note(record, path, file)

    def _abandoned(self, endpoint: str, bucket: str, key: str | None) -> list[Note]:
        found: list[Note] = []
        for path in sorted(self.folder.glob("*.upload")):
            note = _taken(path)
            if note is None:
                continue
            record = note.record
            if (record.endpoint, record.bucket) == (endpoint, bucket) and key in {None, record.key}:
                found.append(note)
            else:
                note.leave()
        return found


def _taken(path: Path) -> Note | None:
    """Return the note at *path*, unless its writer lives, or it is none."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        if _lock(file) and os.fstat(file).st_nlink:
            return Note(Record(**json.loads(os.read(file, _MOST))), path, file)
    except (ValueError, TypeError):
        pass  # cut short, or somebody else's
    os.close(file)
    return None


def _lock(file: int) -> bool:
    """Lock an open file if nobody else has."""
    try:
        import fcntl
    except ImportError:
        raise CannotDo("a journal of uploads needs a system that locks files for it, as Unix does") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Where a share keeps its blobs: in a storage, each whole or not at all, its digest in a file beside it.

A blob comes first and its digest then. So what has no digest beside it, or an older one than itself, is looked through
once; and files that others put there are blobs, too. A blob goes after its digest, so that none is left of another.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Final, Protocol, Self

import attrs
import trio

from sessionctx.errors import NoRoom, NoSuchFile, StorageError
from sessionctx.share.blob import (
    FOLDER,
    MOST_DIGEST,
    Blob,
    digest_file,
    digest_path_of,
    path_of,
    read_digest_file,
)
from sessionctx.share.metrics import Metrics
from sessionctx.share.names import Names
from sessionctx.share.room import Reservation, Room
from sessionctx.storage import Backend, Entry, Reader, WriteOptions

REMEMBERED: Final = 10_000
"""Blobs whose digests are kept in memory."""


class Measured(Protocol):
    """A source that says in the end what it gave."""

    size: int
    """Bytes given so far."""

    @property
    def digest(self) -> str:
        """Of what it gave, ``sha256:`` and 64 digits."""
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> bytes | bytearray | memoryview: ...


@attrs.frozen
class Kept:
    """A blob that is here."""

    blob: Blob
    entry: Entry
    loaded: bool
    """Whether it came from another service, and may go again."""


@attrs.define(eq=False)
class Shelf:
    """The blobs in one storage."""

    backend: Backend
    room: Room
    _metrics: Metrics
    _known: OrderedDict[str, Kept] = attrs.field(factory=OrderedDict[str, Kept], init=False)
    _going: dict[str, trio.Event] = attrs.field(factory=dict[str, trio.Event], init=False)
    _looking: Names = attrs.field(factory=Names, init=False)
    _making_room: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def count(self) -> None:
        """Count what is here already, if that is bounded; the oldest count as used least recently."""
        if self.room.most is None:
            return
        try:
            async with self.backend.list(FOLDER) as listing:
                found = [entry async for entry in listing if entry.kind == "file"]
        except NoSuchFile:
            return
        for entry in sorted(found, key=lambda entry: entry.modified or 0.0):
            self.room.put(entry.path.rpartition("/")[2], entry.size or 0)

    async def find(self, resource_id: str) -> Kept | None:
        """Return what is known of a blob, if it is here."""
        while (going := self._going.get(resource_id)) is not None:
            await going.wait()
        try:
            entry = await self.backend.stat(path_of(resource_id))
        except NoSuchFile:
            return None
        if entry.kind != "file":
            return None
        self.room.touch(resource_id)
        if (known := self._as_known(entry, resource_id)) is not None:
            return known
        async with self._looking.only(resource_id):
            return self._as_known(entry, resource_id) or self._remember(await self._look(resource_id, entry))

    def read(self, kept: Kept, offset: int, length: int | None) -> AbstractAsyncContextManager[Reader]:
        """Read a blob that is here, and no other that might take its place."""
        path = path_of(kept.blob.id)
        version = kept.entry.version if self.backend.can.if_version else None
        return self.backend.read(path, offset=offset, length=length, version=version)

    async def write(self, resource_id: str, source: Measured, *, size: int | None, loaded: bool) -> Kept:
        """Keep what *source* gives. :exc:`FileExists` if there is something by now; what the source raises."""
        options = WriteOptions(if_absent=self.backend.can.if_absent)
        entry = await self.backend.write(path_of(resource_id), source, size_hint=size, options=options)
        blob = Blob(resource_id, source.size, source.digest)
        self.room.put(resource_id, blob.size)
        return await self.note(Kept(blob, entry, loaded))

    async def note(self, kept: Kept) -> Kept:
        """Write down what is known of a blob that is here, beside it."""
        if not kept.loaded:
            self.room.own(kept.blob.id)
        if self.backend.can.write:
            with suppress(StorageError):  # the blob is here, whatever becomes of that
                await self.backend.write(digest_path_of(kept.blob.id), digest_file(kept.blob, loaded=kept.loaded))
        return self._remember(kept)

    async def remove(self, resource_id: str) -> None:
        """Delete a blob."""
        self._going[resource_id] = gone = trio.Event()
        try:
            self._known.pop(resource_id, None)
            await self.backend.delete(digest_path_of(resource_id))
            await self.backend.delete(path_of(resource_id))
            self.room.drop(resource_id)
        finally:
            del self._going[resource_id]
            gone.set()

    # --- room

    @contextmanager
    def reserving(self) -> Generator[Reservation]:
        """Take room, with `make_room`, for what is written in the block."""
        with Reservation(self.room) as reservation:
            yield reservation

    async def make_room(self, reservation: Reservation, size: int) -> None:
        """Take room for *size* bytes, and evict for it what was loaded and not used for the longest time.

        Raises:
            NoRoom: what may go is not enough.
        """
        if not self.room.fits(size):
            async with self._making_room:
                while not self.room.fits(size):
                    await self._evict(size)
        reservation.take(size)

    async def _evict(self, size: int) -> None:
        oldest = self.room.oldest()
        if oldest is None:
            public = self.backend.public
            raise NoRoom(
                f"{public}: there is no room for {size} bytes more within max_bytes={self.room.most}; what was shared"
                " here, and what is in use, does not go",
                storage=public,
            )
        if await self._was_loaded(oldest):
            await self.remove(oldest)
            self._metrics.evicted += 1
        else:
            self.room.own(oldest)

    async def _was_loaded(self, resource_id: str) -> bool:
        known = self._known.get(resource_id)
        return known.loaded if known is not None else (await self._noted(resource_id))[1]

    # --- what is known

    async def _look(self, resource_id: str, entry: Entry) -> Kept:
        digest, loaded, written = await self._noted(resource_id)
        if digest is not None and not (written or 0.0) < (entry.modified or 0.0):
            return Kept(Blob(resource_id, entry.size or 0, digest), entry, loaded)
        size, found = 0, hashlib.sha256()
        async with self.backend.read(path_of(resource_id), version=entry.version) as reader:
            async for piece in reader:
                size += len(piece)
                found.update(piece)
        return await self.note(Kept(Blob(resource_id, size, f"sha256:{found.hexdigest()}"), entry, loaded=False))

    async def _noted(self, resource_id: str) -> tuple[str | None, bool, float | None]:
        """Return what the file beside a blob says: its digest, whether it was loaded, and when that was written."""
        try:
            async with self.backend.read(digest_path_of(resource_id), length=MOST_DIGEST) as reader:
                data = b"".join([bytes(piece) async for piece in reader])
                return *read_digest_file(data), reader.entry.modified
        except NoSuchFile:
            return None, False, None

    def _as_known(self, entry: Entry, resource_id: str) -> Kept | None:
        known = self._known.get(resource_id)
        return known if known is not None and _state(known.entry) == _state(entry) else None

    def _remember(self, kept: Kept) -> Kept:
        self._known[kept.blob.id] = kept
        self._known.move_to_end(kept.blob.id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return kept


def _state(entry: Entry) -> tuple[object, ...]:
    return entry.version, entry.size, entry.modified

"""A shelf of keyed objects: an index beside a storage that holds the large ones.

An object appears, and gives way to another, in one transaction of the index. Content is written before it is named
there, under a name of its own, and noted as doomed until then: whatever happens, it is either an object's or will be
deleted.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar

import attrs
import trio

from sessionctx.objects.metadata import Metadata
from sessionctx.objects.paths import Place
from sessionctx.objects.shelf.index import Index
from sessionctx.objects.shelf.rows import Blob, Row, bumped, first_expiry
from sessionctx.storage import Backend, Source, open_storage, pieces

T = TypeVar("T")
Piece: TypeAlias = bytes | bytearray | memoryview

INLINE: Final = 64 * 1024
"""Bytes up to which content is kept in the index itself."""
SWEEP: Final = 1000
"""Objects, or pieces of content, that are swept in one go."""
ABANDONED: Final = 7 * 86_400.0
"""Seconds after which an upload that has not ended is given up."""


@attrs.frozen
class Put:
    """A small object that is to be put."""

    place: Place
    key: str
    metadata: Metadata
    body: bytes = attrs.field(repr=False)


@attrs.define(eq=False)
class Shelf:
    """Objects by place and key. Open it with `open_shelf`; used by any number of tasks at once."""

    _index: Index
    _content: Backend
    _clock: Callable[[], float]
    _working: set[str] = attrs.field(factory=set[str], init=False)
    """Content that is being written, and not to be swept."""
    _turn: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    # --- whole objects

    async def put(self, place: Place, key: str, metadata: Metadata, source: Source) -> str:
        """Keep what *source* brings under *key*, or one of our making if that is empty; returns the key."""
        key = key or fresh_key()
        small, rest = await _beginning(source)
        if rest is None:
            await self.put_many([Put(place, key, metadata, small)])
            return key
        async with self.writing() as blob:
            size = (await self._content.write(blob, _Chained(small, rest))).size or 0
            await self.name(place, key, metadata, (Blob(blob, size),))
        return key

    async def put_many(self, puts: Sequence[Put]) -> None:
        """Keep small objects, in one transaction."""
        now = self._clock()
        rows = [
            Row(
                place=str(put.place),
                key=put.key,
                metadata=put.metadata,
                created=now,
                expires=first_expiry(put.metadata.expiration, now),
                inline=put.body,
            )
            for put in puts
        ]
        await self._write(lambda: self._index.put(*rows))

    async def name(self, place: Place, key: str, metadata: Metadata, blobs: Sequence[Blob], upload: str = "") -> None:
        """Make an object of content that is there; an *upload* that brought it ends with that."""
        now = self._clock()
        expires = first_expiry(metadata.expiration, now)
        row = Row(place=str(place), key=key, metadata=metadata, created=now, expires=expires, blobs=tuple(blobs))

        def write() -> None:
            self._index.put(row)
            self._index.gone(blob.name for blob in blobs)
            if upload:
                self._index.end(upload, kept=blobs)

        await self._write(write)

    async def find(self, place: Place, keys: Iterable[str]) -> list[Row | None]:
        """Return the objects called so, None for those that are not there or have expired. It counts as a use."""
        now, wanted = self._clock(), list(keys)
        rows = await self._read(lambda: [self._index.find(str(place), key, now) for key in wanted])
        later = {row.key: at for row in rows if row is not None and (at := bumped(row, now)) is not None}
        if later:
            await self._write(lambda: self._index.expire_at(str(place), later))
        return rows

    @asynccontextmanager
    async def read(self, row: Row, begin: int = 0, end: int | None = None) -> AsyncGenerator[AsyncIterator[Piece]]:
        """Lend the content of an object, from byte *begin* to before *end*."""
        stop = row.size if end is None else min(end, row.size)
        if row.inline is not None:
            await trio.lowlevel.checkpoint()
            yield pieces(row.inline[begin:stop])
            return
        spans = list(_spans(row.blobs, begin, stop))
        if len(spans) == 1:
            ((name, offset, length),) = spans
            async with self._content.read(name, offset=offset, length=length) as reader:
                yield reader
            return
        send, receive = trio.open_memory_channel[Piece](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, spans, send)
            yield receive
            nursery.cancel_scope.cancel()

    async def delete(self, place: Place, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there were deleted already."""
        wanted = list(keys)
        await self._write(lambda: self._index.remove(str(place), *wanted))

    async def amend(self, row: Row) -> None:
        """Write down what is said of an object anew, if it is still the one that was made then."""
        await self._write(lambda: self._index.amend(row))

    # --- content

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[str]:
        """Lend a name for new content, which is doomed unless it is named in the index by the end of the block."""
        blob = _fresh_blob()
        self._working.add(blob)
        try:
            await self._write(lambda: self._index.doom([Blob(blob, 0)]))
            yield blob
        finally:
            self._working.discard(blob)

    async def indexed(self, work: Callable[[Index], T], *, writes: bool = False) -> T:
        """Do *work* with the index, in a thread, one at a time; in a transaction if it *writes*."""
        return await (self._write if writes else self._read)(lambda: work(self._index))

    @property
    def content(self) -> Backend:
        """Where the content of large objects is."""
        return self._content

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._clock()

    # --- sweeping

    async def sweep(self) -> int:
        """Delete what has expired, uploads that were given up, and content that is nobody's; returns how much it was.

        What has expired is not to be seen before that, either.
        """
        now = self._clock()
        count = await self._write(lambda: self._index.expired(now, SWEEP))
        given_up = await self._read(lambda: self._index.abandoned(now - ABANDONED, SWEEP))
        await self._write(lambda: self._index.end(*given_up))
        return count + len(given_up) + await self._clear()

    async def keep_swept(self, seconds: float = 60.0) -> None:
        """Sweep for ever, with pauses of so many *seconds* while there is nothing to do."""
        while True:
            if await self.sweep() < SWEEP:
                await trio.sleep(seconds)

    async def _clear(self) -> int:
        """Delete content that is doomed, but for what is being written now."""
        names = [name for name in await self._read(lambda: self._index.doomed(SWEEP)) if name not in self._working]
        failed = await self._content.delete_many(names)
        gone = [name for name in names if name not in failed]
        await self._write(lambda: self._index.gone(gone))
        return len(gone)

    # ---

    async def _pump(self, spans: list[tuple[str, int, int]], send: trio.MemorySendChannel[Piece]) -> None:
        async with send:
            for name, offset, length in spans:
                async with self._content.read(name, offset=offset, length=length) as reader:
                    async for piece in reader:
                        await send.send(piece)

    async def _read(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._turn)

    async def _write(self, work: Callable[[], T]) -> T:
        def within() -> T:
            with self._index.writing():
                return work()

        return await trio.to_thread.run_sync(within, limiter=self._turn)


@asynccontextmanager
async def open_shelf(
    folder: str | PathLike[str], content: str | None = None, *, clock: Callable[[], float] = time.time, **options: Any
) -> AsyncGenerator[Shelf]:
    """Open the shelf in *folder*, made if need be: the index in ``objects.sqlite``, and content beside it.

    Or the content of large objects in another storage, by its URL: ``s3://bucket/prefix``, with the *options* of that.
    One process at a time may use it.

    Raises:
        NotAStore: the folder holds something else by the name of the index.
        StorageError: the storage cannot be opened.
    """
    path = Path(folder)
    await trio.to_thread.run_sync(lambda: path.mkdir(parents=True, exist_ok=True))
    index = await trio.to_thread.run_sync(Index.open, path / "objects.sqlite")
    try:
        where = (path / "content").absolute().as_uri() if content is None else content
        if content is None:
            await trio.to_thread.run_sync(lambda: (path / "content").mkdir(exist_ok=True))
        async with open_storage(where, **options) as backend:
            yield Shelf(index, backend, clock)
    finally:
        index.close()


def fresh_key() -> str:
    """Return a key that nobody has."""
    return str(uuid.uuid4())


def _fresh_blob() -> str:
    name = secrets.token_hex(16)
    return f"{name[:2]}/{name[2:]}"


def _spans(blobs: Iterable[Blob], begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Yield which bytes of which pieces lie between *begin* and *end*: name, offset, length."""
    at = 0
    for blob in blobs:
        first, last = max(begin, at), min(end, at + blob.size)
        if first < last:
            yield blob.name, first - at, last - first
        at += blob.size


async def _beginning(source: Source) -> tuple[bytes, AsyncIterator[Piece] | None]:
    """Return the content, if it is small; otherwise how it begins, and the rest."""
    rest, begun = pieces(source), bytearray()
    async for piece in rest:
        begun += piece
        if len(begun) > INLINE:
            return bytes(begun), rest
    return bytes(begun), None


class _Chained:
    """How a source began, and its rest."""

    def __init__(self, begun: bytes, rest: AsyncIterator[Piece]) -> None:
        self._begun: bytes | None = begun
        self._rest = rest

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        if self._begun is not None:
            begun, self._begun = self._begun, None
            return begun
        return await anext(self._rest)

"""A large file to this disk: several parts in flight, each next one begun as one ends, gone on with after a break."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import attrs
import trio

from sessionctx import session
from sessionctx.errors import CannotDo, FileChanged
from sessionctx.peers import Record
from sessionctx.storage.base import PLAIN, Backend, Entry, WriteOptions
from sessionctx.storage.endpoint import Endpoint
from sessionctx.storage.landing import Landing, Span
from sessionctx.storage.local import LocalStorage
from sessionctx.storage.window import Part, Shape, Window, shape

ENOUGH: Final = 1024 * 1024
"""Bytes that are written in one step, in a worker thread."""
_NOTE_EVERY: Final = 256 * 1024 * 1024
"""Bytes after which it is noted what is there, if that is to be gone on with."""
_LATE: Final = 4.0
_LEAST_LATE: Final = 2.0
"""How many times its usual latency, and seconds at least, a part may be silent when others have nothing to do."""


async def download(
    source: Backend,
    path: str,
    target: LocalStorage,
    name: str,
    *,
    entry: Entry | None = None,
    options: WriteOptions = PLAIN,
    resume: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Entry:
    """Bring the file *path* of *source* into *target* as *name*, in parts; it appears when it is whole.

    Args:
        source: where it is.
        path: which file.
        target: a folder of this machine.
        name: the path in it.
        entry: what `Backend.stat` said of it, if that is known: this version is brought.
        options: how to write it.
        resume: go on with what an earlier call left, if it is of the same version and intact, and leave what there is
            if this one fails. By default nothing is left.
        progress: called with the number of bytes, as they come; with *resume* first with those that were there.

    Raises:
        FileChanged: it became another version meanwhile. Nothing is kept of the one before.
        FileExists: somebody else is bringing the same file there with *resume*.
        StorageError, PeerError: as *source* and *target* raise them.
    """
    with session.begin():
        found = await source.stat(path) if entry is None else entry
        if found.size is None:
            raise CannotDo(
                f"{source.public} does not tell the size of {path}: it cannot be brought in parts",
                storage=source.public,
                path=path,
            )
        origin, keep = f"{source.public}/{path}", resume and found.version is not None
        work = partial(target.work, name)
        landing = await work(lambda: Landing(target.place, name, origin, found, options, keep, target.sync))
        try:
            window = Window.over(found.size, [(span.begin, span.end) for span in landing.spans])
            progress(landing.here)
            await _Download(source, path, found, landing, work, progress, window).run()
            return await work(landing.publish)
        except FileChanged:
            landing.discard()
            raise
        finally:
            with trio.CancelScope(shield=True):
                await work(landing.close)


@attrs.define(eq=False)
class _Download:
    source: Backend
    path: str
    entry: Entry
    landing: Landing
    work: Callable[[Callable[[], None]], Awaitable[None]]
    """Does a blocking step of the landing."""
    progress: Callable[[int], object]
    window: Window
    _scopes: dict[int, trio.CancelScope] = attrs.field(factory=dict[int, trio.CancelScope], init=False)
    _ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    _failure: Exception | None = attrs.field(default=None, init=False)
    _unnoted: int = attrs.field(default=0, init=False)
    _retaken: int = attrs.field(default=0, init=False)

    async def run(self) -> None:
        """Bring all that is missing."""
        async with trio.open_nursery() as nursery:
            while not self.window.complete and self._failure is None:
                now, form = trio.current_time(), self._shape()
                part = self.window.take(form, now)
                if part is not None:
                    nursery.start_soon(self._bring, part)
                    continue
                self._ended = trio.Event()
                with trio.move_on_after(_LEAST_LATE / 4):
                    await self._ended.wait()
                if len(self.window.under_way) < form.at_once:
                    self._retake()
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _bring(self, part: Part) -> None:
        """Bring one part; an error of it ends all."""
        span = self.landing.begin(part.begin)
        try:
            with trio.CancelScope() as self._scopes[id(part)]:
                await self._read(part, span)
        except Exception as error:  # noqa: BLE001 - raised by `run`, outside of the nursery
            self._failure = self._failure or error
        finally:
            del self._scopes[id(part)]
            part.at = min(part.at, span.end)  # what came, and was not written any more, is not here
            self.window.ended(part)
            self._ended.set()

    async def _read(self, part: Part, span: Span) -> None:
        async with self.source.read(
            self.path, offset=part.begin, length=part.left, version=self.entry.version
        ) as reader:
            gathered = bytearray()
            async for piece in reader:
                data = memoryview(piece)
                gathered += data[: self.window.came(part, data.nbytes, trio.current_time())]
                if len(gathered) >= ENOUGH or not part.left:
                    await self.work(partial(self.landing.put, span, gathered))
                    self.progress(len(gathered))
                    await self._note(len(gathered))
                    gathered = bytearray()
                if not part.left:
                    return
        raise self._too_short()

    async def _note(self, count: int) -> None:
        """From time to time, note what is there, so that a crash does not lose it."""
        self._unnoted += count
        if self.landing.keep and self._unnoted >= _NOTE_EVERY:
            self._unnoted = 0
            await self.work(self.landing.note)

    def _retake(self) -> None:
        """Ask anew for what has been silent too long, now that there is nothing else to do."""
        record = self._record()
        usual = record.latency if record is not None and record.latency is not None else 0.0
        late = max(_LATE * usual, _LEAST_LATE) * 2**self._retaken
        part = self.window.late(late, trio.current_time())
        if part is not None:
            self._retaken += 1
            self._scopes[id(part)].cancel()

    def _record(self) -> Record | None:
        can = self.source.can
        return Endpoint.at(self.source.url, self.source.public, most=can.best_in_flight).record()

    def _shape(self) -> Shape:
        """Return what suits the line, by what the session knows of it and allows."""
        can, record, limits = self.source.can, self._record(), session.current().limits
        return shape(
            None if record is None else record.latency,
            None if record is None else record.rate,
            best_part=can.best_part,
            most=min(can.best_in_flight, limits.in_flight or 1000, limits.in_flight_per_peer or 1000),
            memory=limits.memory,
        )

    def _too_short(self) -> FileChanged:
        shown = self.source.public
        return FileChanged(f"{shown}: {self.path} is shorter than it was", storage=shown, path=self.path)

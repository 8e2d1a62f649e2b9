"""The storage in a folder of this machine: the protocol over steps that run in a few worker threads."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

import attrs
import trio

from sessionctx.errors import InvalidLocation, SessionctxError
from sessionctx.storage.base import PLAIN, Can, Entry, Listing, Reader, Source, WriteOptions
from sessionctx.storage.local import steps
from sessionctx.storage.local.place import Place
from sessionctx.storage.local.reading import PIECE, FileReader, Opened, Worker
from sessionctx.storage.local.walk import walk
from sessionctx.storage.paths import checked
from sessionctx.storage.source import Gathered
from sessionctx.transports import redacted

T = TypeVar("T")

CAN: Final = Can(
    rename=True,
    copy=True,
    if_absent=True,
    if_version=True,
    times=True,
    modes=True,
    links=True,
    best_in_flight=4,
    best_part=PIECE,
    local=True,
)
_THREADS: Final = 8
_PIECE_OUT: Final = 1024 * 1024
"""Bytes that are written in one step, if the source gives less at a time."""
_FIRST, _MOST = 32, 1024
"""Entries of the first step of a listing, and of a later one."""


def _real(folder: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(folder))


@attrs.define(eq=False)
class LocalStorage:
    """The files in and below *root*; it is made when something is written.

    With *sync* what was written stays so even if the power fails at once after; without it writing is faster.
    """

    root: Path = attrs.field(converter=_real)
    sync: bool = True
    can: Can = CAN
    _place: Place = attrs.field(init=False, repr=False)
    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(_THREADS), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._place = Place(self.root, self.url)

    @property
    def url(self) -> str:
        """The root, as a URL."""
        return self.root.as_uri()

    @property
    def public(self) -> str:
        """The same as its url: there are no credentials."""
        return self.url

    @property
    def endpoint(self) -> str:
        """That of all that is on this machine."""
        return "file://"

    @property
    def place(self) -> Place:
        """The root, for blocking steps.

        :meta private:
        """
        return self._place

    async def stat(self, path: str = "") -> Entry:
        """Return what *path* is; what a link leads to, if that is within the root."""
        return await self.work(path, lambda: self._place.look(path))

    @asynccontextmanager
    async def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AsyncGenerator[Reader]:
        """Read what the file is now, whatever its name leads to then; :exc:`FileChanged` if it is written in place."""

        def begin() -> tuple[Opened, bytes]:
            with ExitStack() as ending:
                opened = Opened.open(self._place, path, offset, length, version)
                ending.callback(opened.close)
                first = opened.piece()
                ending.pop_all()
                return opened, first

        opened, first = await self.work(path, begin)
        with closing(opened):
            yield FileReader(opened, first, self.work)

    async def write(
        self,
        path: str,
        source: Source,
        *,
        size_hint: int | None = None,  # noqa: ARG002
        options: WriteOptions = PLAIN,
    ) -> Entry:
        """Write it beside its place, and show it then."""
        stream = Gathered(source, _PIECE_OUT)
        checked(path)
        first = await stream.next()

        def begin() -> steps.Writing | Entry:
            with ExitStack() as ending:
                writing = self._writing(path, options)
                ending.callback(writing.close)
                writing.take(first)
                if stream.ended:
                    return writing.publish()
                ending.pop_all()
                return writing

        begun = await self.work(path, begin)
        if isinstance(begun, Entry):
            return begun
        async with self._ending(begun):
            while piece := await stream.next():
                await self.work(path, partial(begun.take, piece))
            return await self.work(path, begun.publish)

    @asynccontextmanager
    async def list(
        self,
        prefix: str = "",
        *,
        recursive: bool = False,
        after: str | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[Listing]:
        """List what comes, in the file system's order; what changes meanwhile may be in it or not."""
        with closing(walk(self._place, checked(prefix), recursive=recursive)) as entries:

            def batch(most: int) -> list[Entry]:
                return [*islice(entries, most)]

            yield _Listing(await self.work(prefix, lambda: batch(_FIRST)), batch, self.work)

    async def delete(self, path: str) -> None:
        """Delete a file, a link itself, or an empty folder."""
        await self.work(path, lambda: steps.delete(self._place, path))

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Delete each."""
        failed: dict[str, SessionctxError] = {}
        await trio.lowlevel.checkpoint()
        for path in paths:
            try:
                await self.delete(path)
            except SessionctxError as error:
                failed[path] = error
        return failed

    async def mkdir(self, path: str) -> None:
        """Make a folder and those on the way."""
        await self.work(path, lambda: steps.make_folders(self._place.at(path)))

    async def rename(self, source: str, target: str) -> None:
        """Move a file."""
        await self.work(source, lambda: steps.rename(self._place, source, target))

    async def copy(self, source: str, target: str) -> Entry:
        """Copy a file, its time and its permissions: shared on the disk where the file system can do that."""
        return await self.copy_from(self, source, target)

    async def copy_from(self, other: LocalStorage, source: str, target: str, options: WriteOptions = PLAIN) -> Entry:
        """Copy a file of another folder of this machine; *options* may say another time and other permissions."""
        async with other.read(source, length=0) as reader:
            entry = reader.entry
        kept = attrs.evolve(
            options,
            modified=entry.modified if options.modified is None else options.modified,
            mode=entry.mode if options.mode is None else options.mode,
        )
        opened = await other.work(source, lambda: Opened.open(other.place, source, 0, None, entry.version))
        with closing(opened):
            writing = await self.work(target, lambda: self._writing(target, kept))
            async with self._ending(writing):
                while await self.work(target, lambda: writing.take_from(opened.handle)):
                    pass
                await other.work(source, opened.check)
                return await self.work(target, writing.publish)

    async def work(self, path: str, step: Callable[[], T]) -> T:
        """Do a blocking *step* in a worker thread; the system's errors are those of *path*.

        :meta private:
        """

        def faithfully() -> T:
            with self._place.faults(path):
                return step()

        return await trio.to_thread.run_sync(faithfully, limiter=self._limiter)

    # ---

    def _writing(self, path: str, options: WriteOptions) -> steps.Writing:
        return steps.Writing(self._place, path, options, self.sync)

    @asynccontextmanager
    async def _ending(self, writing: steps.Writing) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(writing.close, limiter=self._limiter)


class _Listing:
    """The entries of a walk, some more at each step."""

    def __init__(self, first: list[Entry], batch: Callable[[int], list[Entry]], work: Worker[list[Entry]]) -> None:
        self._entries = iter(first)
        self._batch, self.work = batch, work

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        for entry in self._entries:
            return entry
        entries = await self.work("", lambda: self._batch(_MOST))
        if not entries:
            raise StopAsyncIteration
        self._entries = iter(entries)
        return next(self._entries)


@asynccontextmanager
async def open_local(url: str, *, sync: bool = True) -> AsyncGenerator[LocalStorage]:
    """Open the folder that a ``file:`` URL names: ``file:///folder``."""
    await trio.lowlevel.checkpoint()
    yield LocalStorage(folder_of(url), sync=sync)


def folder_of(url: str) -> Path:
    """Return the folder that a ``file:`` URL names. :exc:`InvalidLocation`."""
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise InvalidLocation(f"{redacted(url)!r} names another machine: write file:///folder, with three slashes")
    path = os.fsdecode(unquote_to_bytes(parts.path))
    if not path.startswith("/") or "\0" in path or parts.query or parts.fragment:
        raise InvalidLocation(f"{redacted(url)!r} names no folder: write file:///folder; %3F and %23 are ? and #")
    return Path(path[1:] if os.name == "nt" else path)

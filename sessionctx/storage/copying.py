"""Files and whole folders from any storage to any other; what fails is told, and the rest goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias

import attrs
import trio

from sessionctx import session
from sessionctx.errors import CannotDo, InvalidLocation, NoSuchFile, SessionctxError, SessionError
from sessionctx.storage.base import Entry, Listing
from sessionctx.storage.paths import fault_of, joined, within
from sessionctx.storage.transfer import Location, is_same, transfer

Links: TypeAlias = Literal["skip", "follow"]
OnError: TypeAlias = Literal["continue", "stop"]

_MOST: Final = 8
"""Files at a time."""
_REMEMBERED: Final = 100
"""Failures that a summary names."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of one entry."""

    path: str
    """Below what was copied; ``""`` for a single file."""
    target: str
    """Where it went, or was to go, without credentials."""
    what: Literal["copied", "planned", "skipped", "failed"]
    bytes: int = 0
    reason: str = ""
    """Why it was skipped."""
    error: SessionctxError | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class Summary:
    """How a copy ended."""

    succeeded: int = 0
    """Files that were copied; in a dry run, that would be."""
    failed: int = 0
    skipped: int = 0
    bytes: int = 0
    """Bytes of the files that succeeded."""
    failures: tuple[Outcome, ...] = ()
    """The first hundred."""


async def copy(
    source: Location,
    target: Location,
    *,
    recursive: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    links: Links = "skip",
    on_error: OnError = "continue",
    progress: Callable[[int], object] = lambda _: None,
    each: Callable[[Outcome], Awaitable[object]] | None = None,
) -> Summary:
    """Copy the file *source* to *target* or, if *recursive*, what is in the folder *source* into the folder *target*.

    Every file appears whole or not at all. Within one storage the bytes do not come to us, where it can do that; large
    files come to this machine in parts; several small ones are under way at a time. Times, permissions and metadata are
    kept where both sides do that. An entry that fails is told in the summary, and the others go on.

    Args:
        source: what to copy.
        target: the name it gets.
        recursive: copy a folder, with all that is below it.
        resume: skip what is there already, with the same size and time or version, and go on with large files that were
            begun.
        dry_run: only tell what would be copied.
        links: what becomes of symbolic links in a folder: they are skipped, or followed to files within the storage.
        on_error: whether the first error of an entry ends it all.
        progress: called with the number of bytes, as they move.
        each: awaited with what became of each entry.

    Raises:
        CannotDo: *source* is a folder, and it is not *recursive*; *target* lies within it, or can only be
            read.
        StorageError, PeerError: a single file, or the folder itself, cannot be copied; or, with ``on_error="stop"``,
            the first entry that cannot.
    """
    _check_possible(source, target)
    with session.begin():
        job = _Copy(source, target, resume, dry_run, links, on_error, progress, each)
        found = await _look(source, recursive=recursive)
        if found is not None:
            await job.single(found)
        else:
            await job.folder()
    return job.summary


def _check_possible(source: Location, target: Location) -> None:
    if not target.storage.can.write:
        raise CannotDo(f"{target.storage.public} can only be read", storage=target.storage.public, path=target.path)
    if source.storage.endpoint == target.storage.endpoint and within(source.shown.rstrip("/"), target.shown):
        raise CannotDo(
            f"{target.shown} is {source.shown} itself, or within it: copy it to somewhere else",
            storage=target.storage.public,
            path=target.path,
        )


async def _look(source: Location, *, recursive: bool) -> Entry | None:
    """Return the entry of *source* if it is one file; None if it is to be looked for as a folder."""
    try:
        found = await source.storage.stat(source.path)
    except NoSuchFile:
        if recursive and not source.storage.can.folders:
            return None
        raise
    if found.kind != "folder":
        return found
    if not recursive:
        raise CannotDo(f"{source.shown} is a folder: say that it is to be copied with all that is below it")
    return None


@attrs.define(eq=False)
class _Copy:
    source: Location
    target: Location
    resume: bool
    dry_run: bool
    links: Links
    on_error: OnError
    progress: Callable[[int], object]
    each: Callable[[Outcome], Awaitable[object]] | None
    summary: Summary = attrs.field(factory=Summary, init=False)
    _listed: bool = attrs.field(default=False, init=False)
    _failure: Exception | None = attrs.field(default=None, init=False)

    async def single(self, entry: Entry) -> None:
        """Copy one file; its error is that of the whole."""
        await self._tell(await self._file(entry, self.source, self.target, ""))

    async def folder(self) -> None:
        """Copy what is in a folder."""
        source, target = self.source, self.target
        async with source.storage.list(source.path, recursive=True) as listing:
            if target.path and target.storage.can.folders and not self.dry_run:
                await target.storage.mkdir(target.path)
            async with trio.open_nursery() as nursery:
                send, receive = trio.open_memory_channel[Entry](_MOST)
                async with send:
                    for _ in range(_MOST):
                        nursery.start_soon(self._worker, receive.clone(), nursery.cancel_scope)
                    receive.close()
                    await self._list(listing, send)
        if self._failure is not None:
            raise self._failure
        if not self._listed and not source.storage.can.folders:
            raise NoSuchFile(f"there is nothing at {source.shown}", storage=source.storage.public, path=source.path)

    async def _list(self, listing: Listing, send: trio.MemorySendChannel[Entry]) -> None:
        """Hand out the entries. If the listing breaks off, what was listed is copied all the same."""
        try:
            async for entry in listing:
                self._listed = True
                await send.send(entry)
        except Exception as error:  # noqa: BLE001 - raised by `folder`, outside of the nursery
            if isinstance(error, SessionctxError) and not isinstance(error, SessionError) and self._goes_on:
                self._listed = True
                await self._tell(Outcome(path="", target=self.target.shown, what="failed", error=error))
            else:
                self._failure = error

    async def _worker(self, entries: trio.MemoryReceiveChannel[Entry], scope: trio.CancelScope) -> None:
        async with entries:
            async for entry in entries:
                try:
                    outcome = await self._entry(entry)
                    if outcome is not None:
                        await self._tell(outcome)
                except Exception as error:  # noqa: BLE001 - raised by `folder`, outside of the nursery
                    self._failure = self._failure or error
                    scope.cancel()

    async def _entry(self, entry: Entry) -> Outcome | None:
        """Copy one of many: its error is told, and ends the whole only if that is wanted, or the session has ended."""
        path = self.source.relative(entry.path)
        target = self.target.below(path)
        try:
            self._check_name(entry, path)
            return await self._one(entry, target, path)
        except SessionError:
            raise
        except SessionctxError as error:
            if not self._goes_on:
                raise
            return Outcome(path=path, target=target.shown, what="failed", error=error)

    def _check_name(self, entry: Entry, path: str) -> None:
        """Refuse what a listing should not have named: it could lead out of the target."""
        if entry.problem is not None:
            raise entry.problem
        fault = fault_of(joined(self.target.path, path))
        inside = within(self.source.path, entry.path) and entry.path != self.source.path
        if not inside or fault is not None:
            raise InvalidLocation(
                f"{self.source.shown} lists {entry.path[:200]!r}, which could lead elsewhere: refused",
                storage=self.source.storage.public,
                path=entry.path,
            )

    async def _one(self, entry: Entry, target: Location, path: str) -> Outcome | None:
        source = Location(self.source.storage, entry.path)
        if entry.kind == "folder":
            if target.storage.can.folders and not self.dry_run:
                await target.storage.mkdir(target.path)
            return None
        if entry.kind == "link" and self.links == "follow":
            entry = await source.storage.stat(entry.path)
        if entry.kind != "file":
            reason = "a symbolic link" if entry.kind == "link" else f"no file: {entry.kind}"
            return Outcome(path=path, target=target.shown, what="skipped", reason=reason)
        return await self._file(entry, source, target, path)

    async def _file(self, entry: Entry, source: Location, target: Location, path: str) -> Outcome:
        if self.resume and await self._is_there(entry, target):
            return Outcome(path=path, target=target.shown, what="skipped", reason="there already")
        if self.dry_run:
            return Outcome(path=path, target=target.shown, what="planned", bytes=entry.size or 0)
        count = await transfer(source, target, entry, resume=self.resume, progress=self.progress)
        return Outcome(path=path, target=target.shown, what="copied", bytes=count)

    async def _tell(self, outcome: Outcome) -> None:
        """Add *outcome* to the summary."""
        so_far, failures = self.summary, self.summary.failures
        if outcome.what == "failed" and len(failures) < _REMEMBERED:
            failures = (*failures, outcome)
        self.summary = Summary(
            succeeded=so_far.succeeded + (outcome.what in {"copied", "planned"}),
            failed=so_far.failed + (outcome.what == "failed"),
            skipped=so_far.skipped + (outcome.what == "skipped"),
            bytes=so_far.bytes + outcome.bytes,
            failures=failures,
        )
        if self.each is not None:
            await self.each(outcome)

    @property
    def _goes_on(self) -> bool:
        return self.on_error == "continue"

    @staticmethod
    async def _is_there(entry: Entry, target: Location) -> bool:
        try:
            found = await target.storage.stat(target.path)
        except NoSuchFile:
            return False
        return is_same(entry, found, times=target.storage.can.times)

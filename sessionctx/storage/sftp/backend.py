"""Files on a server that is reached by ssh: ``sftp://user@host/folder``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

import attrs
import trio

from sessionctx.atomic import fresh_name
from sessionctx.errors import CannotDo, FileChanged, FileExists, NoRoom, NoSuchFile, SessionctxError
from sessionctx.storage.base import PLAIN, Can, Entry, Listing, Reader, Source, WriteOptions
from sessionctx.storage.endpoint import Endpoint, Request
from sessionctx.storage.paths import checked, joined, parent
from sessionctx.storage.sftp import calls, replies
from sessionctx.storage.sftp.dial import Dial, Session
from sessionctx.storage.sftp.faults import entry
from sessionctx.storage.sftp.line import Refused
from sessionctx.storage.sftp.listing import Folder, SftpListing
from sessionctx.storage.sftp.looking import explained, find, is_there, itself, make_folders, prepare, remove
from sessionctx.storage.sftp.reading import SftpReader, open_to_read
from sessionctx.storage.sftp.target import Target
from sessionctx.storage.sftp.writing import Draft, drafting, is_full, publish
from sessionctx.storage.source import length_of, pieces

_WORKERS: Final = 8
"""How many deletions are on their way at a time."""


@attrs.define(eq=False)
class SftpStorage:
    """Files in a folder of a server. Times are kept to the second."""

    _target: Target
    _dial: Dial
    _endpoint: Endpoint

    @property
    def url(self) -> str:
        """The root; with the password, if one was given in it."""
        return self._target.url

    @property
    def public(self) -> str:
        """The root, without a password."""
        return self._target.public

    @property
    def endpoint(self) -> str:
        """Who logs in where."""
        return self._target.endpoint

    @property
    def can(self) -> Can:
        """What it can do; the server has said so."""
        session = self._dial.current
        return Can(
            rename=True,
            copy=session is not None and session.can(calls.COPY_DATA),
            if_absent=session is not None and session.can(calls.HARDLINK),
            times=True,
            modes=True,
            links=True,
            best_in_flight=4,
            pipelined=True,
        )

    async def stat(self, path: str = "") -> Entry:
        """Return what *path* is; what a link leads to, if that is within the root."""
        checked(path)
        async with self._asking(path):
            return await self._dial.steadily(lambda session: find(session, self._target, path))

    @asynccontextmanager
    async def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AsyncGenerator[Reader]:
        """Read it, over a new line if that is lost, from where it had come to."""
        where = self._target.at(checked(path))
        async with self._asking(path, length or 0) as request:
            opened = await self._dial.steadily(
                lambda session: open_to_read(session, path, where, self.public, offset=offset, length=length)
            )
            size = opened.entry.size or 0
            end = size if length is None else min(offset + length, size)
            reader = SftpReader(opened.entry, offset, end, path, where, self._dial, self._endpoint, request, opened)
            try:
                if version not in {None, opened.entry.version}:
                    raise FileChanged(
                        f"{self.public}: {path} is not version {version} any more", storage=self.public, path=path
                    )
                yield reader
            finally:
                reader.close()

    async def write(
        self, path: str, source: Source, *, size_hint: int | None = None, options: WriteOptions = PLAIN
    ) -> Entry:
        """Write it beside its place, wait until it is on the server's disk, and give it its name."""
        checked(path)
        if options.if_version is not None or (options.if_absent and not self.can.if_absent):
            raise CannotDo(f"{self.public} does not guard what it replaces", storage=self.public, path=path)
        size = size_hint or length_of(source) or 0
        async with self._asking(path, size, blocked=FileExists) as request:

            async def ready(session: Session) -> Session:
                if await prepare(session, self._target, path) is not None and options.if_absent:
                    raise self._taken(path)
                return session

            async def fill(session: Session) -> Entry:
                return await self._write(session, request, path, lambda draft: draft.pump(pieces(source)), options)

            if length_of(source) is None or options.if_absent:  # neither can be done twice
                return await fill(await self._dial.steadily(ready))

            async def whole(session: Session) -> Entry:
                return await fill(await ready(session))

            return await self._dial.steadily(whole)

    @asynccontextmanager
    async def list(
        self,
        prefix: str = "",
        *,
        recursive: bool = False,
        after: str | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[Listing]:
        """List a folder, as the server tells it, in no order; of all below it, one folder after the other."""
        checked(prefix)
        async with self._asking(prefix):
            session, folder = await self._dial.steadily(lambda session: self._opened(session, prefix))
            listing = SftpListing(folder, self._target, session, recursive)
            try:
                yield listing
            finally:
                listing.close()

    async def delete(self, path: str) -> None:
        """Delete a file, a link itself, or an empty folder."""
        if not checked(path):
            raise CannotDo(f"{self.public}: the root is not deleted", storage=self.public, path=path)
        with suppress(NoSuchFile):
            async with self._asking(path):
                await self._dial.steadily(lambda session: remove(session, self._target, path))

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Delete each, some at a time."""
        failed: dict[str, SessionctxError] = {}
        todo = iter(paths)

        async def work() -> None:
            for path in todo:
                try:
                    await self.delete(path)
                except SessionctxError as error:
                    failed[path] = error

        async with trio.open_nursery() as nursery:
            for _ in range(_WORKERS):
                nursery.start_soon(work)
        for error in failed.values():
            if error.personal:  # the caller's session or budget is at its end: that is not about a path
                raise error
        return failed

    async def mkdir(self, path: str) -> None:
        """Make a folder and those on the way."""
        checked(path)
        async with self._asking(path, blocked=FileExists):
            await self._dial.steadily(lambda session: make_folders(session, self._target, path))

    async def rename(self, source: str, target: str) -> None:
        """Move a file, in place of what is there."""
        checked(source)
        checked(target)
        async with self._asking(source):
            session = await self._dial.steadily(lambda session: self._movable(session, source))
            await prepare(session, self._target, target)
            if source != target:
                await self._publish(session, self._target.at(source), target, PLAIN)

    async def copy(self, source: str, target: str) -> Entry:
        """Let the server copy the bytes, with the permissions."""
        checked(source)
        checked(target)
        if not self.can.copy:
            raise CannotDo(f"{self.public}: the server copies no files", storage=self.public, path=source)
        where = self._target.at(source)
        async with self._asking(source) as request:
            opened = await self._dial.steadily(
                lambda session: open_to_read(session, source, where, self.public, length=0)
            )
            try:
                await prepare(opened.session, self._target, target)
                options = WriteOptions(mode=opened.entry.mode)
                return await self._write(opened.session, request, target, lambda draft: draft.copy(opened), options)
            finally:
                opened.close()

    # ---

    @asynccontextmanager
    async def _asking(
        self, path: str, size: int = 0, *, blocked: type[FileExists] | None = None
    ) -> AsyncGenerator[Request]:
        """One request of the session, for *path*; what the server refuses becomes an error of ours."""
        async with self._endpoint.request(path, size) as request:
            await self._dial.session()
            request.sent()  # to connect took its time, which tells nothing of how soon it answers
            try:
                yield request
            except Refused as refusal:
                session = await self._dial.session()
                raise await explained(session, self._target, refusal, path, blocked) from None

    async def _write(
        self,
        session: Session,
        request: Request,
        path: str,
        fill: Callable[[Draft], Awaitable[None]],
        options: WriteOptions,
    ) -> Entry:
        where = self._target.at(joined(parent(path), fresh_name()))
        async with drafting(self._dial, session, self._endpoint, request, where, options.mode) as draft:
            try:
                await fill(draft)
                found = await draft.finish(options)
            except Refused:
                if await is_full(session, where):
                    raise NoRoom(
                        f"{self.public}: there is no room for {path}", storage=self.public, path=path
                    ) from None
                raise
            await self._publish(session, where, path, options)
        return entry(path, found)

    async def _publish(self, session: Session, where: bytes, path: str, options: WriteOptions) -> None:
        target = self._target.at(path)
        try:
            await publish(self._dial, session, where, target, options)
        except Refused as refusal:
            guarded = options.if_absent or not session.can(calls.POSIX_RENAME)
            if guarded and refusal.status.code == replies.FAILURE and await is_there(session, target):
                raise self._taken(path) from None
            raise

    def _taken(self, path: str) -> FileExists:
        return FileExists(
            f"{self.public}: {path} is there already, and was not to be replaced, or cannot be by this server",
            storage=self.public,
            path=path,
        )

    async def _opened(self, session: Session, path: str) -> tuple[Session, Folder]:
        entry = await find(session, self._target, path)
        if entry.kind != "folder":
            raise NoSuchFile(f"{self.public}: {path} is no folder", storage=self.public, path=path)
        return session, await Folder.open(session, path, self._target.at(path))

    async def _movable(self, session: Session, path: str) -> Session:
        found = await itself(session, self._target, path)
        if found is None or found.kind == "folder":
            what = "is not there" if found is None else "is a folder"
            raise NoSuchFile(f"{self.public}: {path} {what}", storage=self.public, path=path)
        return session

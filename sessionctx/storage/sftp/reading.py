"""A file as it comes: many reads on their way at once, put in order; taken up again where a line was lost."""

from __future__ import annotations

from collections import deque
from typing import Final, Self

import attrs
import trio

from sessionctx.errors import FileChanged, NoSuchFile, PeerFailed, Stalled, Unreachable
from sessionctx.storage.base import Entry
from sessionctx.storage.endpoint import Endpoint, Request
from sessionctx.storage.sftp import calls, replies
from sessionctx.storage.sftp.dial import PLAIN, Dial, Session
from sessionctx.storage.sftp.faults import entry, fault, version
from sessionctx.storage.sftp.line import Pending
from sessionctx.storage.sftp.looking import attributes_of, check_inside, handle_of, sized
from sessionctx.storage.sftp.replies import Attributes, Data, Status
from sessionctx.storage.sftp.window import piece, window

_PAUSES: Final = (0.0, 0.3, 1.0)
"""Seconds before each try to go on; one that brings bytes begins them anew."""


@attrs.frozen(eq=False)
class Asked:
    """A read on its way."""

    offset: int
    length: int
    pending: Pending


@attrs.frozen(eq=False)
class Opened:
    """A file that is open for reading, on one line."""

    session: Session
    handle: bytes
    entry: Entry
    ahead: Asked | None
    """Its first bytes, which were asked for before it was known what is read."""

    def close(self) -> None:
        """Close it, without waiting."""
        self.session.line.close(self.handle)

    def ask(self, offset: int, length: int) -> Asked:
        """Ask for some of its bytes."""
        return _ask(self.session, self.handle, offset, length)


async def open_to_read(
    session: Session, path: str, where: bytes, shown: str, *, offset: int = 0, length: int | None = None
) -> Opened:
    """Open the file *path*, which the server calls *where*. Only files are opened: a pipe would hold up the server."""
    line = session.line
    real, look = line.begin(calls.realpath(where)), line.begin(calls.stat(where))
    try:
        found = attributes_of(line, await line.take(look))
        await check_inside(session, path, await line.take(real), shown)
    finally:
        line.drop(real)
    if found.kind != "file":
        raise NoSuchFile(f"{shown}: {path or 'the root'} is no file", storage=shown, path=path)
    handle = handle_of(line, await line.ask(calls.open_file(where, calls.READING)))
    look, ahead = line.begin(calls.fstat(handle)), _ahead(session, handle, found.size or 0, offset, length)
    try:
        return Opened(session, handle, entry(path, sized(line, await line.take(look))), ahead)
    except BaseException:
        if ahead is not None:
            line.drop(ahead.pending)
        line.close(handle)
        raise


def _ahead(session: Session, handle: bytes, size: int, offset: int, length: int | None) -> Asked | None:
    """Ask for the first bytes of what lies in a file of about *size* bytes: small files take a turn less so."""
    wanted = min(size - offset, session.most_read, size if length is None else length)
    return _ask(session, handle, offset, wanted) if wanted > 0 else None


def _ask(session: Session, handle: bytes, offset: int, length: int) -> Asked:
    return Asked(offset, length, session.line.begin(calls.read(handle, offset, length)))


@attrs.define(eq=False)
class SftpReader:
    """Bytes of one version of a file, from *at* to *end*."""

    entry: Entry
    at: int
    end: int
    _path: str
    _where: bytes
    _dial: Dial
    _endpoint: Endpoint
    _request: Request
    _opened: Opened | None
    _asked: deque[Asked] = attrs.field(factory=deque[Asked], init=False)
    _next: int = attrs.field(init=False)
    """Up to where it has been asked for."""
    _last_look: Pending | None = attrs.field(default=None, init=False)
    """What the file is, when all of it has been read."""
    _failed: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._next = self.at
        self._dial.sharers += 1
        if self._opened is not None:
            self._take_ahead(self._opened)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        """Return the next bytes."""
        while True:
            try:
                return await self._piece()
            except (PeerFailed, Stalled, Unreachable) as error:
                if self._opened is not None and self._opened.session.line.loss is None:
                    raise
                await self._prepare_again(error)

    def close(self) -> None:
        """Ask for no more."""
        self._dial.sharers -= 1
        self._let_go()

    # ---

    async def _piece(self) -> memoryview:
        opened = self._opened or await self._reopened()
        self._ask_ahead(opened)
        if not self._asked:
            await self._check_unchanged(opened)
            raise StopAsyncIteration
        asked = self._asked[0]
        reply = await asked.pending.answer()
        if not isinstance(reply, Data):
            raise self._refusal(reply, opened)
        count = len(reply.data)
        if not 0 < count <= asked.length:
            raise opened.session.line.odd(f"{count} bytes came where {asked.length} were asked for")
        self._asked.popleft()
        if count < asked.length:
            self._asked.appendleft(opened.ask(asked.offset + count, asked.length - count))
        self.at += count
        self._failed = 0
        self._request.came(count)
        return reply.data

    def _ask_ahead(self, opened: Opened) -> None:
        """Keep as much on its way as the line holds."""
        record = self._endpoint.record()
        known = (None, None) if record is None else (record.latency, record.rate)
        room = window(*known, self._dial.sharers)
        most = piece(room, opened.session.most_read, PLAIN)
        while self._next < self.end and self._next - self.at + most <= room:
            length = min(most, self.end - self._next)
            self._asked.append(opened.ask(self._next, length))
            self._next += length
        if self._next == self.end and self._last_look is None:
            self._last_look = opened.session.line.begin(calls.fstat(opened.handle))

    def _take_ahead(self, opened: Opened) -> None:
        """Use the bytes that were asked for when it was opened, if they are what is wanted."""
        ahead = opened.ahead
        if ahead is None:
            return
        if ahead.offset == self._next and ahead.offset + ahead.length <= self.end:
            self._asked.append(ahead)
            self._next += ahead.length
        else:
            opened.session.line.drop(ahead.pending)

    def _refusal(self, reply: object, opened: Opened) -> Exception:
        if not isinstance(reply, Status):
            return opened.session.line.odd("it was asked for bytes, and tells something else")
        if reply.code == replies.EOF:
            return self._changed("has become shorter")
        return fault(reply, self._path, self._dial.public)

    async def _check_unchanged(self, opened: Opened) -> None:
        if self._last_look is None:
            await trio.lowlevel.checkpoint()
            return
        found = await opened.session.line.take(self._last_look)
        if not isinstance(found, Attributes) or version(found) != self.entry.version:
            raise self._changed("was written to")

    def _changed(self, what: str) -> FileChanged:
        shown = self._dial.public
        return FileChanged(f"{shown}: {self._path} {what} while it was read", storage=shown, path=self._path)

    # --- after a line was lost

    async def _prepare_again(self, error: Exception) -> None:
        """Let go of what is lost, and wait a little; raise *error* if that was tried often enough."""
        self._let_go()
        if self._failed == len(_PAUSES):
            raise error
        await trio.sleep(_PAUSES[self._failed])
        self._failed += 1

    async def _reopened(self) -> Opened:
        session = await self._dial.session()
        rest = self.end - self.at
        opened = await open_to_read(session, self._path, self._where, self._dial.public, offset=self.at, length=rest)
        if opened.entry.version != self.entry.version:
            opened.close()
            raise self._changed("became another one")
        self._opened = opened
        self._take_ahead(opened)
        return opened

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            for asked in self._asked:
                opened.session.line.drop(asked.pending)
            if self._last_look is not None:
                opened.session.line.drop(self._last_look)
            opened.close()
        self._asked.clear()
        self._next, self._last_look = self.at, None

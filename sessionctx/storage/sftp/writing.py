"""A file written whole or not at all: under a name of its own first, with many writes on their way at once."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from sessionctx.errors import PeerError, PeerFailed, Stalled
from sessionctx.storage.base import WriteOptions
from sessionctx.storage.endpoint import Endpoint, Request
from sessionctx.storage.sftp import calls
from sessionctx.storage.sftp.cutter import Cutter, Piece
from sessionctx.storage.sftp.dial import PLAIN, Dial, Session
from sessionctx.storage.sftp.line import Pending, Refused
from sessionctx.storage.sftp.looking import handle_of
from sessionctx.storage.sftp.reading import Opened
from sessionctx.storage.sftp.replies import Attributes, Extended, Handle, Status
from sessionctx.storage.sftp.window import piece, window

_CLEANING: Final = 5.0
"""Seconds that removing what was begun may take, even when all else was cancelled."""
_COPY: Final = 16 * 1024 * 1024
"""Bytes that a server copies at a time."""
_FULL: Final = 16
"""Blocks; a disk with fewer has no room."""


@attrs.define(eq=False)
class Draft:
    """A new file that is being written, under the name *where*."""

    where: bytes
    handle: bytes
    _session: Session
    _dial: Dial
    _endpoint: Endpoint
    _request: Request
    _flying: deque[tuple[int, Pending]] = attrs.field(factory=deque[tuple[int, Pending]], init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    _at: int = attrs.field(default=0, init=False)
    _open: bool = attrs.field(default=True, init=False)
    """A handle is closed once: the next file may be given the same one."""

    async def pump(self, source: AsyncIterator[Piece]) -> None:
        """Write all that *source* gives. :exc:`Refused`, and its own errors."""
        record = self._endpoint.record()
        known = (None, None) if record is None else (record.latency, record.rate)
        cutter = Cutter(piece(window(*known, self._dial.sharers), self._session.most_write, PLAIN))
        async for given in source:
            for data in cutter.cut(given):
                await self._send(data, window(*known, self._dial.sharers))
        for data in cutter.rest():
            await self._send(data, window(*known, self._dial.sharers))

    async def copy(self, source: Opened) -> None:
        """Let the server copy all of *source* into it; part by part, so that others get their turns, too."""
        size = source.entry.size or 0
        while self._at < size:
            length = min(_COPY, size - self._at)
            await self._session.line.ask(calls.copy_data(source.handle, self._at, length, self.handle, self._at))
            self._at += length

    async def finish(self, options: WriteOptions) -> Attributes:
        """Give it its times and permissions, wait until it is on the disk, and return what it is now."""
        line = self._session.line
        last: list[Pending] = []
        if options.modified is not None or options.mode is not None:
            modified = None if options.modified is None else int(options.modified)
            last.append(line.begin(calls.fsetstat(self.handle, mode=options.mode, modified=modified)))
        if self._session.can(calls.FSYNC):
            last.append(line.begin(calls.fsync(self.handle)))
        look = line.begin(calls.fstat(self.handle))
        last.append(line.begin(calls.close(self.handle)))
        self._open = False
        while self._flying:
            await self._settle()
        found = await line.take(look)
        for pending in last:
            await line.take(pending)
        if not isinstance(found, Attributes) or found.size != self._at:
            raise line.odd(f"{self._at} bytes were written, and now there are others")
        return found

    def give_up(self) -> None:
        """Let go of what is on its way."""
        for _, pending in self._flying:
            self._session.line.drop(pending)
        if self._open:
            self._session.line.close(self.handle)

    async def _send(self, data: Piece, room: int) -> None:
        self._flying.append((len(data), self._session.line.begin(calls.write(self.handle, self._at, data))))
        self._at += len(data)
        self._in_flight += len(data)
        while self._flying and (self._in_flight > room or self._flying[0][1].done):
            await self._settle()

    async def _settle(self) -> None:
        count, pending = self._flying[0]
        await self._session.line.take(pending)
        self._flying.popleft()
        self._in_flight -= count
        self._request.went(count)


@asynccontextmanager
async def drafting(  # noqa: PLR0917
    dial: Dial, session: Session, endpoint: Endpoint, request: Request, where: bytes, mode: int | None
) -> AsyncGenerator[Draft]:
    """Make the new file *where* for the length of a block, which is to give it another name. :exc:`Refused`.

    If the block fails it is removed, also after a cancellation; an error says if that may not have happened.
    """
    line = session.line
    flags = calls.WRITING | calls.CREATING | calls.EXCLUSIVE
    opening = line.begin(calls.open_file(where, flags, mode))
    draft: Draft | None = None
    dial.sharers += 1
    try:
        await opening.answer()
        draft = Draft(where, handle_of(line, await line.take(opening)), session, dial, endpoint, request)
        yield draft
    except BaseException as error:
        if await _removed(dial, session, draft, opening, where):
            raise
        left = f"{where.decode(errors='replace')} may be left at {dial.public}, and can be deleted"
        if isinstance(error, PeerError):
            raise type(error)(f"{error}; {left}", peer=error.peer) from error
        error.add_note(left)
        raise
    finally:
        dial.sharers -= 1


async def _removed(dial: Dial, session: Session, draft: Draft | None, opening: Pending, where: bytes) -> bool:
    """Remove what was begun; return whether it is gone for sure."""
    if isinstance(opening.reply, Status):
        return True  # it was never made
    with trio.move_on_after(_CLEANING, shield=True):
        try:
            if draft is not None:
                draft.give_up()
            elif isinstance(opened := await opening.answer(), Handle):
                session.line.close(opened.name)
        except PeerError:
            pass  # the line is lost: over a new one then
        try:
            await dial.steadily(lambda now: now.line.ask(calls.remove(where)))
        except Refused as refusal:
            return refusal.gone
        except PeerError:
            return False
        return True
    return False


async def publish(dial: Dial, session: Session, where: bytes, target: bytes, options: WriteOptions) -> None:
    """Give the file *where* the name *target*. :exc:`Refused`, also if that is taken and was not to be replaced."""
    if options.if_absent:
        await session.line.ask(calls.hardlink(where, target))
        await session.line.ask(calls.remove(where))
        return
    rename = calls.posix_rename if session.can(calls.POSIX_RENAME) else calls.rename
    try:
        await session.line.ask(rename(where, target))
    except (PeerFailed, Stalled):  # done or not? What is not there any more under its first name has got its last one
        line = (await dial.session()).line
        try:
            await line.ask(rename(where, target))
        except Refused as refusal:
            if not refusal.gone:
                raise
            await line.ask(calls.lstat(target))


async def is_full(session: Session, where: bytes) -> bool:
    """Whether the disk that *where* is on has no room left, as far as the server tells."""
    if not session.can(calls.STATVFS):
        return False
    try:
        told = await session.line.ask(calls.statvfs(where))
    except Refused:
        return False
    if not isinstance(told, Extended):
        return False
    _, _, _, _, blocks, files, _, free_files, *_ = told.numbers(11)
    return blocks < _FULL or (files > 0 and not free_files)

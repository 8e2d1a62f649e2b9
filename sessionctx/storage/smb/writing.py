"""A file as it goes: into a temporary one, which deletes itself unless it gets the right name in the end.

The server is told at once to delete the temporary file when it is closed. So nothing stays, whatever happens to us: the
end of the connection closes it. Only when everything is there is that taken back, and the file renamed.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NoReturn

import attrs
import trio

from sessionctx.errors import AccessDenied, FileExists, NoSuchFile, PeerFailed, StorageError
from sessionctx.storage.base import Entry, Source, WriteOptions
from sessionctx.storage.endpoint import Request
from sessionctx.storage.paths import joined, parent
from sessionctx.storage.smb import answers, messages, status
from sessionctx.storage.smb.answers import Reply
from sessionctx.storage.smb.entries import entry_of, units
from sessionctx.storage.smb.line import Line
from sessionctx.storage.smb.messages import WRITE_ROOM, Access, How, Options
from sessionctx.storage.smb.pending import Pending
from sessionctx.storage.smb.share import GRACE, Handle, Share
from sessionctx.storage.source import pieces

BRIEF: Final = (0.01, 0.05, 0.1, 0.3)
"""Seconds between tries to replace what is open."""
IN_FLIGHT: Final = 4
"""Requests for one file at a time."""
CHUNK: Final = 1024 * 1024
"""Bytes of a piece that the server copies; Windows and Samba allow no more by default."""
CHUNKS: Final = 16
"""Pieces of one request that copies, likewise."""


# --- the temporary file


async def make_temporary(share: Share, target: str, line: Line) -> Handle:
    """Make a file beside *target*, and the folders on the way. It belongs into `temporary`."""
    name = joined(parent(target), f".sessionctx-{secrets.token_hex(8)}.part")
    access = Access.READ | Access.WRITE | Access.DELETE | Access.WRITE_ATTRIBUTES | Access.READ_ATTRIBUTES
    for also in ([status.PATH_NOT_FOUND], []):
        ask = messages.create(share.wire(name), access, How.CREATE, Options.FILE)
        ask.then = messages.set_delete(messages.OPENED, delete=True)
        reply = await share.answer(line.post(ask, partial(_delete_late, line)), target, *also)
        if reply.status == status.SUCCESS:
            break
        await share.make_folders(parent(target), line)
    return Handle(share, line, target, *answers.created(reply), temporary=True)


@asynccontextmanager
async def temporary(handle: Handle) -> AsyncGenerator[Handle]:
    """Delete the file in the end, unless it was put in place."""
    try:
        yield handle
    finally:
        if handle.is_open:
            handle.post(messages.set_delete(handle.id, delete=True))
            await handle.dropped()


def _delete_late(line: Line, reply: Reply) -> None:
    if reply.status == status.SUCCESS:
        handle, _ = answers.created(reply)
        line.post(messages.set_delete(handle, delete=True))
        line.post(messages.close(handle))


async def put_in_place(handle: Handle, target: str, *, replace: bool) -> None:
    """Give an open file the name *target*. Readers of what is there give way; others are waited for, but not long."""
    share = handle.share
    code = await _renamed(handle, target, replace=replace)
    if code == status.DENIED:
        with share.readers_kept_away(target):
            for wait in BRIEF:
                await trio.sleep(wait)
                code = await _renamed(handle, target, replace=replace)
                if code != status.DENIED:
                    break
    if code != status.SUCCESS:
        await _refuse(share, handle.line, target, code)


async def _renamed(handle: Handle, target: str, *, replace: bool) -> int:
    """Return the status of a renaming. Who is cancelled meanwhile waits a little, for it cannot be taken back."""
    if handle.temporary:
        handle.post(messages.set_delete(handle.id, delete=False))
    ask = messages.set_name(handle.id, handle.share.wire(target), replace=replace)
    pending = handle.post(ask, partial(_renamed_late, handle))
    try:
        reply = await pending.reply()
    except trio.Cancelled:
        with trio.move_on_after(GRACE, shield=True):
            await pending.wait()
        if not pending.done:
            handle.is_open = handle.line.withdraw(pending)
            pending.leave()
            raise
        reply = pending.result()
    if reply.status != status.SUCCESS and handle.temporary:
        handle.post(messages.set_delete(handle.id, delete=True))
    return reply.status


def _renamed_late(handle: Handle, reply: Reply) -> None:
    """See to what a renaming left open whose answer nobody waited for."""
    if reply.status != status.SUCCESS and handle.temporary:
        handle.post(messages.set_delete(handle.id, delete=True))
    handle.post(messages.close(handle.id))


async def _refuse(share: Share, line: Line, target: str, code: int) -> NoReturn:
    """Say why nothing could be put at *target*."""
    error = status.error_of(code, storage=share.public, path=target)
    if code in {status.DENIED, status.COLLISION, status.SHARING_VIOLATION}:
        try:
            times = await share.looked_at(target, line)
        except StorageError:
            raise error from None
        if times.folder:
            raise FileExists(f"{share.public}: {target} is a folder", storage=share.public, path=target)
        if code == status.DENIED:
            message = f"{error}; or somebody has it open, and it cannot be replaced meanwhile"
            raise AccessDenied(message, storage=share.public, path=target)
    raise error


# --- uploads


@attrs.define(eq=False)
class _Upload:
    """Puts what comes into parts, and keeps a few of them in flight."""

    handle: Handle
    request: Request
    _part: bytearray = attrs.field(factory=lambda: bytearray(WRITE_ROOM), init=False)
    _offset: int = attrs.field(default=0, init=False)
    _window: deque[tuple[int, Pending]] = attrs.field(factory=deque[tuple[int, Pending]], init=False)

    async def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Take these bytes, all of them: their owner may do with them what he likes afterwards."""
        left = memoryview(piece).cast("B")
        while left:
            room = self.handle.line.most_written + WRITE_ROOM - len(self._part)
            self._part += left[:room]
            if len(left) >= room:
                await self._send()
            left = left[room:]

    async def finish(self) -> None:
        """Return when everything is at the server."""
        if len(self._part) > WRITE_ROOM:
            await self._send()
        while self._window:
            await self._one()

    def leave(self) -> None:
        """Nobody waits any more."""
        for _, pending in self._window:
            pending.leave()

    async def _send(self) -> None:
        while len(self._window) >= IN_FLIGHT:
            await self._one()
        part, self._part = self._part, bytearray(WRITE_ROOM)
        length = len(part) - WRITE_ROOM
        self._window.append((length, self.handle.post(messages.write(self.handle.id, self._offset, part))))
        self._offset += length

    async def _one(self) -> None:
        length, pending = self._window[0]
        reply = await self.handle.share.answer(pending, self.handle.path)
        self._window.popleft()
        if answers.was_written(reply) != length:
            public = self.handle.share.public
            raise PeerFailed(f"{public} wrote less than it was given, and did not say why", peer=public)
        self.request.went(length)


async def upload(share: Share, request: Request, path: str, source: Source, options: WriteOptions) -> Entry:
    """Write *source* to *path*."""
    if options.if_absent:
        await _refuse_if_there(share, path)
    async with temporary(await share.repeated(partial(make_temporary, share, path))) as handle:
        going = _Upload(handle, request)
        try:
            async for piece in pieces(source):
                await going.add(piece)
            await going.finish()
        finally:
            going.leave()
        return await _published(handle, options.modified, replace=not options.if_absent)


async def _published(handle: Handle, modified: float | None, *, replace: bool) -> Entry:
    """Let the temporary file be what it was made for, now that everything is in it."""
    await handle.do(messages.flush(handle.id))
    if modified is not None:
        await handle.do(messages.set_time(handle.id, units(modified)))
    await put_in_place(handle, handle.path, replace=replace)
    return entry_of(handle.path, await handle.close())


async def _refuse_if_there(share: Share, path: str) -> None:
    """Do not begin what cannot end well; whether it does is decided in the end, by the server."""
    try:
        await share.repeated(partial(share.looked_at, path))
    except NoSuchFile:
        return
    raise FileExists(f"{share.public}: {path} is there already", storage=share.public, path=path)


# --- copies by the server


async def copied(share: Share, source: str, target: str, line: Line) -> Entry:
    """Let the server copy the file *source* to *target*."""
    origin = await share.opened(source, Access.READ, Options.FILE, line=line)
    try:
        key = answers.key_of(await origin.do(messages.ask_key(origin.id)))
        async with temporary(await make_temporary(share, target, line)) as handle:
            offset, size = 0, origin.times.size
            while offset < size:
                lengths = [min(CHUNK, size - at) for at in range(offset, min(size, offset + CHUNK * CHUNKS), CHUNK)]
                reply = await handle.do(messages.copy_chunks(handle.id, key, offset, lengths))
                if answers.was_copied(reply) != sum(lengths):
                    raise PeerFailed(f"{share.public} copied less than it was asked to", peer=share.public)
                offset += sum(lengths)
            origin.drop()  # it may be what is replaced
            return await _published(handle, None, replace=True)
    finally:
        origin.drop()

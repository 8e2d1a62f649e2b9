"""The share that a backend works on: its line, made when it is needed and again when it broke, and its open files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

import attrs
import trio

from sessionctx import session
from sessionctx.errors import PeerError
from sessionctx.storage.paths import joined
from sessionctx.storage.smb import answers, messages, status
from sessionctx.storage.smb.address import Address
from sessionctx.storage.smb.answers import Reply, Times
from sessionctx.storage.smb.line import Line
from sessionctx.storage.smb.login import Wanted, log_in
from sessionctx.storage.smb.messages import Access, Ask, How, Options
from sessionctx.storage.smb.names import to_wire
from sessionctx.storage.smb.pending import Pending

T = TypeVar("T")

WAITS: Final = (0.1, 0.4, 1.0)
"""Seconds before each time that something is tried again."""
GRACE: Final = 0.1
"""Seconds that whoever was cancelled, or fails, waits for what it leaves behind to be gone."""


@attrs.define(eq=False)
class Handle:
    """An open file or folder."""

    share: Share
    line: Line
    path: str
    id: bytes
    times: Times
    temporary: bool = False
    """It is to be deleted, unless it gets another name."""
    is_open: bool = attrs.field(default=True, init=False)
    """It has to be closed still."""

    def post(self, ask: Ask, late: Callable[[Reply], None] | None = None) -> Pending:
        """Let a request about it go out."""
        return self.line.post(ask, late)

    async def do(self, ask: Ask) -> Reply:
        """Return the answer to a request about it, if it is a good one."""
        return await self.share.answer(self.line.post(ask), self.path)

    async def close(self) -> Times:
        """Close it, and return what it was then."""
        self.is_open = False
        return answers.closed(await self.do(messages.close(self.id, tell=True)), self.times.id)

    def drop(self) -> None:
        """Let it be closed, if it still is to be, and do not wait for that."""
        if self.is_open:
            self.is_open = False
            self.line.post(messages.close(self.id))

    async def dropped(self) -> None:
        """Let it be closed, and wait a little for that, also if cancelled."""
        self.is_open = False
        pending = self.line.post(messages.close(self.id))
        with trio.move_on_after(GRACE, shield=True):
            await pending.wait()


@attrs.define(eq=False)
class Share:
    """One share. *nursery* runs its line."""

    address: Address
    wanted: Wanted
    nursery: trio.Nursery = attrs.field(repr=False)
    _readers: dict[str, set[Callable[[], None]]] = attrs.field(
        factory=lambda: defaultdict[str, set[Callable[[], None]]](set), init=False
    )
    """By path, what makes those who read it let go of it: a server replaces no file that is open."""
    _replaced: dict[str, trio.Event] = attrs.field(factory=dict[str, trio.Event], init=False)
    """By path, what tells that it has been replaced, or cannot be."""
    _line: Line | None = attrs.field(default=None, init=False)
    _making: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    @property
    def public(self) -> str:
        """Its address without credentials."""
        return self.address.public

    def wire(self, path: str) -> str:
        """Return what the server calls *path*."""
        return to_wire(joined(self.address.folder, path), storage=self.public)

    async def line(self) -> Line:
        """Return a line that is not broken, as far as is known."""
        async with self._making:
            if self._line is None or self._line.fault is not None:
                socket, login = await log_in(self.address, self.wanted)
                self._line = Line(self.public, login, socket)
                with session.leave():  # the line outlives whatever session it is first needed in
                    self.nursery.start_soon(self._line.run)
            return self._line

    @contextmanager
    def read_by(self, path: str, let_go: Callable[[], None]) -> Generator[None]:
        """Say that *path* is being read, and what to call if that has to make way."""
        self._readers[path].add(let_go)
        try:
            yield
        finally:
            self._readers[path].discard(let_go)
            if not self._readers[path]:
                del self._readers[path]

    @contextmanager
    def readers_kept_away(self, path: str) -> Generator[None]:
        """Let those who read *path* close it, and wait before they open it again: it is replaced meanwhile."""
        replaced = self._replaced.setdefault(path, trio.Event())
        for let_go in self._readers.get(path, ()):
            let_go()
        try:
            yield
        finally:
            replaced.set()
            self._replaced.pop(path, None)

    async def open_to_read(self, path: str, line: Line) -> Handle:
        """Open a file, unless it is just being replaced: then after that."""
        while path in self._replaced:
            await self._replaced[path].wait()
        return await self.opened(path, Access.READ, Options.FILE, line=line)

    async def close(self) -> None:
        """End the line, after what was posted has been done."""
        if self._line is not None:
            await self._line.close(GRACE)

    async def repeated(self, attempt: Callable[[Line], Awaitable[T]]) -> T:
        """Return what *attempt* does on a line; where that breaks meanwhile, once more on a new one, a few times."""
        broke = False
        for wait in (*WAITS, None):
            line = None
            try:
                line = await self.line()
                return await attempt(line)
            except PeerError:
                broke = broke if line is None else line.fault is not None
                if not broke or wait is None:
                    raise
            await trio.sleep(wait)
        raise AssertionError

    async def answer(self, pending: Pending, path: str, *also: int) -> Reply:
        """Return the answer to a request about *path*: a good one, or one with a status of *also*."""
        try:
            reply = await pending.reply()
        except BaseException:
            pending.leave()
            raise
        if reply.status not in {status.SUCCESS, *also}:
            raise status.error_of(reply.status, storage=self.public, path=path)
        return reply

    async def opened(self, path: str, access: Access, options: Options = Options.ANY, *, line: Line) -> Handle:
        """Open *path*; whoever has to close it is the caller."""
        ask = messages.create(self.wire(path), access | Access.READ_ATTRIBUTES, How.OPEN, options)
        reply = await self.answer(line.post(ask, late=partial(_close_late, line)), path)
        return Handle(self, line, path, *answers.created(reply))

    async def looked_at(self, path: str, line: Line) -> Times:
        """Return what *path* is."""
        handle = await self.opened(path, Access(0), line=line)
        handle.drop()
        return handle.times

    async def make_folders(self, path: str, line: Line) -> None:
        """Make the folder *path*, and those on the way, as far as they are not there."""
        names = joined(self.address.folder, path).split("/")
        way = ["/".join(names[:n]) for n in range(1, len(names) + 1)]
        there = len(way)
        while there and not await self._folder(way[there - 1], path, line, status.PATH_NOT_FOUND):
            there -= 1  # up to one that is there, or can be made
        for folder in way[there:]:
            await self._folder(folder, path, line)

    async def _folder(self, folder: str, path: str, line: Line, *also: int) -> bool:
        """Make *folder*, a path within the share, if it is not there; return whether it is there now."""
        name = to_wire(folder, storage=self.public)
        ask = messages.create(name, Access.READ_ATTRIBUTES, How.OPEN_OR_CREATE, Options.FOLDER)
        pending = line.post(ask, late=partial(_close_late, line))
        reply = await self.answer(pending, path, status.NOT_A_FOLDER, *also)
        if reply.status == status.NOT_A_FOLDER:
            raise status.error_of(status.COLLISION, storage=self.public, path=path)
        if reply.status == status.SUCCESS:
            line.post(messages.close(answers.created(reply)[0]))
        return reply.status == status.SUCCESS


def _close_late(line: Line, reply: Reply) -> None:
    if reply.status == status.SUCCESS:
        line.post(messages.close(answers.created(reply)[0]))

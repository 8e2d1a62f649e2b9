"""The one line that all tasks of a backend share: made when it is needed, and again after it was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import attrs
import trio

from sessionctx.errors import PeerFailed, Stalled
from sessionctx.storage.sftp import calls
from sessionctx.storage.sftp.line import Line, Refused
from sessionctx.storage.sftp.process import Means, carry
from sessionctx.storage.sftp.replies import Extended, Names

T = TypeVar("T")

PLAIN: Final = 32 * 1024
"""Bytes that every server reads or writes at a time, as the draft has it."""
MOST: Final = 255 * 1024
"""The most that is asked for at a time: OpenSSH's limit, and there is no gain beyond."""


@attrs.define(eq=False)
class Session:
    """A line, and what the server at its end told of itself."""

    line: Line
    most_read: int = PLAIN
    """Bytes that it reads at a time."""
    most_write: int = PLAIN
    root_given: bytes = b""
    root: bytes = b""
    """The storage's root without links, or as it was given while it is not there."""

    shows_dots: bool = False
    """It lists a folder itself, too, as ``"."``: if it does not, it may not look at what is in there."""

    def can(self, extension: bytes) -> bool:
        """Whether the server has it."""
        return extension in self.line.extensions


@attrs.define(eq=False)
class Dial:
    """Gives the line that there is, or makes one in *nursery*."""

    means: Means
    public: str
    root: bytes
    nursery: trio.Nursery
    current: Session | None = attrs.field(default=None, init=False)
    sharers: int = attrs.field(default=0, init=False)
    """How many move bytes over it now."""
    _turn: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _tried: int = attrs.field(default=0, init=False)
    _failed: Line | None = attrs.field(default=None, init=False)
    _newest: Line | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    async def session(self) -> Session:
        """Return the live one. Those who wait while a try fails share its error: :exc:`PeerError`, `AccessDenied`."""
        tried = self._tried
        async with self._turn:
            if self.current is not None and self.current.line.loss is None:
                return self.current
            if self._tried > tried and self._failed is not None and self._failed.loss is not None:
                raise self._failed.loss.error()
            self._tried += 1
            self.current = await self._connect()
            return self.current

    async def steadily(self, do: Callable[[Session], Awaitable[T]]) -> T:
        """Do what may be done twice; once more over a new line, if the one that was there turns out to be lost."""
        session = await self.session()
        try:
            return await do(session)
        except (PeerFailed, Stalled):
            if session.line.loss is None:
                raise
        return await do(await self.session())

    def close(self) -> None:
        """End the line: its process is gone when the nursery is left."""
        self._closed = True
        if self._newest is not None:
            self._newest.scope.cancel()

    async def _connect(self) -> Session:
        if self._closed:
            raise PeerFailed(f"{self.public} is closed: the block that opened it was left", peer=self.public)
        self._newest = line = Line(self.public)
        self.nursery.start_soon(carry, line, self.means)
        try:
            await line.greeting()
            session = Session(line, root_given=self.root)
            await self._ask_limits(session)
            session.root = await self._real_root(line)
        except BaseException:
            self._failed = line if line.loss is not None else None  # otherwise it was but this caller that gave up
            line.scope.cancel()
            raise
        return session

    async def _ask_limits(self, session: Session) -> None:
        if not session.can(calls.LIMITS):
            return
        try:
            answer = await session.line.ask(calls.limits())
        except Refused:
            return
        if not isinstance(answer, Extended):
            raise session.line.odd("it does not tell its limits")
        _, most_read, most_write, _ = answer.numbers(4)
        session.most_read = min(most_read or PLAIN, MOST)  # 0: it does not say
        session.most_write = min(most_write or PLAIN, MOST)

    async def _real_root(self, line: Line) -> bytes:
        """Return the root without links; as it was given, where nothing is yet."""
        try:
            answer = await line.ask(calls.realpath(self.root))
        except Refused:
            return self.root
        return one_name(line, answer)


def one_name(line: Line, answer: object) -> bytes:
    """Return the path that a server tells. :exc:`BadAnswer` if it is none."""
    if not isinstance(answer, Names) or len(answer.names) != 1:
        raise line.odd("it was asked for one path, and tells something else")
    return answer.names[0][0]

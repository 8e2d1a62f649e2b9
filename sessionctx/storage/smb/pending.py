"""A request that was posted, and the answer that somebody waits for, or nobody any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from sessionctx.errors import PeerError
from sessionctx.storage.smb.answers import Reply
from sessionctx.storage.smb.messages import Ask, Command

_MOOT: Final = frozenset({Command.CREATE, Command.READ, Command.WRITE, Command.FIND})
"""What makes no difference if nobody waits for it; others were promised to happen."""


@attrs.define(eq=False)
class Pending:
    """A request that was posted."""

    ask: Ask
    late: Callable[[Reply], None] | None = None
    """Takes the answer if nobody waits for it any more when it comes."""
    _done: trio.Event = attrs.field(factory=trio.Event, init=False)
    _reply: Reply | None = attrs.field(default=None, init=False)
    _fault: PeerError | None = attrs.field(default=None, init=False)
    left: bool = attrs.field(default=False, init=False)
    """Nobody waits for it."""

    @property
    def moot(self) -> bool:
        """Whether it need not go out any more."""
        return self.left and self.ask.command in _MOOT

    async def reply(self) -> Reply:
        """Return the answer, whatever it says. May be asked for again by whoever was cancelled here."""
        if self.done:
            await trio.lowlevel.checkpoint()
        await self._done.wait()
        return self.result()

    @property
    def done(self) -> bool:
        """Whether it has been answered, or will not be any more."""
        return self._done.is_set()

    def result(self) -> Reply:
        """Return the answer that has come."""
        if self._fault is not None:
            raise type(self._fault)(str(self._fault), peer=self._fault.peer)
        assert self._reply is not None
        return self._reply

    async def wait(self) -> None:
        """Return when it has been answered, or will not be any more."""
        await self._done.wait()

    def leave(self) -> None:
        """Nobody waits for it any more."""
        if not self.left:
            self.left = True
            if self._reply is not None and self.late is not None:
                self.late(self._reply)

    def answered(self, reply: Reply) -> None:
        """Hand over its answer."""
        self._reply = reply
        self._done.set()
        if self.left and self.late is not None:
            self.late(reply)

    def failed(self, fault: PeerError) -> None:
        """It will never be answered."""
        self._fault = fault
        self._done.set()

"""One conversation with an SFTP server: any number of tasks ask at once, answers come in any order."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs
import trio

from sessionctx.errors import BadAnswer, PeerError, StorageError
from sessionctx.storage.sftp import calls, replies
from sessionctx.storage.sftp.calls import Call
from sessionctx.storage.sftp.frames import Frames
from sessionctx.storage.sftp.replies import BadPacket, Handle, Reply, Status

_CHUNK: Final = 256 * 1024
"""Bytes that are read at a time."""
_TOGETHER: Final = 512 * 1024
"""Bytes of packets that are sent in one piece: a copy costs less than a turn, or a packet of ssh for a few bytes."""
_NUMBERS: Final = 2**32


class Refused(Exception):
    """The server says no; its status says why. Never leaves this folder."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status

    @property
    def gone(self) -> bool:
        """Whether there is no such file."""
        return self.status.code == replies.NO_SUCH_FILE


@attrs.define(eq=False)
class Pending:
    """A call on its way. Whoever does not want its answer any more abandons it."""

    call: Call | None
    """Until it is sent."""
    reply: Reply | None = None
    abandoned: bool = False
    lost: Loss | None = None
    _came: trio.Event | None = None

    @property
    def done(self) -> bool:
        """Whether waiting for it takes no time."""
        return self.reply is not None or self.lost is not None

    def settle(self, reply: Reply | None, lost: Loss | None = None) -> None:
        """Its answer has come, or never will."""
        self.reply, self.lost, self.call = reply, lost, None
        if self._came is not None:
            self._came.set()

    async def answer(self) -> Reply:
        """Wait for the answer. The error of a line that was lost, if it was."""
        if self.done:
            await trio.lowlevel.checkpoint()
        else:
            self._came = self._came or trio.Event()
            await self._came.wait()
        if self.lost is not None:
            raise self.lost.error()
        assert self.reply is not None
        return self.reply


@attrs.frozen
class Loss:
    """Why a line is no more."""

    kind: type[PeerError | StorageError]
    message: str
    peer: str

    def error(self) -> PeerError | StorageError:
        """Return an error that says so, a new one for each who asks."""
        if issubclass(self.kind, StorageError):
            return self.kind(self.message, storage=self.peer)
        return self.kind(self.message, peer=self.peer)


@attrs.define(eq=False)
class Line:
    """A conversation, until it is lost. `run` carries it."""

    peer: str
    """Whom messages name."""
    extensions: frozenset[bytes] = frozenset()
    ready: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the server has told its version, or the line is lost."""
    loss: Loss | None = attrs.field(default=None, init=False)
    scope: trio.CancelScope = attrs.field(factory=lambda: trio.CancelScope(shield=True), init=False)
    """What carries it. It outlives the cancellation of those who use it, so that they can clean up."""
    _pending: dict[int, Pending] = attrs.field(factory=dict[int, Pending], init=False)
    _outgoing: deque[tuple[int, Pending]] = attrs.field(factory=deque[tuple[int, Pending]], init=False)
    _wake: trio.Event = attrs.field(factory=trio.Event, init=False)
    _number: int = attrs.field(default=0, init=False)

    # --- asking

    def begin(self, call: Call) -> Pending:
        """Send *call* soon, after those that were begun before. It can be waited for, or abandoned."""
        pending = Pending(call)
        if self.loss is not None:
            pending.settle(None, self.loss)
            return pending
        self._number = (self._number + 1) % _NUMBERS
        self._pending[self._number] = pending
        self._outgoing.append((self._number, pending))
        self._wake.set()
        return pending

    async def greeting(self) -> None:
        """Wait until the server has told what it can. The error of a line that was lost, if it was."""
        await self.ready.wait()
        if self.loss is not None:
            raise self.loss.error()

    async def ask(self, call: Call) -> Reply:
        """Send *call* and return the answer. :exc:`Refused`, :exc:`PeerError`."""
        return await self.take(self.begin(call))

    def drop(self, pending: Pending) -> None:
        """Nobody waits for *pending*: it is not sent if it was not yet, and a file that it opens is closed."""
        pending.abandoned = True
        opened, pending.reply = pending.reply, None
        if isinstance(opened, Handle):
            self.close(opened.name)

    def close(self, handle: bytes) -> None:
        """Close a file or a folder, without waiting for it."""
        self.begin(calls.close(handle))

    async def take(self, pending: Pending) -> Reply:
        """Return the answer of *pending*, which is abandoned if that takes too long for the caller."""
        try:
            reply = await pending.answer()
        except trio.Cancelled:
            self.drop(pending)
            raise
        if isinstance(reply, Status) and reply.code != replies.OK:
            raise Refused(reply)
        return reply

    def odd(self, what: str) -> BadAnswer:
        """Return the error of an answer that does not fit its question."""
        return BadAnswer(f"{self.peer} breaks the protocol: {what}", peer=self.peer)

    # --- its life

    async def run(self, send: trio.abc.SendStream, receive: trio.abc.ReceiveStream) -> None:
        """Carry the conversation until its end, which is there when this returns; `lose` is to say why then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, send)
            await self._receive(receive)
            nursery.cancel_scope.cancel()

    def lose(self, loss: Loss) -> None:
        """It is over: tell all who wait. The first reason counts."""
        self.loss = self.loss or loss
        pending, self._pending = self._pending, {}
        self._outgoing.clear()
        for each in pending.values():
            each.settle(None, self.loss)
        self.ready.set()

    async def _receive(self, stream: trio.abc.ReceiveStream) -> None:
        frames = Frames()
        try:
            while chunk := await stream.receive_some(_CHUNK):
                for packet in frames.feed(bytes(chunk)):
                    self._took(packet)
        except BadPacket as error:
            hint = "" if self.ready.is_set() else " (if its login shell prints something, have it print nothing)"
            self.lose(Loss(BadAnswer, f"{self.peer} breaks the protocol: {error}{hint}", self.peer))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    def _took(self, packet: memoryview) -> None:
        if not self.ready.is_set():
            self._greeted(replies.parse_version(packet))
            return
        number, reply = replies.parse(packet)
        pending = self._pending.pop(number, None)
        if pending is None:
            raise BadPacket("it answers what nobody asked")
        if not pending.abandoned:
            pending.settle(reply)
        elif isinstance(reply, Handle):
            self.close(reply.name)

    def _greeted(self, version: replies.Version) -> None:
        if version.number != 3:
            raise BadPacket(f"it speaks version {version.number}, and 3 is spoken here")
        known = calls.VERSIONS.items()
        self.extensions = frozenset(name for name, spoken in known if version.extensions.get(name) == spoken)
        self.ready.set()

    async def _send(self, stream: trio.abc.SendStream) -> None:
        try:
            await stream.send_all(calls.INIT)
            while True:
                while not self._outgoing:
                    self._wake = trio.Event()
                    await self._wake.wait()
                await self._send_some(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # whoever receives finds out why

    async def _send_some(self, stream: trio.abc.SendStream) -> None:
        """Send what waits, many packets together."""
        together = bytearray()
        while self._outgoing and len(together) < _TOGETHER:
            number, pending = self._outgoing.popleft()
            call, pending.call = pending.call, None
            if call is None or pending.abandoned:
                self._pending.pop(number, None)
                continue
            together += call.head(number)
            together += call.data
        await stream.send_all(together)

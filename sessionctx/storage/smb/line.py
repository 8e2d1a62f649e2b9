"""One connection to a share, with many requests in flight on it: as many as the server gives credits for.

Requests go out in the order in which they were posted. Nobody who waits holds up anybody: an answer that is not awaited
any more is thrown away when it comes, and what it opened is closed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import attrs
import trio

from sessionctx.errors import BadAnswer, PeerError, PeerFailed, Stalled
from sessionctx.storage.smb import answers, messages, status
from sessionctx.storage.smb.answers import Reply
from sessionctx.storage.smb.login import Login
from sessionctx.storage.smb.messages import Ask
from sessionctx.storage.smb.pending import Pending
from sessionctx.storage.smb.seal import TAG, Seal

IDLE: Final = 30.0
"""Seconds in which something has to come or go while an answer is awaited: else the server has stalled."""
CREDITS: Final = 512
"""Units that we want to be able to have in flight."""
PART: Final = 1024 * 1024
"""The most bytes of one request: more gains nothing, and costs memory."""
_NO_BREAK: Final = 0xFFFFFFFFFFFFFFFF


@attrs.define(eq=False)
class Line:
    """A connection that is logged in. `run` it in a task; then `post` requests."""

    public: str
    login: Login
    _socket: trio.socket.SocketType = attrs.field(repr=False)
    fault: PeerError | None = attrs.field(default=None, init=False)
    """Why it is of no use any more."""
    _seal: Seal = attrs.field(init=False)
    _queue: deque[Pending] = attrs.field(factory=deque[Pending], init=False)
    _sent: dict[int, Pending] = attrs.field(factory=dict[int, Pending], init=False)
    _next_id: int = attrs.field(init=False)
    _credits: int = attrs.field(init=False)
    _more: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Something was posted, or credits came."""
    _heard: float = attrs.field(factory=trio.current_time, init=False)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def __attrs_post_init__(self) -> None:
        self._seal = Seal(self.login.keys, self.login.session)
        self._next_id, self._credits = self.login.next_id, self.login.credits

    @property
    def most_read(self) -> int:
        """Bytes of the largest request that reads."""
        return self._most(self.login.most_read)

    @property
    def most_written(self) -> int:
        """Bytes of the largest request that writes."""
        return self._most(self.login.most_written)

    def post(self, ask: Ask, late: Callable[[Reply], None] | None = None) -> Pending:
        """Let *ask* go out, after those that were posted before; return at once."""
        pending = Pending(ask, late)
        if self.fault is not None:
            pending.failed(self.fault)
        else:
            if not self._queue and not self._sent:
                self._heard = trio.current_time()
            self._queue.append(pending)
            self._more.set()
        return pending

    def withdraw(self, pending: Pending) -> bool:
        """Let *pending* not go out, and return True, if it has not yet."""
        if pending in self._queue:
            self._queue.remove(pending)
            return True
        return False

    async def run(self) -> None:
        """Carry what is posted, until the line breaks or `close` ends it. Raises nothing: `fault` says why it ended."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for part in (self._write, self._read, self._watch):
                        nursery.start_soon(self._guarded, part)
        finally:
            self._break(PeerFailed(f"{self.public} is closed", peer=self.public))
            self._socket.close()

    async def close(self, seconds: float) -> None:
        """End it, after what was posted has been answered, but within *seconds*."""
        with trio.move_on_after(seconds, shield=True):
            for pending in (*self._sent.values(), *self._queue):
                if not pending.moot:
                    await pending.wait()
        self._scope.cancel()

    # ---

    def _most(self, told: int) -> int:
        granted = self._credits + sum(self._charge(pending.ask) for pending in self._sent.values())
        return min(told, PART, max(granted // 4, 1) * messages.UNIT) if self.login.large else min(told, messages.UNIT)

    async def _guarded(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except PeerError as error:
            self._break(type(error)(f"{self.public}: {error}", peer=self.public))
        except (OSError, trio.ClosedResourceError) as error:
            self._break(PeerFailed(f"{self.public} broke off the connection: {error}", peer=self.public))

    def _break(self, fault: PeerError) -> None:
        if self.fault is None:
            self.fault = fault
            self._scope.cancel()
            for pending in (*self._sent.values(), *self._queue):
                pending.failed(self.fault)
            self._sent.clear()
            self._queue.clear()

    # --- going out

    async def _write(self) -> None:
        while True:
            pending = await self._next()
            for buffer in self._sealed(pending):
                await self._send(memoryview(buffer))

    async def _next(self) -> Pending:
        """Return the next request, as soon as there is one and credits for it."""
        while True:
            while self._queue and self._queue[0].moot:
                self._queue.popleft()
            if self._queue and self._charge(self._queue[0].ask) <= self._credits:
                return self._queue.popleft()
            self._more = trio.Event()
            await self._more.wait()

    def _charge(self, ask: Ask) -> int:
        return (ask.units if self.login.large else 1) + (self._charge(ask.then) if ask.then is not None else 0)

    def _sealed(self, pending: Pending) -> Iterable[bytes | bytearray | memoryview]:
        """Return what goes out for *pending*, and for what goes with it."""
        ask, then = pending.ask, pending.ask.then
        frame, ask.frame = ask.frame, bytearray()  # it is held by what goes out, and no longer than that
        ask.then = None
        if then is None:
            self._head(pending, frame)
        else:
            frame += bytes(-(len(frame) - messages.LENGTH) % 8)
            self._head(pending, frame, after=len(frame) - messages.LENGTH)
            self._head(Pending(then), then.frame, flags=messages.RELATED)
            frame += then.frame[messages.LENGTH :]
            messages.put_length(frame)
        return self._seal.close(frame)

    def _head(self, pending: Pending, frame: bytearray, *, flags: int = 0, after: int = 0) -> None:
        """Put the header of *pending* into its frame, and sign it."""
        charge, message_id = self._charge(pending.ask), self._next_id
        self._next_id += charge
        self._credits -= charge
        self._sent[message_id] = pending
        messages.put_header(
            frame,
            pending.ask.command,
            message_id=message_id,
            session=self.login.session,
            tree=self.login.tree,
            charge=charge if self.login.large else 0,
            wanted=max(charge, min(CREDITS - self._credits, CREDITS)),
            flags=flags | (messages.SIGNED if self._seal.signs else 0),
            after=after,
        )
        self._seal.sign(frame, message_id)

    async def _send(self, left: memoryview) -> None:
        while left:
            left = left[await self._socket.send(left) :]
            if left:  # it was too much for one go: there is somebody who takes it
                self._heard = trio.current_time()

    # --- coming in

    async def _read(self) -> None:
        length = bytearray(messages.LENGTH)
        largest = max(PART, self.most_read) + messages.UNIT
        while True:
            await self._fill(memoryview(length))
            size = int.from_bytes(length, "big")
            if not messages.HEADER <= size <= largest:
                raise BadAnswer(f"a message of {size} bytes came, which nobody asked for")
            buffer = bytearray(size + TAG)
            await self._fill(memoryview(buffer)[:size])
            for reply in answers.replies(self._seal.open(buffer)):
                self._take(reply)

    async def _fill(self, left: memoryview) -> None:
        while left:
            came = await self._socket.recv_into(left)
            if not came:
                raise PeerFailed("the server closed the connection", peer=self.public)
            left = left[came:]
            self._heard = trio.current_time()

    def _take(self, reply: Reply) -> None:
        if reply.message_id == _NO_BREAK:
            return  # an oplock that breaks: we hold none
        if reply.status in status.LOST:  # it need not be signed: the key may be forgotten, too
            raise PeerFailed("the server has ended the session")
        if not reply.interim:
            self._seal.check(reply.message, reply.message_id, signed=reply.signed)
        self._credits += reply.credits
        self._more.set()
        if reply.interim:
            return
        pending = self._sent.pop(reply.message_id, None)
        if pending is None or pending.ask.command != reply.command:
            raise BadAnswer("an answer came that nobody asked for")
        pending.answered(reply)

    # --- neither

    async def _watch(self) -> None:
        """See to it that the server still answers, whatever else it may be busy with."""
        while True:
            await trio.sleep_until(self._heard + IDLE / 2)
            if not (self._sent or self._queue):
                self._heard = trio.current_time()
                continue
            self.post(messages.echo())
            await trio.sleep_until(self._heard + IDLE)
            if trio.current_time() >= self._heard + IDLE:
                raise Stalled(f"nothing came for {IDLE:.0f} s, and an answer is due")

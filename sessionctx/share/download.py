"""One blob on its way here: from one service at a time, or two while one is late; broken off, and gone on elsewhere.

A task asks services and puts what they bring in order; the caller's own task writes that down. The last piece is handed
on only when the digest of all is right, so nothing that is wrong is ever whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import attrs
import trio

from sessionctx import session
from sessionctx.errors import BadAnswer, Lied, NotHere, PeerError, PeerFailed, SessionctxError
from sessionctx.share.course import Course
from sessionctx.share.metrics import Metrics
from sessionctx.share.pieces import Pieces
from sessionctx.share.service import Answer, Service
from sessionctx.share.tally import Mark, Tally

T = TypeVar("T")

WINDOW: Final = 256 * 1024
"""Bytes by which progress is judged: who takes longer for so many than is usual, is late."""
INF: Final = float("inf")
AHEAD: Final = 4
"""Pieces that wait to be written."""


class _StartOver(Exception):
    """What has come is of no use; others may do better."""


@attrs.define(eq=False)
class _Leg:
    """One request to one service."""

    service: Service
    at: int = 0
    """Where in the blob its next piece begins."""
    fresh: int = 0
    """Bytes that it brought first, since another was asked as well."""
    own_word: bool = False
    """Whether what the blob has to be is what this service says."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class Download:
    """One blob on its way here."""

    course: Course
    metrics: Metrics
    tally: Tally = attrs.field(factory=Tally, init=False)
    _queue: deque[Service] = attrs.field(factory=deque[Service], init=False)
    _legs: dict[_Leg, None] = attrs.field(factory=dict[_Leg, None], init=False)
    _suspects: list[Mark] = attrs.field(factory=list[Mark], init=False)
    _asked: int = attrs.field(default=0, init=False)
    _end: Exception | None = attrs.field(default=None, init=False)
    """Why it ends before it is whole."""
    _whole: bool = attrs.field(default=False, init=False)
    _late: bool = attrs.field(default=False, init=False)
    _patience: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _stirred: trio.Event = attrs.field(factory=trio.Event, init=False)
    _taken: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when a piece was taken to be written."""

    async def into(self, write: Callable[[Pieces, int], Awaitable[T]]) -> T:
        """Hand what comes to *write*, with its size; again from the beginning where that was of no use.

        Raises:
            BlobNotFound: no service has it.
            FetchFailed: none could serve.
            LimitReached: a budget of the session is spent.
        """
        while True:
            try:
                return await self._once(write)
            except _StartOver:
                self.tally = Tally(self._suspects)

    async def _once(self, write: Callable[[Pieces, int], Awaitable[T]]) -> T:
        send, receive = trio.open_memory_channel[memoryview](INF)  # bounded by `_written`
        pieces, failure, results = Pieces(receive, self._digest, self._freed), None, list[T]()
        async with trio.open_nursery() as nursery, receive:
            nursery.start_soon(self._bring, send, pieces)
            try:
                await pieces.begin()
                results.append(await write(pieces, self.course.size or 0))
            except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery, which would wrap it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        self._convict()
        return results[0]

    def _digest(self) -> str:
        return self.tally.digest

    def _freed(self) -> None:
        self._taken.set()

    def _convict(self) -> None:
        """Now that the blob is whole, tell the ledger who it was that sent wrong bytes before."""
        liar = self.tally.liar()
        for service in self.course.wish.services:
            record = service.endpoint.record()
            if service.public == liar and record is not None:
                record.ban(f"{liar} sent wrong bytes of the blob {self.course.wish.id!r}")

    async def _bring(self, send: trio.MemorySendChannel[memoryview], pieces: Pieces) -> None:
        async with send:
            try:
                while not self._whole:
                    if not self._queue:
                        self._queue.extend(await self.course.next_round())
                    await self._ask(send)
                    if self._end is not None:
                        pieces.failure, self._end = self._end, None
                        return
            except SessionctxError as error:
                pieces.failure = error

    # --- whom to ask

    async def _ask(self, send: trio.MemorySendChannel[memoryview]) -> None:
        """Ask those in the queue, one after the other, and two at a time while one is late."""
        async with trio.open_nursery() as nursery:
            while not self._over and (self._queue or self._legs):
                if self._queue and (not self._legs or self._late):
                    self._start(nursery, send)
                else:
                    await self._wait()
            nursery.cancel_scope.cancel()

    @property
    def _over(self) -> bool:
        return self._whole or self._end is not None

    @property
    def _mixable(self) -> bool:
        """Whether what one service sent can be gone on with by another: the digest tells in the end."""
        return self.course.digest is not None and not self._suspects

    def _start(self, nursery: trio.Nursery, send: trio.MemorySendChannel[memoryview]) -> None:
        service = self._queue[0]
        if self.tally.at and not self._mixable and self.tally.sources != {service.public}:
            self._end = _StartOver()
            return
        self._late = False
        self._queue.popleft()
        for other in self._legs:
            other.fresh = 0
        leg = _Leg(service)
        self._legs[leg] = None
        if self._asked:
            self.metrics.commands["load"].retries += 1
        self._asked += 1
        nursery.start_soon(self._run, leg, send)

    async def _wait(self) -> None:
        """Wait until a request has ended, or one that is alone is late."""
        self._stirred = trio.Event()
        can_hedge = self._queue and len(self._legs) == 1 and (self._mixable or not self.tally.at)
        deadline = trio.current_time() + self._usual() if can_hedge else INF
        with trio.CancelScope(deadline=deadline) as self._patience:
            await self._stirred.wait()
        self._late = self._patience.cancelled_caught

    def _usual(self) -> float:
        """Return the seconds in which a window of bytes should come from who is asked now."""
        return max(self.course.wish.late, next(iter(self._legs)).service.usual(WINDOW))

    # --- one request

    async def _run(self, leg: _Leg, send: trio.MemorySendChannel[memoryview]) -> None:
        try:
            with leg.scope, self.metrics.source(leg.service.public).one():
                await self._request(leg, send)
        except PeerError as error:
            self.course.failed(leg.service, error)
        except SessionctxError as error:  # that is ours: a budget is spent, the session has ended
            self._end = error
        finally:
            del self._legs[leg]
            self._stirred.set()

    async def _request(self, leg: _Leg, send: trio.MemorySendChannel[memoryview]) -> None:
        """Ask for the blob; for its digest before that, if nobody has told it and this service tells none with it."""
        course, service, silent = self.course, leg.service, self.course.manners.silent
        beside = None
        for _ in range(2):
            if course.digest is None and service.public in silent:
                beside = await service.digest(course.wish.id)
            async with service.ask(course.wish.id, offset=self.tally.at, etag=course.tag(service)) as answer:
                if answer.head.digest is not None or course.digest is not None or service.public in silent:
                    await self._take(leg, answer, answer.head.digest or beside, send)
                    return
            silent.add(service.public)

    async def _take(
        self, leg: _Leg, answer: Answer, digest: str | None, send: trio.MemorySendChannel[memoryview]
    ) -> None:
        """Take what a service has, until the blob is whole."""
        course, service, head, tag = self.course, leg.service, answer.head, self.course.tag(leg.service)
        if not course.told(service, head, digest):
            self._contradicted(leg)
            course.told(service, head, digest)
            if self._over:
                return
        if self.tally.at and not self._mixable and (tag is None or tag != head.etag):
            self._end = _StartOver()  # it may be another blob by now, and nothing would tell
            return
        leg.at = head.offset
        leg.own_word = digest is not None or course.wish.digest is not None
        if not head.size:
            self._check(leg)
        async for piece in answer.pieces:
            answer.request.came(len(piece))
            self._count(service, len(piece))
            await self._deliver(leg, memoryview(piece), send)
            if self._over:
                return
        if leg.at < head.size:
            raise PeerFailed(f"{service.public} ended after {leg.at} of {head.size} bytes", peer=service.public)

    def _contradicted(self, leg: _Leg) -> None:
        """It has another blob than who was asked before it: take its word, unless the other one goes on."""
        public = leg.service.public
        if len(self._legs) > 1:
            raise BadAnswer(f"{public} has another blob of this name than {self.course.teller}", peer=public)
        self.course.forget()
        if self.tally.at:
            self._end = _StartOver()
            self._queue.appendleft(leg.service)

    def _count(self, service: Service, size: int) -> None:
        self.metrics.source(service.public).bytes += size
        self.metrics.commands["load"].bytes += size
        spent = session.current().account.spent("bytes")
        if spent is not None and self.tally.at + size < (self.course.size or 0):
            raise spent

    async def _deliver(self, leg: _Leg, piece: memoryview, send: trio.MemorySendChannel[memoryview]) -> None:
        """Hand on what is fresh of a piece; nothing of that is lost when the request is left."""
        fresh = self.tally.fresh(leg.at, piece)
        leg.at += len(piece)
        if not fresh:
            return
        self.tally.add(leg.service.public, fresh)
        leg.fresh += len(fresh)
        self._race(leg)
        if self.tally.at == self.course.size:
            self._check(leg)
        if self._end is None:
            send.send_nowait(fresh)
            await self._written(send)

    async def _written(self, send: trio.MemorySendChannel[memoryview]) -> None:
        """Wait until most of it is written. The time that takes is not the service's."""
        while send.statistics().current_buffer_used > AHEAD:
            alone, self._patience.deadline = self._patience.deadline != INF, INF
            self._taken = trio.Event()
            await self._taken.wait()
            if alone:
                self._patience.deadline = trio.current_time() + self._usual()

    def _race(self, leg: _Leg) -> None:
        """Leave the others, when one of several has clearly brought more; give one that is alone another while."""
        if len(self._legs) > 1 and (leg.fresh >= WINDOW or not self._mixable):
            for other in self._legs:
                if other is not leg:
                    other.scope.cancel()
        if leg.fresh >= WINDOW:
            leg.fresh = 0
            if len(self._legs) == 1 and self._patience.deadline != INF:
                self._patience.deadline = trio.current_time() + self._usual()

    def _check(self, leg: _Leg) -> None:
        """All bytes are here: is it the blob? If one service alone sent them and they are not, it has lied."""
        self.tally.close()
        course, public = self.course, leg.service.public
        if course.digest in (None, self.tally.digest):
            self._whole = True
            return
        self._end = _StartOver()
        if self.tally.sources - {public}:  # then each by itself, which shows who it was
            self._suspects = self.tally.marks
            self._queue.extendleft(each for each in course.wish.services if each.public in self.tally.sources)
            return
        what = f"{public} sent {self.tally.digest} where {course.digest or 'its own word'} was to come"
        if course.teller is leg.service:
            course.forget()
        raise Lied(what, peer=public) if leg.own_word else NotHere(what, peer=public)

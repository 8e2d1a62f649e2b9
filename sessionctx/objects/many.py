"""Many operations on one service: read lazily, sent together where that can be, each with exactly one result.

The policy is in `schedule`; this is the shell: a task that reads the input, one for each request, and one that hands
out the results. All of them end with the block, however it is left.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final, Self

import attrs
import trio

from sessionctx.errors import BadAnswer, OutcomeUnknown, PeerFailed, SessionctxError, Stalled
from sessionctx.objects.operations import Operation, writes
from sessionctx.objects.outcome import Result, Value
from sessionctx.objects.schedule import Request, Schedule
from sessionctx.objects.service import Operations, Service

CHECKPOINT: Final = 32
"""So many operations are read from an input that never waits, before others get a turn."""
LINGER: Final = 0.005
"""Seconds that a request waits for more operations to come with it, when the input is slow."""
TOGETHER: Final = 16 * 1024 * 1024
"""Bytes that one request sends, at most; the protocol allows more, but more would not be faster."""
MOST_HELD: Final = 64 * 1024 * 1024
"""Bytes of content in results that nobody has taken yet; above, answers are left waiting on the line."""


@asynccontextmanager
async def many(
    service: Service, operations: Operations, *, concurrency: int = 3, ordered: bool = False, look_ahead: int = 4000
) -> AsyncGenerator[AsyncIterator[Result]]:
    """Do *operations*, and lend their results as they come, or in the order of the input if *ordered*.

    At most *concurrency* requests are under way, and at most *look_ahead* operations have been read from the input and
    have no result taken yet. Leaving the block ends all that is under way. An error that the input raises is raised by
    the results, after those of what was read before it.
    """
    if concurrency < 1 or look_ahead < 1:
        raise ValueError(f"concurrency={concurrency} and look_ahead={look_ahead} must be at least 1")
    send, receive = trio.open_memory_channel[Result](0)
    run = _Run(service, concurrency, ordered, look_ahead)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.read, operations)
        nursery.start_soon(run.dispatch)
        nursery.start_soon(run.hand_out, send)
        try:
            yield _Results(run, receive)
        except Exception as error:  # noqa: BLE001  # raised below, outside of the nursery, which would wrap it
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


@attrs.define(eq=False)
class _Results:
    """The results as they are taken."""

    _run: _Run
    _receive: trio.MemoryReceiveChannel[Result]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._run.broken is not None:
                broken, self._run.broken = self._run.broken, None
                raise broken from None
            raise StopAsyncIteration from None


@attrs.define(eq=False)
class _Run:
    """One use of ``many``. Its tasks change it between checkpoints, and wake the others when they have."""

    service: Service
    concurrency: int
    ordered: bool
    look_ahead: int

    broken: Exception | None = attrs.field(default=None, init=False)
    """What the input raised."""
    _schedule: Schedule = attrs.field(factory=lambda: Schedule(total=TOGETHER), init=False)
    _operations: dict[int, Operation] = attrs.field(factory=dict[int, Operation], init=False)
    """Those that were read and have no outcome yet."""
    _results: dict[int, Result] = attrs.field(factory=dict[int, Result], init=False)
    """Those that wait to be handed out, in the order in which they came."""
    _flights: set[_Flight] = attrs.field(factory=set["_Flight"], init=False)
    _read: int = attrs.field(default=0, init=False)
    _taken: int = attrs.field(default=0, init=False)
    _held: int = attrs.field(default=0, init=False)
    _exhausted: bool = attrs.field(default=False, init=False)
    _may_wait: bool = attrs.field(default=False, init=False)
    """Whether the input may keep us waiting; otherwise what is still to come is there at once."""
    _since: float = attrs.field(default=0.0, init=False)
    """Since when something has been ready to go."""
    _lot: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)

    # --- the tasks

    async def read(self, operations: Operations) -> None:
        """Read the input, as far as the look-ahead goes."""
        try:
            if isinstance(operations, AsyncIterable):
                self._may_wait = True
                async for operation in operations:
                    await self._take_in(operation)
            else:
                for operation in operations:
                    await self._take_in(operation)
        except Exception as error:  # noqa: BLE001  # the user's own; told when all that was read has its result
            self.broken = error
        self._exhausted = True
        self._wake()

    async def dispatch(self) -> None:
        """Send what is due, while there is room for one more request."""
        async with trio.open_nursery() as nursery:
            while not self._exhausted or len(self._schedule):
                request = self._due()
                if request is None:
                    await self._wait(self._since + LINGER if self._may_wait and self._may_go() else math.inf)
                    continue
                flight = _Flight(self, {item.index: self._operations[item.index] for item in request.items})
                self._flights.add(flight)
                self._wake()
                nursery.start_soon(flight.alone if request.alone else flight.together)

    async def hand_out(self, send: trio.MemorySendChannel[Result]) -> None:
        """Hand out results as they are taken."""
        async with send:
            while not self._over():
                result = self._ready()
                if result is None:
                    await self._wait()
                    continue
                await send.send(result)
                del self._results[result.index]
                self._taken += 1
                self._held -= result.size
                self._wake()

    # --- reading

    async def _take_in(self, operation: Operation) -> None:
        index = self._read
        if self._is_full():
            self._wake()  # what is there may go
        while self._is_full():
            await self._wait()
        if index % CHECKPOINT == 0:
            await trio.lowlevel.checkpoint()
        self._read += 1
        self._operations[index] = operation
        try:
            item = await self.service.prepare(index, operation)
        except (SessionctxError, OSError) as error:
            self.settle(index, None, error)
            return
        if self._schedule.first is None:
            self._since = trio.current_time()
        self._schedule.add(item)
        if self._schedule.first == index or self._schedule.full:
            self._wake()

    def _is_full(self) -> bool:
        return self._schedule.crowded or self._read - self._taken >= self.look_ahead

    # --- sending

    def _may_go(self) -> bool:
        """Whether one more request may: those that wait until results are taken are not under way."""
        under_way = sum(not flight.paused for flight in self._flights)
        return (
            self._schedule.first is not None
            and under_way < self.concurrency
            and not self._is_late(self._schedule.first)
        )

    def _due(self) -> Request | None:
        if not self._may_go():
            return None
        late = self._may_wait and trio.current_time() >= self._since + LINGER
        return self._schedule.take() if late or self._exhausted or self._schedule.full or self._is_full() else None

    def _is_late(self, first: int) -> bool:
        """Whether results wait to be taken before more are made; but not what everybody else waits for."""
        return self._held >= MOST_HELD and not (self.ordered and first == self._taken)

    # --- outcomes

    def settle(self, index: int, value: Value, error: Exception | None) -> None:
        """Note the outcome of an operation."""
        result = Result(index, self._operations.pop(index), value, error)
        self._held += result.size
        self._results[index] = result
        self._wake()

    def answered(self, index: int, value: Value, error: Exception | None) -> None:
        """Note the outcome of an operation that was in flight."""
        self._schedule.done(index)
        self.settle(index, value, error)

    async def until_room(self, flight: _Flight) -> None:
        """Wait while too much content waits to be taken; but not with what everybody else waits for."""
        while self._held >= MOST_HELD and not (self.ordered and self._taken in flight.open):
            if not flight.paused:
                flight.paused = True
                self._wake()
            await self._wait()
        flight.paused = False

    def landed(self, flight: _Flight) -> None:
        """A request is over."""
        self._flights.discard(flight)
        self._wake()

    def _ready(self) -> Result | None:
        if self.ordered:
            return self._results.get(self._taken)
        return next(iter(self._results.values()), None)

    def _over(self) -> bool:
        return self._exhausted and not self._operations and not self._results

    # --- waiting

    def _wake(self) -> None:
        self._lot.unpark_all()

    async def _wait(self, until: float = math.inf) -> None:
        with trio.move_on_at(until):
            await self._lot.park()


@attrs.define(eq=False)
class _Flight:
    """One request under way, and those of its operations that have no outcome yet."""

    run: _Run
    open: dict[int, Operation]
    paused: bool = False
    """It waits until results are taken."""

    async def together(self) -> None:
        """Send all in one request."""
        await self._fly(self.run.service.batch(dict(self.open), self))

    async def alone(self) -> None:
        """Send the only one."""
        ((index, operation),) = self.open.items()
        await self._fly(self.run.service.alone(index, operation, self))

    async def answer(self, index: int, value: Value = None, error: Exception | None = None) -> None:
        """Note the outcome of one."""
        if self.open.pop(index, None) is not None:
            self.run.answered(index, value, error)
            await self.run.until_room(self)

    async def _fly(self, sending: Awaitable[None]) -> None:
        why: Exception = PeerFailed("the service left it out of its answer")
        try:
            await sending
        except Exception as error:  # noqa: BLE001  # becomes the outcome of those that have none
            why = error
        for index, operation in self.open.items():
            self.run.answered(index, None, _unanswered(operation, why))
        self.open = {}
        self.run.landed(self)


_LOST: Final = (PeerFailed, Stalled, BadAnswer)
"""What comes when something was sent, and no answer came that says what became of it."""


def _unanswered(operation: Operation, why: Exception) -> Exception:
    """Return the outcome of an operation that may have been sent, and was not answered."""
    if not writes(operation) or (isinstance(why, SessionctxError) and not isinstance(why, _LOST)):
        return why  # it is an answer; or nothing was sent
    unknown = OutcomeUnknown(f"the write of {operation.key or 'a new object'} was sent, and its answer is lost: {why}")
    unknown.__cause__ = why
    return unknown

"""Carrying: one CAR brings all that hangs below a name, and whoever waits for any of it gets it from there.

A carry never fails anybody: what it does not bring is asked for block by block, from whoever has it.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import attrs
import trio

from sessionctx.content import CID, RAW, Block
from sessionctx.errors import BadAnswer, CarError, CarTruncated, LimitReached, SessionEnded
from sessionctx.fetch.batch import Batch, Keep
from sessionctx.fetch.check import check
from sessionctx.fetch.early import EACH, Early
from sessionctx.fetch.job import CarJob, Job
from sessionctx.fetch.lookout import far_end, outrun, stalls
from sessionctx.fetch.request import Request
from sessionctx.fetch.run import FETCHER, Fetcher, pump_tree
from sessionctx.fetch.stripe import SMALL, STRIPE, Sweep
from sessionctx.peers import Ask
from sessionctx.session import Session
from sessionctx.transports import CarAnswer

TICK: Final = 0.05
"""Seconds between two looks at how it gets on."""
MOST_UNUSED: Final = 512 * 1024
"""Bytes in a row that are of no use, after which a CAR is left."""
MOST_MOVES: Final = 2
"""How often somebody else may be asked for all of it anew."""


class _Left(enum.Enum):
    """Why a CAR was left before it had brought everything: nobody's fault."""

    ENOUGH = enum.auto()
    """Others were faster with what it brings, it stalled, or there is no use or place for more."""
    OUTRUN = enum.auto()
    """Somebody else is to be asked for it."""


@attrs.define(eq=False)
class Carry:
    """One sub-DAG on its way as a CAR. From its making, whoever wants a part of it waits for that."""

    fetcher: Fetcher
    sweep: Sweep
    keep: Keep
    _job: CarJob = attrs.field(init=False)
    _batch: Batch = attrs.field(init=False)
    _unused: int = attrs.field(default=0, init=False)
    """Bytes of blocks that were of no use."""
    _left: _Left | None = attrs.field(default=None, init=False)
    _moves: int = attrs.field(default=0, init=False)
    _stop: Callable[[], None] = attrs.field(init=False)
    _helping: set[bytes] = attrs.field(factory=set[bytes], init=False)

    def __attrs_post_init__(self) -> None:
        sweep = self.sweep
        size = STRIPE // 4 if sweep.size is None else sweep.size
        near = self.fetcher.givers.of(sweep.near)
        self._job = CarJob(sweep.root, size, near=near, sweep=sweep)
        self._batch = Batch(self.keep, self.fetcher.covers.held)
        self.fetcher.covers.open(self._job)

    async def run(self) -> None:
        """Bring it, as far as one CAR does that."""
        try:
            with suppress(SessionEnded, LimitReached), self.fetcher.session.want(self.sweep.root, counted=False):
                self._job.deadline = trio.current_effective_deadline()
                async with trio.open_nursery() as helpers:
                    await self.fetcher.work(self._job, partial(self._ask, helpers))
        finally:
            self.fetcher.covers.close(self._job)
            self._batch.close()
            pump_tree(self.fetcher.session)  # what waited for it is asked for by itself now

    async def _ask(self, helpers: trio.Nursery, job: Job, ask: Ask) -> None:
        """Ask one peer for it, and take in what comes."""
        fetcher = self.fetcher
        fetcher.covers.asked(self._job)
        self._unused = 0
        with Request(fetcher.requests, job, ask) as request:
            await self._beside(partial(self._watch, helpers, ask), partial(self._receive, request))
            if self._left is _Left.ENOUGH and not (request.useful and self._job.open):
                request.dropped()
            else:
                request.found(request.useful, wasted=self._unused, timed=False)
            if self._left is not _Left.OUTRUN:
                fetcher.needs.drop(job)
        fetcher.covers.asked(self._job)
        if self._left is _Left.OUTRUN:
            self._left, job.barred = None, ask.record
        elif request.useful:
            fetcher.needs.drop(job)  # what is still missing is somebody else's
        pump_tree(fetcher.session)

    async def _beside(self, watch: Callable[[], Awaitable[None]], work: Callable[[], Awaitable[None]]) -> None:
        """Do the *work* while something keeps *watch*; errors of the work come out as they are."""
        failed: Exception | None = None
        async with trio.open_nursery() as nursery:
            self._stop = nursery.cancel_scope.cancel
            nursery.start_soon(watch)
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # raised below, outside of the nursery
                failed = error
            nursery.cancel_scope.cancel()
        if failed is not None:
            raise failed

    # --- taking in

    async def _receive(self, request: Request) -> None:
        sweep, record = self.sweep, request.ask.record
        transport = self.fetcher.met.transport(record)
        asked = transport.car(sweep.root, path=sweep.path, scope=sweep.scope, span=sweep.span, progress=request)
        early = Early()
        try:
            async with asked as answer:
                await self._take_in(answer, early, request)
        except (BadAnswer, CarError) as error:
            if not record.cars and not isinstance(error, CarTruncated):
                record.cars = False  # it has never sent one: from now on it is asked for blocks only
                request.harmless = True
            raise BadAnswer(str(error), peer=record.peer.public) from error
        finally:
            await self._batch.flush()
            if self._batch.failed or early.gave_way:
                self._left = _Left.ENOUGH
        if sweep.exact and not (sweep.done or self._left is not None or self._too_long()):
            missing = sweep.next()
            assert missing is not None
            record.forget_me_not(missing.multihash)
            raise BadAnswer(f"{record.peer.public} sent a CAR that lacks {missing}", peer=record.peer.public)

    async def _take_in(self, answer: CarAnswer, early: Early, request: Request) -> None:
        """Verify, hand out and keep what is expected of what comes; leave when it has all come."""
        sweep, public, unexpected, useful = self.sweep, request.ask.record.peer.public, 0, 0
        async for cid, data in answer:
            if not sweep.expects(cid.multihash):
                self._unused += len(data)
                unexpected += EACH + len(data)  # so that empty ones do not come for ever
                if sweep.done or (request.useful and unexpected - useful > MOST_UNUSED):
                    self._left = _Left.ENOUGH  # others have brought what it brings now
                    return
                if unexpected > STRIPE + sweep.came + EACH * sweep.blocks:
                    raise BadAnswer(f"{public} sends what nobody asked for", peer=public)
                if not sweep.has(cid.multihash):
                    early.keep(cid, data)
                continue
            useful = unexpected
            await self._take(cid, data, request)
            while not self._enough():
                if (named := early.named(sweep)) is None:
                    break
                self._unused -= len(named[1])
                await self._take(*named, request)
            else:
                return

    def _enough(self) -> bool:
        """Whether no more is to be taken in, because it has all come or because there is no place for more."""
        if self.sweep.done or self._too_long():
            return True
        if self._batch.failed or self.fetcher.session.account.spent("bytes") is not None:
            self._left = _Left.ENOUGH
            return True
        return False

    async def _take(self, cid: CID, data: bytes, request: Request) -> None:
        await check(cid, data)
        block, giver = Block.vouched(cid, data), request.ask.record
        giver.cars = True
        request.useful += len(data)
        # Whoever waits for it keeps it, too; but what others hang on is kept before them, in any case.
        if not self.fetcher.give(block, giver) or block.cid.codec != RAW:
            await self._batch.add(block)

    def _too_long(self) -> bool:
        """Whether more has come than was said to be there, by far; the rest is divided among the peers."""
        return self.sweep.size is not None and self.sweep.came > 4 * self.sweep.size + STRIPE

    # --- watching it

    async def _watch(self, helpers: trio.Nursery, ask: Ask) -> None:
        """Rely on it no longer when it stalls; and let others begin at its far end, where that saves time."""
        fetcher, sweep = self.fetcher, self.sweep
        while True:
            await trio.sleep(TICK)
            now = trio.current_time()
            if self._left is not None:
                return  # it is only being stored
            if sweep.done:
                self._left = _Left.ENOUGH  # others have brought the rest
                self._stop()
                return
            if stalls(ask, now):
                if self._job.open:
                    fetcher.covers.give_up(self._job)
                    pump_tree(fetcher.session)
                continue
            fetcher.pool.update(now)
            if self._moves < MOST_MOVES and outrun(self._job, ask, fetcher.pool, now):
                self._left, self._moves = _Left.OUTRUN, self._moves + 1
                self._stop()
                return
            if fetcher.needs.waiting:
                continue  # the others have enough to do
            for cid in far_end(self._job, ask, fetcher.pool, self._helping, now):
                self._helping.add(cid.multihash)
                helpers.start_soon(self._help, Job(cid, int(sweep.mean()), barred=ask.record))

    async def _help(self, job: Job) -> None:
        """Get one block from somebody else."""
        try:
            block = await self.fetcher.one(job)
            if block is not None:
                await self._batch.keep([block])
        finally:
            self._helping.discard(job.cid.multihash)


def start_carry(s: Session, sweep: Sweep, keep: Keep) -> Carry | None:
    """Return the carry of *sweep*, which is reckoned with from now on and has to be run; None if that is in vain.

    It is, if its root is on its way already, if a budget is spent, or if no peer is known that sends CARs.
    """
    fetcher = FETCHER.of(s)
    if fetcher.covers.includes(sweep.root.multihash) or s.account.spent() is not None or not fetcher.met.may_carry():
        return None
    return Carry(fetcher, sweep, keep)


def usual_small_block(s: Session | None) -> float:
    """Return how many bytes a block must have for round trips not to dominate, with the peers of *s*."""
    return SMALL if s is None or s.ended is not None else FETCHER.of(s).met.small_block()

"""The plan: who is asked for what, whether to wait, and when to give up. Pure; time is an argument.

Peers pull: one gets work when its window has room and it is expected to be done with it before any other peer would,
queues included. So a slow peer is given what it can finish in time and never holds up what a faster one would
bring sooner, even if that one has to be waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from functools import partial
from typing import Final

import attrs

from sessionctx.errors import BadAnswer, PeerError, Stalled, Unreachable
from sessionctx.peers import Ask, Health, Outlook, Record, explorable, outlook, soonest, typical

PATIENCE: Final = 60.0
"""Seconds; a peer that rests for longer is not waited for."""
MOST_TRIES: Final = 5
"""How often one peer may fail for one want. Those that are unlikely to recover within seconds get less."""
FEW_TRIES: Final = 2
LEAST_DEAD: Final = 2.0
"""Seconds; a request that is silent for less is not given up."""
MUCH_LATER: Final = 10.0
"""Times its predicted duration, after which a silent request is given up."""
OVERTAKEN: Final = 0.25
"""A request that crawls is given up if another peer would be done in this part of what it still needs."""
SOON: Final = 0.05
"""Seconds between two looks at a request that is late, at least."""


@attrs.define(eq=False)
class Job:
    """One name that is being fetched, and how it stands."""

    name: Hashable
    size: int
    """Bytes expected."""
    deadline: float = float("inf")
    asks: list[Ask] = attrs.field(factory=list[Ask])
    """Requests on their way, the oldest first."""
    errors: dict[Record, PeerError] = attrs.field(factory=dict[Record, PeerError])
    """What each peer's last try came to."""
    tries: dict[Record, int] = attrs.field(factory=dict[Record, int])

    def note(self, record: Record, error: PeerError) -> None:
        """Remember that a try with this peer came to *error*."""
        self.errors[record] = error
        self.tries[record] = self.tries.get(record, 0) + 1

    def spent(self, record: Record) -> bool:
        """Whether this peer has nothing more to give to this want: it lacks the name, or has failed too often."""
        if record.lacks(self.name):
            return True
        if not self.tries:
            return False
        few = isinstance(self.errors.get(record), Unreachable | Stalled | BadAnswer)
        return self.tries.get(record, 0) >= (FEW_TRIES if few else MOST_TRIES)

    def may(self, record: Record) -> bool:
        """Whether a peer that is awake may be asked for it: it is not being asked already, and not spent."""
        for ask in self.asks:
            if ask.record is record:
                return False
        return not self.spent(record)

    def hopeless(self, record: Record, now: float) -> bool:
        """Whether this peer will not serve this want, however long it is waited for."""
        health = record.wake(now)
        if health is Health.BANNED or self.spent(record):
            return True
        return health is Health.RESTING and record.rest_until > min(now + PATIENCE, self.deadline)

    def in_a_hurry(self, record: Record, now: float) -> bool:
        """Whether somebody with more time than its caller could wait for this peer's rest to end."""
        return record.wake(now) is Health.RESTING and self.deadline < record.rest_until <= now + PATIENCE

    def on_trial(self) -> bool:
        """Whether it is being asked of unknown peers only."""
        for ask in self.asks:  # noqa: SIM110  # all() takes thrice the time, for every job at every turn
            if not ask.trial:
                return False
        return True

    def late_at(self) -> float:
        """Return when the last of its requests counts as late, so that a hedge may double it."""
        return self.asks[0].late_at if len(self.asks) == 1 else max(ask.late_at for ask in self.asks)

    def crawls(self, now: float) -> bool:
        """Whether all of its requests take many times longer than predicted, even if bytes come."""
        return all(now - ask.began >= max(LEAST_DEAD, MUCH_LATER * ask.predicted) for ask in self.asks)

    def left(self, now: float) -> float:
        """Return in how many seconds the first of its requests will be done, at the pace they have."""
        return min(ask.left(now) for ask in self.asks)

    def dead_at(self) -> float:
        """Return when the last of its requests counts as dead if it stays silent: another is sent whatever it costs."""
        return max(_dead_at(ask) for ask in self.asks)


def _dead_at(ask: Ask) -> float:
    if ask.trial:
        return ask.late_at  # whoever waits shall not pay for exploring
    return ask.heard + max(LEAST_DEAD, MUCH_LATER * ask.predicted)


@attrs.frozen
class Grant:
    """The decision to ask *record*'s peer for *job*."""

    job: Job
    record: Record
    predicted: float
    """In how many seconds it should be here."""
    hedge: bool = False


def assign(jobs: Iterable[Job], records: Collection[Record], *, room: float, now: float, hedges: bool) -> list[Grant]:
    """Return what to ask for now: *jobs* in order of need, at most *room* requests, doubling late ones if *hedges*.

    Of the unknown peers, one at a time is tried, with the job that is needed last. A known peer that has nothing else
    to do is asked for that, too: whoever waits shall not pay for exploring.
    """
    free = {record: left for record in records if (left := record.room(now))}
    if not free or room < 1:
        return []
    turn = _Turn(free, room)
    turn.look(records, now)
    waiting: list[Job] = []
    tried: list[Job] = []
    late: list[Job] = []
    for job in jobs:
        if not job.asks:
            waiting.append(job)
        elif job.late_at() <= now:
            late.append(job)
        elif job.on_trial():
            tried.append(job)
    if late:
        turn.double(late, now, hedges=hedges)
    if waiting and turn.known and turn.try_out(explorable(records, now), waiting[-1]):
        tried.append(waiting.pop())
    turn.hand_out(waiting)
    if turn.known:
        turn.hand_out(tried, known=True)
    return turn.grants


@attrs.define(eq=False)
class _Turn:
    """One handing out of work."""

    free: dict[Record, int]
    """The peers whose windows have room, and how much."""
    room: float
    grants: list[Grant] = attrs.field(factory=list[Grant], init=False)
    known: bool = attrs.field(default=False, init=False)
    """Whether any peer is known to be good."""
    _likely: list[Outlook] = attrs.field(factory=list[Outlook], init=False)
    _unlikely: list[Outlook] = attrs.field(factory=list[Outlook], init=False)
    """Unknown peers that have lost when they were tried; they get what nobody else can serve."""

    def look(self, records: Collection[Record], now: float) -> None:
        """Find out what may be expected of each peer; an unknown one that is being tried already is not waited for."""
        middle = typical(records)
        for record in records:
            if record.health is Health.GOOD:
                self.known = True
                self._likely.append(outlook(record, middle, now))
            elif record in self.free:
                doubtful = record.try_at > now and record.rate is None
                (self._unlikely if doubtful else self._likely).append(outlook(record, middle, now))

    def double(self, late: list[Job], now: float, *, hedges: bool) -> None:
        """Send another request for each job whose requests are dead or crawl, and for a late one if *hedges*."""
        for job in late:
            dead = job.dead_at() <= now
            crawls = not dead and job.crawls(now)
            if not (dead or crawls or hedges):
                continue
            best = self._soonest(job, partial(self._may_now, job))
            if best is None or self.room < 1:
                continue
            given_up = dead or (crawls and best.expected(job.size) < OVERTAKEN * job.left(now))
            if given_up or hedges:
                self._grant(job, best, hedge=not given_up)
                hedges = hedges and given_up

    def try_out(self, unknown: Record | None, job: Job) -> bool:
        """Try the *unknown* peer with *job*, if that takes nobody's place; return whether it is done."""
        if unknown not in self.free or self.room < 2 or not job.may(unknown):
            return False
        self._grant(job, next(each for each in self._likely if each.record is unknown))
        return True

    def hand_out(self, waiting: Iterable[Job], *, known: bool = False) -> None:
        """Give each job to the peer that is done with it soonest; let it wait for that one if it is busy.

        With *known*, only peers that are known to be good get something.
        """
        for job in waiting:
            if not self.free or self.room < 1:
                return
            best = self._soonest(job, partial(_may_if_good, job) if known else job.may)
            if best is None:
                continue
            if best.record in self.free:
                self._grant(job, best)
            else:
                best.queue(job.size)

    def _may_now(self, job: Job, record: Record) -> bool:
        return record in self.free and job.may(record)

    def _soonest(self, job: Job, may: Callable[[Record], bool]) -> Outlook | None:
        return soonest(self._likely, job.size, may) or soonest(self._unlikely, job.size, may)

    def _grant(self, job: Job, best: Outlook, *, hedge: bool = False) -> None:
        record = best.record
        self.grants.append(Grant(job, record, best.duration(job.size), hedge))
        best.queue(job.size)
        self.room -= 1
        self.free[record] -= 1
        if not self.free[record]:
            del self.free[record]
            if record.health is Health.FRESH:
                (self._likely if best in self._likely else self._unlikely).remove(best)


def _may_if_good(job: Job, record: Record) -> bool:
    return record.health is Health.GOOD and job.may(record)


def look_again(job: Job, records: Iterable[Record], now: float) -> float | None:
    """Return when to look at *job* again if nothing happens before; None to give it up.

    A request under way is looked at when it gets late, and then ever less often; a peer with a full window calls by
    itself; one that rests is waited for.
    """
    if job.asks:
        coming = [moment for moment in (job.late_at(), job.dead_at()) if moment > now]
        if job.late_at() <= now:
            coming.append(now + max(SOON, (now - job.asks[-1].began) / 2))
        return min(coming)
    hopeful = [record for record in records if not job.hopeless(record, now)]
    if not hopeful:
        return None
    return min((record.rest_until for record in hopeful if record.health is Health.RESTING), default=float("inf"))

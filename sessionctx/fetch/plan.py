"""The plan: who is asked for what, and what to wait for. Pure; time is an argument.

Peers pull: one gets work when its window has room and it is expected to be done with it before any other peer would,
queues included. So a slow peer is given what it can finish in time and never holds up what a faster one would
bring sooner, even if that one has to be waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import filterfalse, islice
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from sessionctx.fetch.job import Job
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.pool import BEAM, Pool, Standing
from sessionctx.peers import Health, Line, Outlook, Record

OVERTAKEN: Final = 0.25
"""A request that crawls is given up if another peer would be done in this part of what it still needs."""
LAST: Final = 8
"""Jobs; when no more than these are left, peers that are done may double what others will not be done with for long."""
WORTH_DOUBLING: Final = 0.1
"""Seconds that this has to save, and at least half of what it would take otherwise."""
FEW: Final = 6
"""Jobs that are looked at one by one; of more, the first is, and those that are alike are shared out by number."""
SHORTEST: Final = 1e-6  # seconds that a job takes at least
_NUMBER: Final = attrgetter("number")
_JOB: Final = itemgetter(1)  # of a place in the order of need


class Grant(NamedTuple):
    """The decision to ask *record*'s peer for *job*."""

    job: Job
    record: Record
    predicted: float
    """In how many seconds it should be here."""
    hedge: bool = False


def assign(needs: Needs, pool: Pool, *, room: float, now: float, hedges: bool) -> list[Grant]:
    """Return what to ask for now: jobs in order of need, at most *room* requests, doubling late ones if *hedges*.

    Of the unknown peers, one at a time is tried, with the job that is needed last. A known peer that has nothing else
    to do is asked for that, too: whoever waits shall not pay for exploring.
    """
    if needs.settled(pool, now):
        return []  # but for some more of what waits already, all is as the last turn left it
    needs.update(now)
    last_ones = hedges and len(needs) <= LAST
    if room < 1 or not (needs.waiting or needs.overdue or needs.trials or last_ones):
        return []  # whatever has changed about the peers, it matters when there is something to ask for
    pool.update(now)
    if not (pool.ready or pool.unknown or pool.doubtful):
        return []
    turn = _Turn(pool, room, now)
    if needs.overdue:
        turn.double(needs.overdue, hedges=hedges)
    tried = list(needs.trials)
    last = needs.waiting[-1][1] if needs.waiting else None
    unknown = pool.explorable()
    if unknown is not None and last is not None and not last.car and pool.known and turn.try_out(unknown, last):
        tried.append(last)
    turn.hand_out(needs)
    if tried and pool.known and (first := needs.first) in tried:
        turn.one_by_one([first], known=True)
    if last_ones and pool.known and not needs.waiting:
        turn.end_game(needs)
    turn.undo()
    if turn.spare is not None and not last_ones and not needs.overdue and pool.explorable() is None:
        needs.settle(pool, turn.spare, now)
    return turn.grants


class _Turn:
    """One handing out of work, to the best peers only, as long as these will do."""

    def __init__(self, pool: Pool, room: float, now: float) -> None:
        self.grants: list[Grant] = []
        self.spare: int | None = None
        """How many more jobs like those that wait would wait as well, as far as that is known."""
        self._pool = pool
        self._room = room
        self._now = now
        self._free: dict[Standing, int] = {}  # those that were looked at and have room, and how much
        self._likely = pool.first_busy(now)
        self._looked_at = set(self._likely)
        self._rows = [iter(row) for row in (pool.ready, pool.unknown) if row]
        self._given: dict[Line, int] = {}  # requests of this turn, by endpoint, if several peers are behind it
        self._tried: dict[Job, None] = {}
        self._before: dict[Outlook, float] = {}  # what was expected of those that something was queued at
        self._more()

    def _more(self) -> bool:
        """Look at some more free peers; return whether there are any."""
        while found := [standing for row in self._rows for _, _, standing in islice(row, BEAM)]:
            if self._join(found):
                return True
        return False

    def _join(self, found: Iterable[Standing]) -> bool:
        """Let those of *found* take part that do not yet; return whether there are any."""
        seen, given, before = self._looked_at, self._given, len(self._likely)
        for standing in found:
            if not standing.room or standing in seen or (given and self._line_is_full(standing)):
                continue
            if standing.vague:
                self._pool.refresh(standing, self._now)
            seen.add(standing)
            self._likely.append(standing)
            self._free[standing] = standing.room
        return len(self._likely) > before

    def double(self, late: Iterable[Job], *, hedges: bool) -> None:
        """Send another request for each job whose requests are dead or crawl, and for a late one if *hedges*."""
        for job in sorted(late, key=_NUMBER):
            dead = job.dead_at() <= self._now
            crawls = not dead and job.crawls(self._now)
            if not (dead or crawls or hedges):
                continue
            best = self._soonest(job, free=True)
            if best is None or self._room < 1:
                continue
            expected = best.outlook.expected(job.size)
            given_up = dead or (crawls and expected < OVERTAKEN * job.left(self._now))
            if given_up or (hedges and not job.nearly_here(expected, self._now)):
                self._grant(job, best, hedge=not given_up)
                hedges = hedges and given_up

    def try_out(self, unknown: Standing, job: Job) -> bool:
        """Try the *unknown* peer with *job*, if that takes nobody's place; return whether it is done."""
        if self._room < 2 or not job.may(unknown.record):
            return False
        self._join([unknown])
        if unknown not in self._free:
            return False
        self._grant(job, unknown)
        self._tried[job] = None
        return True

    def end_game(self, needs: Needs) -> None:
        """Double one of the last jobs at a peer that has nothing to do, if it will have it long before."""
        given = {grant.job for grant in self.grants}
        for job in needs:
            if self._room < 1 or not (self._free or self._more()):
                return
            if job in given or len(job.asks) != 1 or job.car or job.covered:
                continue
            best = self._soonest(job, free=True)
            if best is None or best.record.health is not Health.GOOD:
                continue
            left, expected = job.asks[0].to_come(self._now), best.outlook.expected(job.size)
            if expected < left / 2 and left - expected > WORTH_DOUBLING:
                self._grant(job, best, hedge=True)
                return

    def hand_out(self, needs: Needs) -> None:
        """Give out what waits, in order of need."""
        waiting = needs.waiting
        if len(waiting) <= FEW:
            self.one_by_one([job for _, job in waiting if job not in self._tried])
            return
        first, odd = waiting[0][1], needs.odd
        others = [job for job in sorted(odd, key=_NUMBER) if job is not first] if odd else []
        self.one_by_one([first, *others])
        self._share_out(needs, first)

    def one_by_one(self, jobs: Iterable[Job], *, known: bool = False) -> None:
        """Give each job to the peer that is done with it soonest; let it wait for that one if it is busy.

        With *known*, only peers that are known to be good get something.
        """
        for job in jobs:
            if self._room < 1 or not (self._free or self._more() or self._pool.doubtful):
                return
            best = self._soonest(job, known=known)
            if best is None:
                continue
            if best in self._free:
                self._grant(job, best)
            else:
                self._queue(best.outlook, job.size)

    def _share_out(self, needs: Needs, first: Job) -> None:
        """Do the same for many jobs that are all alike, without looking at each.

        Of those that wait, a free peer gets the first that would not be done by the busy ones before.
        """
        size = self._pool.size
        apart = needs.odd | {first: None} | self._tried
        count = len(needs.waiting) - len(apart)
        while count and self._room >= 1 and (self._free or self._more()):
            best, seconds = self._first_free(size)
            ahead = self._done_before(seconds, size)
            if ahead >= count:
                self.spare = ahead - count
                return
            alike = filterfalse(apart.__contains__, map(_JOB, needs.waiting))
            job = next((job for job in islice(alike, ahead, None) if job.may(best.record)), None)
            if job is None:  # it lacks all of them: that leaves them to the others
                del self._free[best]
                self._likely.remove(best)
                continue
            apart[job] = None
            count -= 1
            self._grant(job, best)

    def _first_free(self, size: float) -> tuple[Standing, float]:
        """Return the free peer that would be done soonest, and in how many seconds."""
        best: Standing | None = None
        least = float("inf")
        for standing in self._free:
            outlook = standing.outlook
            seconds = (outlook.start + size * outlook.per_byte) * outlook.tries
            if best is None or seconds < least:
                best, least = standing, seconds
        assert best is not None
        return best, least

    def _done_before(self, seconds: float, size: float) -> int:
        """Return how many jobs the busy peers will have done before."""
        count = 0
        for standing in self._likely:
            if standing not in self._free:
                outlook = standing.outlook
                each = size * outlook.per_byte * outlook.tries
                ahead = seconds - outlook.start * outlook.tries - each
                if ahead > 0:
                    count += 1 + int(ahead / max(each, SHORTEST))
        return count

    def _soonest(self, job: Job, *, free: bool = False, known: bool = False) -> Standing | None:
        """Return the peer that would be done with *job* first, of those that may be asked for it."""
        if job.near:
            self._join(self._pool.standings(job.near))
        best: Standing | None = None
        least, size, near = float("inf"), job.size, job.near
        for standing in self._likely:
            record, outlook = standing.record, standing.outlook
            if (free and standing not in self._free) or (known and record.health is not Health.GOOD):
                continue
            seconds = (outlook.start + size * outlook.per_byte) * outlook.tries
            if near and record in near:
                seconds *= record.hits  # it had what this hangs on
            if seconds > least or (seconds == least and best is not None and standing.serial > best.serial):
                continue
            if job.may(record):
                best, least = standing, seconds
        return best or (None if known else self._anybody(job))

    def _anybody(self, job: Job) -> Standing | None:
        """Return another free peer that may be asked for what none of the best ones can serve."""
        seen = len(self._likely)
        while self._more():
            for standing in self._likely[seen:]:
                if job.may(standing.record):
                    return standing
            seen = len(self._likely)
        for _, _, standing in self._pool.doubtful:
            if job.may(standing.record) and self._join([standing]):
                return standing
        return None

    def _queue(self, outlook: Outlook, size: float) -> None:
        self._before.setdefault(outlook, outlook.start)
        outlook.queue(size)

    def _grant(self, job: Job, best: Standing, *, hedge: bool = False) -> None:
        self.grants.append(Grant(job, best.record, best.outlook.duration(job.size), hedge))
        self._queue(best.outlook, job.size)
        self._room -= 1
        self._free[best] -= 1
        if not self._free[best]:
            self._close(best)
        if len(best.record.neighbours) > 1:  # then none gets more than its endpoint has room for
            line = best.record.line
            self._given[line] = self._given.get(line, 0) + 1
            for each in [each for each in self._free if each.record.line is line and self._line_is_full(each)]:
                self._close(each)

    def _close(self, standing: Standing) -> None:
        """It gets no more in this turn."""
        del self._free[standing]
        if standing.record.health is Health.FRESH:
            self._likely.remove(standing)  # it is not waited for

    def _line_is_full(self, standing: Standing) -> bool:
        """Whether its endpoint has got in this turn what it may have, by whichever of the peers behind it."""
        return self._given.get(standing.record.line, -1) >= self._pool.line_room(standing.record)

    def undo(self) -> None:
        """Take back what was queued: what comes of the grants is seen when they are carried out."""
        for outlook, start in self._before.items():
            outlook.start = start

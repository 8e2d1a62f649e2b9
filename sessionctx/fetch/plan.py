"""The plan: who is asked for what, whether to wait, and when to give up. Pure; time is an argument.

Peers pull: one gets work when its window has room and it is expected to be done with it before any other peer would,
queues included. So a slow peer is given what it can finish in time and never holds up what a faster one would
bring sooner, even if that one has to be waited for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import attrs

from sessionctx.errors import BadAnswer, PeerError, Stalled, Unreachable
from sessionctx.fetch.hedge import late_after
from sessionctx.peers import Ask, Health, Record, explorable, soonest, typical

PATIENCE: Final = 60.0
"""Seconds; a peer that rests for longer is not waited for."""
MOST_TRIES: Final = 5
"""How often one peer may fail for one want. Those that are unlikely to recover within seconds get less."""
FEW_TRIES: Final = 2
LEAST_DEAD: Final = 2.0
"""Seconds; a request that is silent for less is not given up."""


@attrs.define(eq=False)
class Job:
    """One name that is being fetched, and how it stands."""

    name: Hashable
    size: int
    """Bytes expected."""
    deadline: float = float("inf")
    asks: list[Ask] = attrs.field(factory=list[Ask])
    """Requests on their way."""
    errors: dict[Record, PeerError] = attrs.field(factory=dict[Record, PeerError])
    """What each peer's last try came to."""
    tries: dict[Record, int] = attrs.field(factory=dict[Record, int])

    def note(self, record: Record, error: PeerError) -> None:
        """Remember that a try with this peer came to *error*."""
        self.errors[record] = error
        self.tries[record] = self.tries.get(record, 0) + 1

    def hopeless(self, record: Record, now: float) -> bool:
        """Whether this peer will not serve this want, however long it is waited for."""
        if record.health is Health.BANNED or record.lacks(self.name):
            return True
        few = isinstance(self.errors.get(record), Unreachable | Stalled | BadAnswer)
        if self.tries.get(record, 0) >= (FEW_TRIES if few else MOST_TRIES):
            return True
        return record.health is Health.RESTING and record.rest_until > min(now + PATIENCE, self.deadline)

    def able(self, records: Iterable[Record], now: float) -> list[Record]:
        """Return the peers that may be asked for it, at once or when their windows have room."""
        busy = {ask.record for ask in self.asks}
        return [
            record
            for record in records
            if record not in busy and record.wake(now) is not Health.RESTING and not self.hopeless(record, now)
        ]

    def late_at(self) -> float:
        """Return when the last of its requests counts as late, so that a hedge may double it."""
        return max(ask.began + late_after(ask.predicted, ask.record.lateness) for ask in self.asks)

    def dead_at(self) -> float:
        """Return when the last of its requests counts as dead if it stays silent: another is sent whatever it costs."""
        return max(ask.heard + max(LEAST_DEAD, 10 * ask.predicted) for ask in self.asks)


@attrs.frozen
class Grant:
    """The decision to ask *record*'s peer for *job*."""

    job: Job
    record: Record
    predicted: float
    hedge: bool = False


def assign(jobs: Sequence[Job], records: Sequence[Record], *, room: float, now: float, hedges: bool) -> list[Grant]:
    """Return what to ask for now: *jobs* in order of need, at most *room* requests, doubling late ones if *hedges*.

    One unknown peer at a time is tried, with the job that is needed last.
    """
    free = {record: left for record in records if (left := record.room(now)) > 0}
    if not free or room < 1:
        return []
    middle = typical(records)
    queued: dict[Record, float] = {}
    grants: list[Grant] = []

    def grant(job: Job, record: Record, predicted: float, *, hedge: bool = False) -> None:
        grants.append(Grant(job, record, predicted, hedge))
        queued[record] = queued.get(record, 0.0) + job.size
        free[record] -= 1
        if not free[record]:
            del free[record]

    dead = [job for job in jobs if job.asks and job.dead_at() <= now]
    late = [job for job in jobs if job.asks and job not in dead and job.late_at() <= now] if hedges else []
    for job in dead + late[:1]:
        best = soonest([record for record in job.able(records, now) if record in free], job.size, middle)
        if best is not None:
            grant(job, *best, hedge=job in late)
    waiting = [job for job in jobs if not job.asks]
    if waiting and any(record.health is Health.GOOD for record in records):
        unknown = explorable(records, now)
        if unknown in free and unknown in waiting[-1].able([unknown], now):
            best = soonest([unknown], waiting[-1].size, middle)
            assert best is not None
            grant(waiting.pop(), *best)
    for job in waiting:
        if not free or len(grants) >= room:
            break
        best = soonest(job.able(records, now), job.size, middle, queued=queued)
        if best is None:
            continue
        if best[0] in free:
            grant(job, *best)
        else:  # worth waiting for: it will be done first all the same
            queued[best[0]] = queued.get(best[0], 0.0) + job.size
    return grants[: int(min(room, len(grants)))]


def look_again(job: Job, records: Iterable[Record], now: float) -> float | None:
    """Return when to look at *job* again if nothing happens before; None to give it up.

    A request under way is looked at when it gets late; a peer with a full window calls by itself; one that rests is
    waited for.
    """
    if job.asks:
        coming = [moment for moment in (job.late_at(), job.dead_at()) if moment > now]
        return min(coming) if coming else now + max(job.asks[-1].predicted, 0.25)
    hopeful = [record for record in records if not job.hopeless(record, now)]
    if not hopeful:
        return None
    if any(record.wake(now) is not Health.RESTING for record in hopeful):
        return float("inf")
    return min(record.rest_until for record in hopeful)

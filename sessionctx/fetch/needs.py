"""What is needed: the jobs of a session in order of need, sorted by what is to be done about them. Pure.

Whatever changes about a job goes through here, which wakes the task that waits for it. A turn of the plan looks at the
jobs that wait and those that are late, and at none of the many that are well under way.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

import attrs

from sessionctx.fetch.job import Job
from sessionctx.fetch.pool import Pool

SAME: Final = 0.005
"""Seconds in which time alone changes no decision."""


@attrs.define(eq=False)
class Needs:
    """The jobs of one session in order of need, sorted by what is to be done about them."""

    waiting: list[tuple[int, Job]] = attrs.field(factory=list[tuple[int, "Job"]], init=False)
    """Those that nobody is asked for, by number."""
    odd: dict[Job, None] = attrs.field(factory=dict["Job", None], init=False)
    """Those of the waiting ones that are not like all others: it matters who is asked for them, or for how much."""
    trials: dict[Job, None] = attrs.field(factory=dict["Job", None], init=False)
    """Those that only unknown peers are asked for."""
    overdue: dict[Job, None] = attrs.field(factory=dict["Job", None], init=False)
    """Those that are late, as far as the clock was read."""
    spare: int | None = attrs.field(default=None, init=False)
    """How many more jobs like those that wait would only wait, too, as the last turn found; None: let one see."""
    _looked_at: float = attrs.field(default=0.0, init=False)
    """When that was."""
    _jobs: dict[Job, None] = attrs.field(factory=dict["Job", None], init=False)
    _moments: list[tuple[float, int, Job]] = attrs.field(factory=list[tuple[float, int, "Job"]], init=False)
    _count: int = attrs.field(default=0, init=False)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    @property
    def first(self) -> Job | None:
        """The one that is needed first."""
        return next(iter(self._jobs), None)

    def add(self, job: Job) -> None:
        """Take in a job: it is needed after all that are here."""
        self._count += 1
        job.number = self._count
        self._jobs[job] = None
        alike = not (job.asks or job.covered or self._is_odd(job))
        self.spare = self.spare - 1 if self.spare and alike else None
        self._sort(job)

    def drop(self, job: Job) -> None:
        """Forget a job, if it is here: it is done, or given up."""
        if job in self._jobs:
            del self._jobs[job]
            self._unsort(job)
            self.spare = None
            job.wake()

    def give_up(self, job: Job, error: Exception) -> None:
        """Forget a job because of *error*."""
        job.error = error
        self.drop(job)

    def changed(self, job: Job) -> None:
        """Sort a job anew: who is asked for it has changed."""
        self.spare = None
        if job in self._jobs:
            job.wake()
            self._unsort(job)
            self._sort(job)

    def wake(self, name: bytes | None = None) -> None:
        """Something has changed about the peers: let all jobs look again, or those for the block of that *name*."""
        for job in self._jobs:
            if name is None or job.name == name:
                job.wake()

    def settle(self, pool: Pool, spare: int | None, now: float) -> None:
        """Note that a turn of the plan has left nothing to do, and that *spare* more jobs would only wait, too."""
        self.spare, self._looked_at, pool.changed = spare, now, False

    def settled(self, pool: Pool, now: float) -> bool:
        """Whether all is as such a turn has left it, but for some more of what waits already."""
        if self.spare is None or now >= self._looked_at + SAME:
            return False
        late = self._moments and self._moments[0][0] <= now
        return not (late or pool.due(now))

    def update(self, now: float) -> None:
        """Find out what is late by now."""
        while self._moments and self._moments[0][0] <= now:
            job = heapq.heappop(self._moments)[2]
            if job in self._jobs and job.asks:
                if job.late_at() <= now:
                    self.overdue[job] = None
                    self.trials.pop(job, None)
                else:
                    heapq.heappush(self._moments, (job.late_at(), job.number, job))

    @staticmethod
    def _is_odd(job: Job) -> bool:
        return bool(job.near or job.errors or job.car)

    def _sort(self, job: Job) -> None:
        if not job.asks:
            if not job.covered:
                insort(self.waiting, (job.number, job))
                if self._is_odd(job):
                    self.odd[job] = None
        elif not job.car:  # which is not asked for twice: what it is late with is, block by block
            if job.on_trial():
                self.trials[job] = None
            heapq.heappush(self._moments, (job.late_at(), job.number, job))

    def _unsort(self, job: Job) -> None:
        at = bisect_left(self.waiting, (job.number,))
        if at < len(self.waiting) and self.waiting[at][1] is job:
            del self.waiting[at]
        for few in (self.odd, self.trials, self.overdue):
            if few:
                few.pop(job, None)

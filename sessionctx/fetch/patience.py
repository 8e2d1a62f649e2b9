"""Patience: when to look at a job again to which nothing happens, and when to give it up. Pure; time is an argument."""

from __future__ import annotations

from typing import Final

from sessionctx.fetch.job import Job
from sessionctx.fetch.pool import Pool

SOON: Final = 0.05
"""Seconds between two looks at a request that is late, at least."""


def look_again(job: Job, pool: Pool, now: float) -> float | None:
    """Return when to look at *job* again if nothing happens before; None to give it up.

    A request under way is looked at when it gets late, and then ever less often; a peer with a full window calls by
    itself; one that rests is waited for.
    """
    if job.asks:
        coming = [moment for moment in (job.late_at(), job.dead_at()) if moment > now]
        if job.late_at() <= now:
            coming.append(now + max(SOON, (now - job.asks[-1].began) / 2))
        return min(coming)
    if job.covered:
        return float("inf")
    pool.update(now)
    resting = [record.rest_until for record in pool.resting() if not job.hopeless(record, now)]
    if resting or any(not job.hopeless(record, now) for record in pool.awake()):
        return min(resting, default=float("inf"))
    return None

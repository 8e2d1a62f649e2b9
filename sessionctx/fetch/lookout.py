"""The lookout: whether a CAR that is on its way gets on, and what to do if others would be faster. Pure.

Time is an argument. Whoever receives the CAR looks now and then, and does what is decided here.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, islice
from typing import Final

from sessionctx.content import CID
from sessionctx.fetch.job import CarJob
from sessionctx.fetch.pool import Pool
from sessionctx.fetch.stripe import MANY, Sweep
from sessionctx.peers import Ask

STALL: Final = 0.5
"""Seconds without a byte, after which others are asked for what a CAR was to bring next."""
MUCH_SOONER: Final = 0.25
"""Part of the time that a CAR still needs, in which another peer would bring all of it: then that one is asked."""
MOST_HELP: Final = 16
"""Blocks that others bring at a time, from the far end of a CAR."""


def stalls(ask: Ask, now: float) -> bool:
    """Whether it has been silent for too long; not while it takes turns with other answers of its peer."""
    line, longest, silent = ask.record.line, max(STALL, 4 * (ask.record.latency or 0.0)), now - ask.last_heard
    return silent >= longest and (line.silent(now) >= longest or silent >= longest * line.receiving)


def outrun(job: CarJob, ask: Ask, pool: Pool, now: float) -> bool:
    """Whether another peer would bring all of it in a fraction of the time that this one still needs."""
    if not ask.received or now - ask.began < STALL:
        return False
    sweep = job.sweep
    size, soon = sweep.left() + sweep.came, MUCH_SOONER * _still(sweep, ask, now)
    return any(each.outlook.expected(size) < soon for _, _, each in pool.ready if job.may(each.record))


def far_end(job: CarJob, ask: Ask, pool: Pool, helping: Collection[bytes], now: float) -> list[CID]:
    """Return what idle peers should be asked for of what comes last, as they will have it long before.

    Those blocks that they are *helping* with already, by multihash, count; the nearer half is left to the CAR.
    """
    sweep = job.sweep
    if not sweep.exact or not ask.received:
        return []
    left, each = _still(sweep, ask, now), sweep.mean()
    idle = (
        standing.room
        for _, _, standing in chain(pool.ready, pool.unknown)
        if standing.record is not ask.record
        and not standing.record.lacks(job.name)
        and standing.outlook.expected(each) * 2 <= left
    )
    most = min(sum(idle), MOST_HELP - len(helping), (len(sweep) - MANY) // 2 + 1 - len(helping))
    return list(islice((cid for cid in sweep.from_the_end() if cid.multihash not in helping), max(most, 0)))


def _still(sweep: Sweep, ask: Ask, now: float) -> float:
    """For how many seconds it will go on, at the pace it had."""
    return sweep.left() * (now - ask.began) / ask.received

"""A job: one name that is being fetched, how it stands, whether there is hope, and when to look at it again. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import attrs

from sessionctx.content import CID, Block
from sessionctx.errors import BadAnswer, PeerError, Stalled, Unreachable
from sessionctx.fetch.early import EARLY
from sessionctx.fetch.pool import Pool
from sessionctx.fetch.stripe import Sweep
from sessionctx.peers import Ask, Health, Record

BATCH: Final = 512 * 1024
"""Bytes of blocks that go to the store together."""
CAR_HOLDS: Final = BATCH + EARLY
"""Bytes of a CAR that are held at a time: until they are stored, or until it is known what they are for."""
PATIENCE: Final = 60.0
"""Seconds; a peer that rests for longer is not waited for."""
MOST_TRIES: Final = 5
"""How often one peer may fail for one want. Those that are unlikely to recover within seconds get less."""
FEW_TRIES: Final = 2
LEAST_DEAD: Final = 2.0
"""Seconds; a request that is silent for less is not given up."""
MUCH_LATER: Final = 10.0
"""Times its predicted duration, after which a silent request is given up."""
LEAST_STALLED: Final = 0.5
LATER: Final = 3.0
"""The same for one that has brought something, and stops."""


SOON: Final = 0.05
"""Seconds between two looks at a request that is late, at least."""


def _nobody() -> None:
    """Nobody waits for it."""


@attrs.define(eq=False)
class Job:
    """One name that is being fetched, and how it stands."""

    car: ClassVar[bool] = False
    """Whether it is all that hangs below the name that is wanted, as a CAR, and not the one block."""

    cid: CID
    size: int
    """Bytes expected."""
    deadline: float = float("inf")
    near: tuple[Record, ...] = ()
    """Who had what links to it."""
    covered: bool = False
    """Whether a CAR that was decided on will bring it: it is not asked for by itself, unless that is late."""
    barred: Record | None = None
    """Who is not to be asked: it sends this already, behind other things."""
    number: int = 0
    """Its place in the order of need."""
    asks: list[Ask] = attrs.field(factory=list[Ask])
    """Requests on their way, the oldest first."""
    errors: dict[Record, PeerError] = attrs.field(factory=dict[Record, PeerError])
    """What each peer's last try came to."""
    tries: dict[Record, int] = attrs.field(factory=dict[Record, int])
    granted: list[Ask] = attrs.field(factory=list[Ask])
    """Those of its requests that are decided and counted, and not sent yet."""
    block: Block | None = None
    """What it came to, ..."""
    error: Exception | None = None
    """... or why it was given up."""
    wake: Callable[[], None] = _nobody
    """Lets the task that waits for it look at it again."""
    name: bytes = attrs.field(init=False)
    """The multihash of its CID."""

    def __attrs_post_init__(self) -> None:
        self.name = self.cid.multihash

    @property
    def held(self) -> int:
        """Bytes that a request for it holds at a time."""
        return self.size

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
        if record is self.barred:
            return False
        for ask in self.asks:
            if ask.record is record:
                return False
        return not self.spent(record)

    def hopeless(self, record: Record, now: float) -> bool:
        """Whether this peer will not serve this want, however long it is waited for."""
        health = record.wake(now)
        if health is Health.BANNED or record is self.barred or self.spent(record):
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

    def nearly_here(self, expected: float, now: float) -> bool:
        """Whether one of its requests brings bytes, and will be done before another could be, in *expected* seconds."""
        return any(ask.received and ask.left(now) < expected for ask in self.asks)

    def dead_at(self) -> float:
        """Return when the last of its requests counts as dead if it stays silent: another is sent whatever it costs."""
        return max(_dead_at(ask) for ask in self.asks)


@attrs.define(eq=False)
class CarJob(Job):
    """All that hangs below one name, which is being fetched as a CAR, and the jobs that wait for parts of it."""

    car: ClassVar[bool] = True
    sweep: Sweep = attrs.field(kw_only=True)
    """What of it is missing."""
    open: bool = True
    """Whether it is to be relied upon."""
    riders: dict[Job, Ask | None] = attrs.field(factory=dict[Job, "Ask | None"])
    """Those that wait for it; and what is counted among the requests of each, standing for the CAR."""

    @property
    def held(self) -> int:
        """Bytes that a request for it holds at a time: it is kept block by block."""
        return min(self.size, CAR_HOLDS)

    def spent(self, record: Record) -> bool:
        """Whether this peer has nothing more to give to it; or it sends no CARs."""
        return record.cars is False or Job.spent(self, record)


def _dead_at(ask: Ask) -> float:
    if ask.trial:
        return ask.late_at  # whoever waits shall not pay for exploring
    if ask.received:  # whoever stops in the middle has not to look for it first
        return ask.last_heard + max(LEAST_STALLED, LATER * ask.predicted)
    return ask.last_heard + max(LEAST_DEAD, MUCH_LATER * ask.predicted)


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

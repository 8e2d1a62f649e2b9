"""What one peer did: its counts, its health, and estimates of how fast it is. Pure arithmetic; time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

import attrs

from sessionctx.peers.health import Health, after, rest
from sessionctx.peers.line import Line
from sessionctx.peers.peer import Peer

T = TypeVar("T")

MOST_ABSENT: Final = 65_536
"""How many names a peer is remembered not to have; the oldest are forgotten first."""
GAIN: Final = 0.25
"""How much one observation moves an estimate."""
FORGET: Final = 0.01
"""The same for the least ever seen, so that a route that has become longer is noticed in the end."""
STEP: Final = 1.1
"""By which factor one observation moves the median."""
LEAST_LATENCY: Final = 1e-4
"""Seconds; less cannot be told apart."""
SOONER: Final = 0.99
LATER: Final = SOONER**-19
"""What an answer does to that: where one of twenty comes later, these balance. So it follows the slowest twentieth."""
COUNTS: Final = ("asked", "found", "missing", "failed", "lied", "cancelled", "in_flight", "bytes")
USUALLY: Final = 1.5
"""How many times its predicted duration an answer may take before anything is known."""


FOLD: Final = 0.5
"""The weight of what a fork has learnt against what its parent knows."""
_FOLD: Final = "fold"


def _blend(old: float | None, new: float | None) -> float | None:
    """Return what a parent knows once it is told what a fork has learnt."""
    if old is None or new is None:
        return new if old is None else old
    return old + FOLD * (new - old)


def _latest(old: bool | None, new: bool | None) -> bool | None:  # noqa: FBT001
    """Return what a fork has found out; what was known before, if that is nothing."""
    return old if new is None else new


def _known(default: T, fold: Callable[[Any, Any], object] | None = None) -> T:
    """A field that a fork begins with; *fold* says what becomes of the parent's, if the fork's is of use to it."""
    return attrs.field(default=default, metadata={_FOLD: fold})


@attrs.frozen(kw_only=True)
class PeerStatistics:
    """A snapshot of one peer's record. ``asked == found + missing + failed + lied + cancelled + in_flight``."""

    url: str
    """Its address without credentials."""
    state: str
    """``fresh``, ``good``, ``resting`` or ``banned``."""
    asked: int
    found: int
    missing: int
    failed: int
    lied: int
    cancelled: int
    in_flight: int
    bytes: int
    """Bytes that it sent, useful or not."""
    latency: float | None
    """Seconds until its first byte; None before one came."""
    throughput: float | None
    """Bytes per second while it sends; None before it sent any."""
    reason: str | None
    """Why it rests or is banned, or what went wrong last."""


@attrs.define(eq=False)
class Record:
    """One peer in one ledger.

    Counts are kept in the record and in those *above* it (the same peer in the parents' ledgers); health and estimates
    are its own.
    """

    peer: Peer
    above: Record | None = None
    line: Line = attrs.field(factory=Line)
    """That to its endpoint, shared with other peers behind it and with the records above."""
    neighbours: list[Record] = attrs.field(factory=list["Record"], repr=False)
    """All records of this ledger behind the same endpoint, this one included: what ails one of them, ails all."""

    asked: int = 0
    found: int = 0
    missing: int = 0
    failed: int = 0
    lied: int = 0
    cancelled: int = 0
    in_flight: int = 0
    bytes: int = 0

    health: Health = _known(Health.FRESH)  # noqa: RUF009
    failures: int = _known(0)
    """In a row."""
    rest_until: float = _known(0.0)
    trials: int = _known(0)
    """How often it was tried as an unknown peer, and somebody else was faster."""
    try_at: float = _known(0.0)
    """When it is worth another trial."""
    reason: str | None = _known(None)
    latency: float | None = _known(None, _blend)
    """Seconds to the first byte: follows a rise at once and a fall slowly (peak EWMA)."""
    median: float | None = _known(None, _blend)
    """Seconds to the first byte that half of its answers take: an outlier does not move it much."""
    nearest: float | None = _known(None, _blend)
    """The least seconds to the first byte that it was seen to take: how far it is, without what queues up there."""
    rate: float | None = _known(None, _blend)
    """Bytes per second of all its answers together, while they come: the mean of the seconds that a byte takes, so that
    it follows a fall sooner than a rise."""
    success: float = _known(1.0, _blend)
    """Share of its requests that brought an answer in time, the last ones weighing most."""
    hits: float = _known(1.0, _blend)
    """Share of its answers that were no plain no, the last ones weighing most: its chance to have what it is asked."""
    window: float = _known(2.0)
    """How many requests at a time it has earned."""
    usual: float = _known(USUALLY)
    """How many times the predicted seconds its slow answers take: nineteen of twenty take less."""
    cars: bool | None = _known(None, _latest)
    """Whether it serves CARs; None while nobody has asked for one."""
    absent: OrderedDict[Hashable, None] = attrs.field(factory=OrderedDict[Hashable, None])
    lineage: tuple[Record, ...] = attrs.field(init=False)
    """This record and those above it."""

    def __attrs_post_init__(self) -> None:
        self.lineage = (self,) if self.above is None else (self, *self.above.lineage)
        self.neighbours.append(self)

    # --- reading

    def lacks(self, name: Hashable) -> bool:
        """Whether the peer has said that it does not have *name*."""
        for each in self.lineage:  # noqa: SIM110  # any() takes thrice the time, for every block and peer
            if name in each.absent:
                return True
        return False

    def wake(self, now: float) -> Health:
        """Return its health at *now*: a rest that is over has become a fresh start, a ban above holds here, too."""
        if self.health is Health.RESTING and now >= self.rest_until:
            self.health = after(self.health, "rested")
        if self.above is not None and self.above.wake(now) is Health.BANNED and self.health is not Health.BANNED:
            self.ban(self.above.reason or "")
        return self.health

    def room(self, now: float) -> int:
        """How many more requests it may get now."""
        health = self.wake(now)
        if health is Health.RESTING or health is Health.BANNED:
            return 0
        if health is Health.FRESH:  # to a fork as to its parent: each may find out for itself
            return int(not self.in_flight and self.line.in_flight < self.peer.most)
        return max(min(int(self.window), self.peer.most) - self.line.in_flight, 0)

    def statistics(self) -> PeerStatistics:
        """Return a frozen copy."""
        return PeerStatistics(
            url=self.peer.public,
            state=self.health.value,
            latency=self.latency,
            throughput=self.rate,
            reason=self.reason,
            **{name: getattr(self, name) for name in COUNTS},
        )

    # --- what happened

    def heard(self, *, latency: float | None = None, rate: float | None = None) -> None:
        """Learn how soon an answer began to come, or how fast answers come."""
        if latency is not None:
            if self.latency is None or latency > self.latency:
                self.latency = latency
            else:
                self.latency += GAIN * (latency - self.latency)
            if self.nearest is None or latency < self.nearest:
                self.nearest = latency
            else:
                self.nearest += FORGET * (latency - self.nearest)
            if self.median is None:
                self.median = latency
            else:
                self.median = max(self.median * STEP if latency > self.median else self.median / STEP, LEAST_LATENCY)
        if rate is not None:
            self.rate = rate if self.rate is None else 1.0 / ((1.0 - GAIN) / self.rate + GAIN / rate)

    def took(self, seconds: float, predicted: float) -> None:
        """Learn from one answer how much later than predicted it may be."""
        if seconds > self.usual * predicted:
            self.usual *= LATER
        elif self.usual > USUALLY:
            self.usual = max(self.usual * SOONER, USUALLY)

    def served(self, *, in_time: bool) -> None:
        """It answered; or it failed, or was so late that somebody else did instead."""
        self.success += GAIN * (in_time - self.success)

    def had(self, *, it: bool) -> None:
        """It had what it was asked for, or said that it has not."""
        self.hits += GAIN * (it - self.hits)

    def answered(self, now: float) -> None:
        """It answered, with the content or with a plain no: it is there, and the window on it may open.

        If it rests, that was an answer to an older request, and the rest goes on.
        """
        was = self.wake(now)
        if was is not Health.GOOD:  # the usual case, spared a look into the table
            self.health = after(self.health, "answered")
        self.served(in_time=True)
        if was is not Health.RESTING:
            self.failures = self.trials = 0
            if self.window < self.peer.most:
                self.window = min(self.window + 1.0, float(self.peer.most))

    def fell(self, reason: str, now: float, *, asked_for: float | None = None) -> float:
        """It failed: it rests, and its window closes by half. Returns for how many seconds, 0 if it does so already.

        So do its neighbours: it is the endpoint that failed. While it rests, this is one more request broken by the
        same outage: only what it *asked_for* lengthens the rest.
        """
        for other in self.neighbours:
            if other is not self:
                other.rests(reason, now, asked_for)
        return self.rests(reason, now, asked_for)

    def rests(self, reason: str, now: float, asked_for: float | None) -> float:
        """Rest, because this peer or a neighbour failed; returns as `fell` does."""
        was = self.wake(now)
        self.health = after(self.health, "failed")
        self.served(in_time=False)
        if was is Health.BANNED:
            return 0.0
        self.reason = reason
        if was is not Health.RESTING:
            self.failures += 1
            self.window = max(self.window / 2.0, 1.0)
        elif asked_for is None:
            return 0.0
        seconds = rest(self.failures, asked_for)
        self.rest_until = max(self.rest_until, now + seconds)
        return seconds

    def lost(self, now: float) -> None:
        """It was tried as an unknown peer, and somebody else was faster: no failure, but not worth the next trial."""
        self.trials += 1
        self.try_at = now + rest(self.trials)

    def ban(self, reason: str) -> None:
        """Its bytes did not match their name: no way back in this session."""
        self.health = after(self.health, "lied")
        self.reason = reason

    def forget_me_not(self, name: Hashable) -> None:
        """Remember that it does not have *name*."""
        self.absent[name] = None
        if len(self.absent) > MOST_ABSENT:
            self.absent.popitem(last=False)


INHERITED: Final = tuple((each.name, each.metadata[_FOLD]) for each in attrs.fields(Record) if _FOLD in each.metadata)
"""What the record of a fork begins with, and how that is folded. The rest is counted from nothing, or read above."""

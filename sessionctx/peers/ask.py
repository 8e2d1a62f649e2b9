"""Asks: one request on its way to one peer, and what the peer's record learns from it. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from sessionctx.peers.health import Health
from sessionctx.peers.record import Record

LEAST_SILENCE: Final = 2.0
"""Seconds; a shorter silence is no fault: a gateway may have to find first what it is asked for."""
MUCH_LONGER: Final = 3.0
"""A request that is silent for so many times its predicted duration is not merely slower than another."""
SHORTEST: Final = 1e-4
"""Seconds; an answer that comes in less tells no rate."""


class Ask:
    """One request on its way to one peer, counted from its making. Exactly one of its five endings is called.

    (A plain class: one is made for every request, and attrs would take as long again.)
    """

    __slots__ = (
        "_begun",
        "began",
        "hedge",
        "last_heard",
        "late_at",
        "name",
        "predicted",
        "received",
        "record",
        "size",
        "trial",
    )

    def __init__(
        self,
        record: Record,
        name: Hashable,
        size: int,
        now: float,
        *,
        predicted: float,
        late_at: float = float("inf"),
        hedge: bool = False,
    ) -> None:
        self.record = record
        self.name = name
        self.size = size
        """How many bytes are expected."""
        self.began = now
        self.predicted = predicted
        """Seconds that it was expected to take."""
        self.late_at = late_at
        """When it will be later than is usual."""
        self.hedge = hedge
        """Whether it doubles one that is late."""
        self.received = 0
        self.last_heard = now
        """When the last bytes came, or else when it was sent."""
        self.trial = record.health is Health.FRESH
        """Whether it was sent to see what an unknown peer can do."""
        self._begun = False  # to come
        record.line.asked(size, now)
        for each in record.lineage:
            each.asked += 1
            each.in_flight += 1
        record.line.changed()

    def sent(self, now: float) -> None:
        """It has waited for our own connections, and goes out only now."""
        if not self._begun:
            self.late_at += now - self.began
            self.began = self.last_heard = now

    def arrived(self, count: int, now: float) -> None:
        """Note *count* fresh bytes."""
        record = self.record
        self.received += count
        self.last_heard = now
        for each in record.lineage:
            each.bytes += count
        first = not self._begun
        spoke = record.line.spoke
        queued = first and self.began < spoke and self.began + (record.nearest or 0.0) <= spoke
        rate = record.line.flow(count, now, first=first, queued=queued)
        if rate is not None:
            record.heard(rate=rate)
            record.line.changed()
        if not self._begun:
            self._begun = True
            record.heard(latency=now - self.began)

    def found(self, now: float, *, timed: bool = True) -> None:
        """It brought the right bytes; *timed* if it was known how many these would be, and so how long it may take."""
        self._end()
        record = self.record
        for each in record.lineage:
            each.found += 1
        record.line.spoke = now
        if not self._begun:
            record.heard(latency=now - self.began)
        if timed:
            record.took(now - self.began, max(SHORTEST, self.predicted))
        record.had(it=True)
        record.answered(now)

    def missing(self, now: float) -> None:
        """The peer says it does not have it, or will not give it."""
        self._end()
        record = self.record
        for each in record.lineage:
            each.missing += 1
        record.line.spoke = now
        record.forget_me_not(self.name)
        if not self._begun:
            record.heard(latency=now - self.began)
        record.had(it=False)
        record.answered(now)

    def failed(self, reason: str, now: float, *, asked_for: float | None = None, rest: bool = True) -> float:
        """The peer failed; returns for how many seconds it will be left alone.

        It does not *rest* if it has sent good things before it failed: it may lack the others.
        """
        self._end()
        record = self.record
        for each in record.lineage:
            each.failed += 1
        if rest:
            return record.fell(reason, now, asked_for=asked_for)
        record.reason = reason
        record.answered(now)
        record.served(in_time=False)
        return 0.0

    def lied(self, reason: str) -> None:
        """The bytes did not match."""
        self._end()
        for each in self.record.lineage:
            each.lied += 1
        self.record.ban(reason)

    def to_come(self, now: float) -> float:
        """Return for how many seconds it is expected to go on: as predicted, or at the pace that it has."""
        left = self.began + self.predicted - now
        return max(left, self.left(now)) if self.received else left

    def left(self, now: float) -> float:
        """Return for how many seconds it will go on at the pace it had; as long again, if nothing has come yet."""
        passed = now - self.began
        return passed * max(self.size - self.received, 0) / self.received if self.received else passed

    def dropped(self, now: float) -> float:
        """It was not needed any more: no blame for that, but a peer that had fallen silent rests.

        Returns for how many seconds it will be left alone.
        """
        self._end()
        record = self.record
        for each in record.lineage:
            each.cancelled += 1
        if self.trial and record.health is Health.FRESH:
            record.lost(now)
        if now >= self.late_at:
            record.served(in_time=False)
        silent = now - self.last_heard
        if not self._begun and silent > (self.predicted if record.latency is None else record.latency):
            record.heard(latency=silent)  # at least
        if silent < max(LEAST_SILENCE, MUCH_LONGER * self.predicted):
            return 0.0
        return record.fell(f"silent for {silent:.1f} seconds", now)

    def _end(self) -> None:
        record = self.record
        record.line.over(self.size)
        for each in record.lineage:
            each.in_flight -= 1
        if self._begun:
            record.line.receiving -= 1
            if record.rate is None:
                record.heard(rate=record.line.told(SHORTEST))
        record.line.changed()

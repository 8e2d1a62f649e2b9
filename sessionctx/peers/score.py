"""Score: the expected time in which a peer would finish a request. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Final

import attrs

from sessionctx.peers.record import Record

LEAST_CHANCE: Final = 0.05


@attrs.frozen
class Typical:
    """What is expected of a peer that nothing is known about: the middle of those that are known."""

    latency: float = 0.1
    """Seconds to the first byte."""
    rate: float = 4 * 1024 * 1024
    """Bytes per second."""


def typical(records: Iterable[Record]) -> Typical:
    """Return the medians over the *records* that have something to tell."""
    known = tuple(records)
    latencies = [record.latency for record in known if record.latency is not None]
    rates = [record.rate for record in known if record.rate is not None]
    middle = Typical()
    return Typical(
        latency=median(latencies) if latencies else middle.latency,
        rate=median(rates) if rates else middle.rate,
    )


@attrs.define(eq=False)
class Outlook:
    """What is expected of one peer now: a time that grows with the bytes that are asked for."""

    record: Record
    start: float = 0.0
    """Seconds until it is done with all that is in flight from it, and with what was queued here."""
    per_byte: float = 0.0
    tries: float = 1.0
    """How many requests it is expected to take until one brings something."""
    outlier: float = 0.0
    """Seconds of `start` that are there because its last answers were slower than usual."""

    def renew(self, middle: Typical, now: float) -> None:
        """Look anew, from what is known about the peer and else from the *middle* of the others.

        Bytes come behind all that is in flight from it. If it owes an answer and has been silent for longer than its
        latency, it is expected to stay so for as long again.
        """
        record = self.record
        line = record.line
        wait = middle.latency if record.latency is None else record.latency
        if line.in_flight and (silent := now - line.spoke) > wait:
            wait = silent
        self.per_byte = 1.0 / (middle.rate if record.rate is None else record.rate)
        self.start = wait + line.in_flight_bytes * self.per_byte
        self.tries = 1.0 / (max(record.success, LEAST_CHANCE) * max(record.hits, LEAST_CHANCE))
        self.outlier = 0.0 if record.median is None or wait < record.median else wait - record.median

    def queue(self, size: float) -> None:
        """Note that it is to bring *size* bytes before anything else."""
        self.start += size * self.per_byte

    def duration(self, size: float) -> float:
        """Return in how many seconds *size* bytes should be here if asked for now, by what is usual for the peer."""
        return self.start - self.outlier + size * self.per_byte

    def expected(self, size: float) -> float:
        """Return the same for a peer that may be slow again, fail, or lack it: so fast failures attract no work."""
        return (self.start + size * self.per_byte) * self.tries


def outlook(record: Record, middle: Typical, now: float) -> Outlook:
    """Return what is expected of a peer now; see `Outlook.renew`."""
    found = Outlook(record)
    found.renew(middle, now)
    return found

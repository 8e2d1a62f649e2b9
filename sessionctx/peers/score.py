"""Score: the expected time in which a peer would finish a request. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Final

import attrs

from sessionctx.peers.record import Record

LEAST_SUCCESS: Final = 0.05


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


def expected(record: Record, size: float, middle: Typical, *, queued: float = 0.0) -> float:
    """Return in how many seconds *size* bytes would be here if asked of this peer now.

    They come behind what is in flight from it already, and behind *queued* more bytes. A peer whose requests often
    fail is expected to need as many more tries, so that fast failures attract no work.
    """
    latency = middle.latency if record.latency is None else record.latency
    rate = middle.rate if record.rate is None else record.rate
    ahead = record.in_flight_bytes + queued
    return (latency + (ahead + size) / rate) / max(record.success, LEAST_SUCCESS)

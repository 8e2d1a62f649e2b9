"""Choice: which of the peers that could be asked will be done first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sessionctx.peers.health import Health
from sessionctx.peers.record import Record
from sessionctx.peers.score import Typical, expected


def soonest(
    records: Iterable[Record], size: float, middle: Typical, *, queued: Mapping[Record, float] | None = None
) -> tuple[Record, float] | None:
    """Return the record which would finish *size* bytes first, and in how many seconds; None if there are none.

    *queued* counts bytes per record that are promised but not asked for yet. Among equals the first wins.
    """
    best: tuple[Record, float] | None = None
    for record in records:
        seconds = expected(record, size, middle, queued=queued.get(record, 0.0) if queued else 0.0)
        if best is None or seconds < best[1]:
            best = record, seconds
    return best


def explorable(records: Iterable[Record], now: float) -> Record | None:
    """Return an unknown peer worth one cheap try, unless one is being tried already."""
    chosen: Record | None = None
    for record in records:
        if record.wake(now) is Health.FRESH:
            if record.in_flight:
                return None
            chosen = chosen or record
    return chosen

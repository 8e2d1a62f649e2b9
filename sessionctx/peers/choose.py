"""Choice: which of the peers that could be asked will be done first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sessionctx.peers.health import Health
from sessionctx.peers.record import Record
from sessionctx.peers.score import Outlook


def soonest(outlooks: Iterable[Outlook], size: float, may: Callable[[Record], bool]) -> Outlook | None:
    """Return the outlook on the peer that would finish *size* bytes first, of those that *may* be asked.

    Among equals the first wins; None if there are none.
    """
    best: Outlook | None = None
    least = float("inf")
    for each in outlooks:
        seconds = each.expected(size)
        if seconds < least and may(each.record):
            best, least = each, seconds
    return best


def explorable(records: Iterable[Record], now: float) -> Record | None:
    """Return an unknown peer worth one cheap try, unless one is being tried already.

    One that was never tried comes before one that failed or lost.
    """
    chosen: Record | None = None
    for record in records:
        if record.wake(now) is Health.FRESH:
            if record.in_flight:
                return None
            if record.try_at <= now and (chosen is None or _tried(record) < _tried(chosen)):
                chosen = record
    return chosen


def _tried(record: Record) -> int:
    return record.failures + record.trials

"""The pool: the peers of a session in the order in which they would be done, kept in order as they change. Pure.

A turn of the plan looks at the best few of them, however many there are. What a change costs grows with the logarithm
of their number (but for moving pointers within a list, a million in a tenth of a millisecond).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from functools import partial
from math import inf
from typing import Final, TypeAlias

import attrs

from sessionctx.fetch.window import window
from sessionctx.peers import Health, Outlook, Record, Typical, outlook, typical

MOMENT: Final = 0.005
"""Seconds between two looks for peers that are silent, at least."""
BEAM: Final = 4
"""How many of the peers that are free, and of those that are busy, a turn looks at."""
USUAL_SIZE: Final = 256 * 1024
"""Bytes; what a block is expected to have before the first one has come."""


@attrs.define(eq=False)
class Standing:
    """How one peer stands in the pool."""

    record: Record
    serial: int
    outlook: Outlook
    room: int = 0
    """How many more requests it may get."""
    row: Row | None = None
    """The list that it is in, if any, ..."""
    place: tuple[float, int, Standing] | None = None
    """... and its place there."""
    vague: bool = False
    """Whether it is not known how fast it is."""
    by: Typical | None = None
    """The middle of the others by which it was judged then."""
    stale: bool = False
    """Whether something has changed since it was placed."""
    untried: tuple[float, int, Standing] | None = None
    """Its place among the unknown peers, if it may be tried."""
    watch: object = None


Row: TypeAlias = "list[tuple[float, int, Standing]]"


class Pool:
    """Which peers there are, and how soon each would be done with a block of the usual *size*."""

    def __init__(self, records: Iterable[Record] = (), *, size: float = USUAL_SIZE) -> None:
        self.size = size
        """Bytes by which they are ordered."""
        self.most: int | None = None
        """Requests that any one endpoint may have at a time, if there is a bound."""
        self.ready: Row = []
        """Those that may be asked now."""
        self.unknown: Row = []
        """Those, too, of which it is not known how fast they are: they count as the middle of the others."""
        self.busy: Row = []
        """Good ones whose windows are full."""
        self.doubtful: Row = []
        """Unknown ones that have lost when they were tried; they get what nobody else can serve."""
        self.changed = True
        self._standings: dict[Record, Standing] = {}
        self._stale: list[Standing] = []
        self._untried: Row = []
        self._moments: list[tuple[float, int, Standing]] = []  # when rests and pauses end
        self._good: dict[Standing, None] = {}
        self._trying: dict[Standing, None] = {}
        self._resting: dict[Standing, None] = {}
        self._awake: dict[Standing, None] = {}
        self._vague: dict[Standing, None] = {}  # those of which it is not known how fast they are
        self._middle = Typical()
        self._changes = 1  # since the middle was taken
        self._caught_at = -inf
        for record in records:
            self.add(record)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._standings)

    def __len__(self) -> int:
        return len(self._standings)

    def __contains__(self, record: Record) -> bool:
        return record in self._standings

    @property
    def known(self) -> bool:
        """Whether any peer is known to be good."""
        return bool(self._good)

    def add(self, record: Record) -> None:
        """Take in a peer."""
        if record not in self._standings:
            standing = Standing(record, len(self._standings), outlook(record, self._middle, 0.0))
            self._standings[record] = standing
            standing.watch = watch = partial(self._note, standing)
            record.line.watchers.append(watch)
            watch()

    def close(self) -> None:
        """Let go of all peers: their lines may live longer than this."""
        for standing in self._standings.values():
            standing.record.line.watchers.remove(standing.watch)  # type: ignore[arg-type]
        self._standings.clear()

    # --- looking

    def due(self, now: float) -> bool:
        """Whether anything has happened to a peer since `changed` was last set to False, or a rest has ended."""
        return self.changed or (bool(self._moments) and self._moments[0][0] <= now)

    def update(self, now: float) -> None:
        """Bring the order up to date."""
        while self._moments and self._moments[0][0] <= now:
            self._note(heapq.heappop(self._moments)[2])
        while self._stale:
            self._place(self._stale.pop(), now)
        if now >= self._caught_at + MOMENT:
            self._caught_at = now
            self._catch_silent(now)
        if self._vague and self._changes * 4 > len(self._standings):
            self._changes = 0  # the more peers there are, the less often
            self._middle = typical(self._standings)

    def first_busy(self, now: float) -> list[Standing]:
        """Return the busy peers that would be done soonest."""
        found = [standing for _, _, standing in self.busy[:BEAM]]
        for standing in found:
            if standing.vague:
                self.refresh(standing, now)
        return found

    def refresh(self, standing: Standing, now: float) -> None:
        """Expect of a *vague* one what is expected now: that follows the middle of the others."""
        if standing.by is not self._middle or standing.record.line.in_flight:
            standing.by = self._middle
            standing.outlook.renew(self._middle, now)

    def standings(self, records: Iterable[Record]) -> list[Standing]:
        """Return how the peers of these *records* stand; some may have left."""
        return [self._standings[record] for record in records if record in self._standings]

    def resting(self) -> Iterator[Record]:
        """Iterate over the peers that rest."""
        return (standing.record for standing in self._resting)

    def awake(self) -> Iterator[Record]:
        """Iterate over the peers that do not, and may be asked now or when they have room."""
        return (standing.record for standing in self._awake)

    def explorable(self) -> Standing | None:
        """Return an unknown peer worth one cheap try, unless one is being tried already; the least tried first."""
        return self._untried[0][2] if self._untried and not self._trying else None

    # --- keeping in order

    def _note(self, standing: Standing) -> None:
        self.changed = True
        if not standing.stale:
            standing.stale = True
            self._stale.append(standing)

    def _place(self, standing: Standing, now: float) -> None:
        """Put it where it belongs now."""
        standing.stale = False
        record = standing.record
        health = record.wake(now)
        if health is Health.GOOD and standing in self._good:  # the usual case: it has moved within the rows, at most
            self._leave_row(standing)
            self._place_good(standing, now)
            return
        self._displace(standing)
        if health is Health.RESTING:
            self._resting[standing] = None
            heapq.heappush(self._moments, (record.rest_until, standing.serial, standing))
        elif health is Health.GOOD:
            self._awake[standing] = None
            self._good[standing] = None
            self._place_good(standing, now)
        elif health is Health.FRESH:
            self._awake[standing] = None
            self._place_unknown(standing, now)

    def _place_good(self, standing: Standing, now: float) -> None:
        record = standing.record
        self._changes += 1
        room = min(int(record.window), window(record, self.size)) - record.line.in_flight
        if room > 0 and self.most is not None:
            room = self._bounded(record, room)
        self._enter(standing, max(room, 0), now)

    def _place_unknown(self, standing: Standing, now: float) -> None:
        record = standing.record
        if record.in_flight:
            self._trying[standing] = None
            return
        if record.try_at <= now:
            standing.untried = (record.failures + record.trials, standing.serial, standing)
            insort(self._untried, standing.untried)
        else:
            heapq.heappush(self._moments, (record.try_at, standing.serial, standing))
        if room := self._bounded(record, record.room(now)):
            self._enter(standing, room, now)

    def _bounded(self, record: Record, room: int) -> int:
        """Return how much of the *room* at a peer the session's own bound leaves."""
        return room if self.most is None else max(min(room, self.most - record.line.in_flight), 0)

    def line_room(self, record: Record) -> int:
        """Return how many more requests may go to its endpoint, by whichever of the peers behind it."""
        return self._bounded(record, record.peer.most - record.line.in_flight)

    def _enter(self, standing: Standing, room: int, now: float) -> None:
        record = standing.record
        standing.room = room
        vague = record.latency is None or record.rate is None
        if record.health is Health.FRESH and record.try_at > now and record.rate is None:
            standing.row = self.doubtful
        elif not room:
            standing.row = self.busy
        else:
            standing.row = self.unknown if vague else self.ready
        if vague:
            self._vague[standing] = None
        elif standing.vague:
            self._vague.pop(standing, None)
        standing.vague = vague
        standing.outlook.renew(self._middle, now)
        standing.by = self._middle
        standing.place = (standing.outlook.expected(self.size), standing.serial, standing)
        insort(standing.row, standing.place)

    def _leave_row(self, standing: Standing) -> None:
        row, place = standing.row, standing.place
        if row is not None and place is not None:
            del row[bisect_left(row, place)]
            standing.row = standing.place = None

    def _displace(self, standing: Standing) -> None:
        self._leave_row(standing)
        if standing.untried is not None:
            del self._untried[bisect_left(self._untried, standing.untried)]
            standing.untried = None
        standing.room = 0
        self._good.pop(standing, None)
        self._trying.pop(standing, None)
        self._resting.pop(standing, None)
        self._awake.pop(standing, None)
        self._vague.pop(standing, None)

    def _catch_silent(self, now: float) -> None:
        """Put peers back that looked soon when they were placed, and have said nothing for too long since."""
        for row in (self.ready, self.busy):
            for _, _, standing in row[:BEAM]:
                record = standing.record
                line = record.line
                if line.in_flight and record.latency is not None and now - line.spoke > record.latency:
                    self._place(standing, now)

"""Which operations go out together, and which have to wait: the whole policy of ``many``. Pure.

Small ones share requests, within the service's limits (the protocol's section 5). The service executes those of one
request in any order, and requests overtake each other: so of two operations on one key, one of which writes, the later
waits until the earlier is done.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Final

import attrs

MOST_BODY: Final = 1024 * 1024
"""Bytes of one body in a batch, as they are sent."""
MOST_PARTS: Final = 1000
MOST_TOTAL: Final = 100 * 1024 * 1024
"""Bytes of all bodies of one batch."""


def zstd_bound(size: int) -> int:
    """Return how many bytes *size* bytes have at most after zstd (its ``ZSTD_compressBound``)."""
    small = ((128 * 1024 - size) >> 11) if size < 128 * 1024 else 0
    return size + (size >> 8) + small


@attrs.frozen
class Item:
    """One operation, as the schedule sees it."""

    index: int
    """Its place in the input, from 0."""
    key: str
    """Empty: the server chooses one, which conflicts with nothing."""
    writes: bool
    size: int | None
    """Bytes that it sends, at most; None: too many for a batch, or nobody knows, so it goes alone."""


@attrs.frozen
class Request:
    """Operations that go out together; one that is *alone* has a request of its own kind."""

    items: tuple[Item, ...]
    alone: bool


@attrs.define
class _Lane:
    """What is going on with one key: who is in flight, and who waits behind them, first come first."""

    reading: int = 0
    writing: bool = False
    waiting: deque[Item] = attrs.field(factory=deque[Item])

    def admits(self, item: Item) -> bool:
        return not self.writing and not (item.writes and self.reading)

    def enter(self, item: Item) -> None:
        self.writing = item.writes
        self.reading += not item.writes

    def leave(self, item: Item) -> None:
        if item.writes:
            self.writing = False
        else:
            self.reading -= 1


@attrs.define(eq=False)
class Schedule:
    """What is to be done, what waits for others of its key, and what is in flight."""

    parts: int = MOST_PARTS
    total: int = MOST_TOTAL
    _ready: dict[int, Item] = attrs.field(factory=dict[int, Item], init=False)
    """May go out; in their lanes they count as in flight already."""
    _order: list[int] = attrs.field(factory=list[int], init=False)
    """Those, as a heap: what comes first in the input goes out first."""
    _lanes: dict[str, _Lane] = attrs.field(factory=dict[str, _Lane], init=False)
    _flying: dict[int, Item] = attrs.field(factory=dict[int, Item], init=False)
    _waiting: int = attrs.field(default=0, init=False)
    _weight: int = attrs.field(default=0, init=False)
    """What those that are not in flight send; one that goes alone weighs as much as a whole batch."""
    _alone: int = attrs.field(default=0, init=False)
    """How many of those that may go out go alone."""
    _bytes: int = attrs.field(default=0, init=False)
    """What the others of them send."""

    def __len__(self) -> int:
        """How many operations are in it, those in flight included."""
        return len(self._ready) + self._waiting + len(self._flying)

    @property
    def first(self) -> int | None:
        """The operation that goes out next; None if nothing may."""
        return self._order[0] if self._order else None

    @property
    def full(self) -> bool:
        """Whether more input would add nothing to the next request."""
        return bool(self._alone) or len(self._ready) >= self.parts or self._bytes >= self.total

    @property
    def crowded(self) -> bool:
        """Whether it holds enough, so that more input can wait."""
        return len(self._ready) + self._waiting >= 2 * self.parts or self._weight >= self.total

    def add(self, item: Item) -> None:
        """Take in the next operation of the input."""
        self._weight += self._weight_of(item)
        if not item.key:
            self._admit(item)
            return
        lane = self._lanes.setdefault(item.key, _Lane())
        if lane.waiting or not lane.admits(item):
            lane.waiting.append(item)
            self._waiting += 1
        else:
            lane.enter(item)
            self._admit(item)

    def take(self) -> Request | None:
        """Return what goes out next, the oldest first; None if nothing may."""
        if not self._order:
            return None
        alone = self._ready[self._order[0]].size is None
        chosen = [self._go(heappop(self._order))] if alone else self._batch()
        return Request(tuple(chosen), alone=alone)

    def done(self, index: int) -> None:
        """One that was in flight is done, however; those that waited for it may go."""
        item = self._flying.pop(index)
        if not item.key:
            return
        lane = self._lanes[item.key]
        lane.leave(item)
        while lane.waiting and lane.admits(lane.waiting[0]):
            following = lane.waiting.popleft()
            self._waiting -= 1
            lane.enter(following)
            self._admit(following)
        if not (lane.waiting or lane.reading or lane.writing):
            del self._lanes[item.key]

    def _admit(self, item: Item) -> None:
        self._ready[item.index] = item
        heappush(self._order, item.index)
        self._alone += item.size is None
        self._bytes += item.size or 0

    def _weight_of(self, item: Item) -> int:
        return self.total if item.size is None else item.size

    def _go(self, index: int) -> Item:
        item = self._flying[index] = self._ready.pop(index)
        self._weight -= self._weight_of(item)
        self._alone -= item.size is None
        self._bytes -= item.size or 0
        return item

    def _batch(self) -> list[Item]:
        """Take what goes together, and leave what goes alone, and what there is no room for."""
        chosen: list[Item] = []
        left: list[int] = []
        total = 0
        while self._order and len(chosen) < self.parts:
            size = self._ready[self._order[0]].size
            if size is not None and total + size > self.total:
                break
            index = heappop(self._order)
            if size is None:
                left.append(index)
            else:
                total += size
                chosen.append(self._go(index))
        for index in left:
            heappush(self._order, index)
        return chosen

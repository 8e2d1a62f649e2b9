"""Which operations go out together, and which have to wait: the whole policy of ``many``. Pure.

Small ones share requests, within the service's limits (the protocol's section 5). The service executes those of one
request in any order, and requests overtake each other: so of two operations on one key, one of which writes, the later
waits until the earlier is done.
"""

from __future__ import annotations

from collections import OrderedDict, deque
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


@attrs.define(eq=False)
class Schedule:
    """What is to be done, what waits for others of its key, and what is in flight."""

    parts: int = MOST_PARTS
    total: int = MOST_TOTAL
    _ready: OrderedDict[int, Item] = attrs.field(factory=OrderedDict[int, Item], init=False)
    """May go out, in the order of the input; in their lanes they count as in flight already."""
    _lanes: dict[str, _Lane] = attrs.field(factory=dict[str, _Lane], init=False)
    _flying: dict[int, Item] = attrs.field(factory=dict[int, Item], init=False)
    _waiting: int = attrs.field(default=0, init=False)

    def __len__(self) -> int:
        """How many operations are in it, those in flight included."""
        return len(self._ready) + self._waiting + len(self._flying)

    @property
    def held(self) -> int:
        """Bytes of those that may go out together, and have not gone yet."""
        return sum(item.size or 0 for item in self._ready.values())

    def add(self, item: Item) -> None:
        """Take in the next operation of the input."""
        if not item.key:
            self._ready[item.index] = item
            return
        lane = self._lanes.setdefault(item.key, _Lane())
        if lane.waiting or not lane.admits(item):
            lane.waiting.append(item)
            self._waiting += 1
        else:
            lane.enter(item)
            self._ready[item.index] = item

    def worth_sending(self) -> bool:
        """Whether waiting for more input could add nothing to the next request."""
        if not self._ready:
            return False
        together = [item for item in self._ready.values() if item.size is not None]
        if len(together) < len(self._ready):
            return True
        return len(together) >= self.parts or sum(item.size or 0 for item in together) >= self.total

    def take(self) -> Request | None:
        """Return what goes out next, the oldest first; None if nothing may."""
        first = next(iter(self._ready.values()), None)
        if first is None:
            return None
        chosen = [first] if first.size is None else self._batch()
        for item in chosen:
            del self._ready[item.index]
            self._flying[item.index] = item
        return Request(tuple(chosen), alone=first.size is None)

    def done(self, index: int) -> None:
        """One that was in flight is done, however; those that waited for it may go."""
        item = self._flying.pop(index)
        if not item.key:
            return
        lane = self._lanes[item.key]
        if item.writes:
            lane.writing = False
        else:
            lane.reading -= 1
        while lane.waiting and lane.admits(lane.waiting[0]):
            following = lane.waiting.popleft()
            self._waiting -= 1
            lane.enter(following)
            self._ready[following.index] = following
        if not (lane.waiting or lane.reading or lane.writing):
            del self._lanes[item.key]

    def _batch(self) -> list[Item]:
        chosen: list[Item] = []
        total = 0
        for item in self._ready.values():
            if item.size is None:
                continue
            if len(chosen) == self.parts or total + item.size > self.total:
                break
            chosen.append(item)
            total += item.size
        return chosen

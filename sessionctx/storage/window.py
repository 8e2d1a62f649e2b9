"""Which bytes of a file are asked for next, while others are still coming. Pure: time and figures are arguments.

A file is brought in parts, some at a time; as one ends, the next begins. When all of it is being asked for, and there
is room for one more, that takes the second half of what the slowest would bring last, so that nobody is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

SMALLEST: Final = 256 * 1024
"""Bytes of a part that is worth a request, where there is more to bring."""
LARGEST: Final = 64 * 1024 * 1024
_LATENCIES: Final = 8
"""How many times as much as the line holds the parts that are under way should be."""


@attrs.frozen
class Shape:
    """How large parts are, and how many are under way at a time."""

    part: int
    at_once: int


def shape(latency: float | None, rate: float | None, *, best_part: int, most: int, memory: int | None = None) -> Shape:
    """Return what suits a line: as many parts at a time as are allowed, for each may have a pace of its own.

    What a line holds is its rate times its latency. Parts are so large that all of them together are some times that:
    then it is seldom that one waits for its first byte, and the others fill the line meanwhile.

    Args:
        latency: seconds to the first byte; None if nobody knows yet.
        rate: bytes per second of all that comes on that line; None if nobody knows yet.
        best_part: what the backend says is a good size; of a line that nobody knows, that is the size.
        most: how many parts at a time the backend, and the limits of the session, allow.
        memory: bytes that may be under way at a time.
    """
    part, at_once = best_part, most
    if latency is not None and rate is not None:
        held = latency * rate
        part = round(min(max(_LATENCIES * held / most, SMALLEST, best_part / 8), max(LARGEST, best_part)))
    if memory is not None:
        at_once = max(min(at_once, memory // SMALLEST), 1)
        part = min(part, max(memory // at_once, 1))
    return Shape(part, at_once)


@attrs.define(eq=False)
class Part:
    """Bytes that are being brought, from *begin* to *end*; those up to *at* are here."""

    begin: int
    end: int
    asked: float
    at: int = attrs.field(init=False)
    moved: float = attrs.field(init=False)
    """When it got on last."""

    def __attrs_post_init__(self) -> None:
        self.at, self.moved = self.begin, self.asked

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self.end - self.at


@attrs.define(eq=False)
class Window:
    """The parts of a file of *size* bytes: what is here, what is under way, what nobody has asked for yet.

    Each byte is in exactly one of these at any time, so that each comes once, except what is asked for anew after a
    failure.
    """

    size: int
    smallest: int = SMALLEST
    under_way: list[Part] = attrs.field(factory=list[Part], init=False)
    _gaps: list[tuple[int, int]] = attrs.field(init=False)
    """What nobody has asked for, the last first."""

    def __attrs_post_init__(self) -> None:
        self._gaps = [(0, self.size)] if self.size else []

    @classmethod
    def over(cls, size: int, here: Iterable[tuple[int, int]], *, smallest: int = SMALLEST) -> Window:
        """Return the window over a file of which some bytes are *here* already: pairs of begin and end."""
        window, at = cls(size, smallest), 0
        gaps: list[tuple[int, int]] = []
        for begin, end in sorted(here):
            if at < begin:
                gaps.append((at, begin))
            at = max(at, end)
        if at < size:
            gaps.append((at, size))
        window._gaps = gaps[::-1]
        return window

    @property
    def complete(self) -> bool:
        """Whether all of the file is here."""
        return not self._gaps and not self.under_way

    @property
    def left(self) -> int:
        """Bytes that are not here yet."""
        return sum(end - begin for begin, end in self._gaps) + sum(part.left for part in self.under_way)

    def take(self, shape: Shape, now: float) -> Part | None:
        """Return the next part to ask for; None if there is no room, or nothing left that is worth a request.

        Towards the end parts become smaller, so that all end at about the same time.
        """
        if len(self.under_way) >= shape.at_once:
            return None
        if not self._gaps:
            return self._halved(now)
        begin, end = self._gaps.pop()
        ahead = end - begin + sum(e - b for b, e in self._gaps)
        fair = ahead if shape.at_once == 1 else max(ahead // (2 * shape.at_once), self.smallest)
        until = begin + min(shape.part, fair)
        if end - until < self.smallest:
            until = end
        else:
            self._gaps.append((until, end))
        return self._ask(begin, until, now)

    def came(self, part: Part, count: int, now: float) -> int:
        """Note that *count* bytes of *part* came; return how many of them are its own, not given to another."""
        own = min(count, part.left)
        part.at += own
        if own:
            part.moved = now
        return own

    def ended(self, part: Part) -> None:
        """Note that nothing more of *part* comes; what has not come is to be asked for anew."""
        self.under_way.remove(part)
        if part.left:
            self._gaps.append((part.at, part.end))

    def late(self, seconds: float, now: float) -> Part | None:
        """Return the part that has been silent the longest, if that is so many *seconds*, and it can be asked anew."""
        silent = min(self.under_way, key=lambda part: part.moved, default=None)
        return silent if silent is not None and now - silent.moved >= seconds else None

    def _halved(self, now: float) -> Part | None:
        """Take the second half of the part that would end last, by how it came on so far."""
        slowest = max(self.under_way, key=lambda part: _remaining(part, now), default=None)
        if slowest is None or slowest.left < 2 * self.smallest:
            return None
        middle = slowest.at + slowest.left // 2
        end, slowest.end = slowest.end, middle
        return self._ask(middle, end, now)

    def _ask(self, begin: int, end: int, now: float) -> Part:
        part = Part(begin, end, now)
        self.under_way.append(part)
        return part


def _remaining(part: Part, now: float) -> float:
    """Return the seconds that *part* takes until its end, at the pace so far."""
    return part.left * (now - part.asked + 1e-9) / max(part.at - part.begin, 1)

"""Searching for more peers: when it is worth it, whom for, and how many of those found are taken. Pure.

The shell that fetches tells how it stands (`Need`), and carries out what it gets::

    search = discovery.look(need, now)           # whenever wants come or go, peers come or fail, and when it is due
    if search is not None:                       # ask all routers at once who has search.name, until search.until:
        for each router, for each gateway that it names and the session does not have yet:
            if discovery.take(gateway, router):  # at most a few of each router
                add it to the session's peers
        discovery.ended(now)                     # always, also when all of them failed
    discovery.served(gateway)                    # whenever a peer serves something
    again = discovery.due(need, now)             # when to look again if nothing changes; None: not before a change
    discovery.hopeless(need, now)                # nobody is left, and nobody will turn up: the want has failed

Seeds come first, and searching comes on top of them: it begins when they had a first chance and the predicted finish
no longer gets better, or at once when nobody is left to ask. One search runs at a time. After one that brought nobody
who served, the next waits twice as long.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from math import inf
from typing import Final

import attrs

WINDOW: Final = 2.0
"""Seconds in which the predicted finish must get better; so long do seeds have their first chance."""
BETTER: Final = 0.05
"""By which part of the time that was left."""
WORTH_SEARCHING: Final = 2.0
"""Seconds; what is predicted to be here sooner is not worth a search."""
FIRST_PAUSE: Final = 1.0
"""Seconds between a search and the next one; each fruitless one doubles them ..."""
LAST_PAUSE: Final = 60.0
"""... up to here. So long, too, is a name remembered that nobody new was found for."""
LONGEST: Final = 30.0
"""Seconds that a search may take."""
MOST: Final = 8
"""New peers that are taken from each router in one search."""
MOST_BARREN: Final = 1024
"""Names that are remembered to have brought nobody."""


@attrs.frozen
class Need:
    """How the fetching of a session stands, for the purposes of searching."""

    wanted: Hashable = None
    """The name that is needed first; None if nothing is wanted."""
    root: Hashable = None
    """The name of what it is a part of, if that is known: few providers announce more than roots."""
    left: int = 0
    """Peers who may still be asked for it: those who are being asked, are free, busy, or rest for a while."""
    finish: float = inf
    """When all of it is predicted to be here, on the clock of *now*; infinite if nobody can tell.

    All of it is the whole file, say, and not what is just being read ahead: that is always nearly done."""

    @property
    def names(self) -> tuple[Hashable, ...]:
        """What may be searched for, the likeliest first."""
        both = (self.root, self.wanted) if self.wanted is not None else ()
        return tuple(dict.fromkeys(name for name in both if name is not None))


@attrs.frozen
class Search:
    """The decision to ask the routers who has *name*."""

    name: Hashable
    until: float
    """When to stop, at the latest."""


@attrs.define(eq=False)
class Discovery:
    """The searches of one session."""

    _search: Search | None = attrs.field(default=None, init=False)
    _brought: Counter[Hashable] = attrs.field(factory=Counter[Hashable], init=False)
    """How many peers each router has brought in the present search."""
    _taken: set[str] = attrs.field(factory=set[str], init=False, repr=False)
    _hopes: set[str] = attrs.field(factory=set[str], init=False, repr=False)
    """Peers that were taken and have not served yet."""
    _barren: OrderedDict[Hashable, float] = attrs.field(factory=OrderedDict[Hashable, float], init=False)
    """Names that nobody new was found for, and when."""
    _fruitless: int = attrs.field(default=0, init=False)
    """Searches in a row that have brought nobody who served."""
    _last: float = attrs.field(default=-inf, init=False)
    """When the last search ended."""
    _rest_until: float = attrs.field(default=-inf, init=False)
    _marked: tuple[float, float] | None = attrs.field(default=None, init=False)
    """When the predicted finish was looked at, and what it was."""
    _steady: bool = attrs.field(default=False, init=False)
    """Whether it did not get better in the last window."""
    _idle_since: float | None = attrs.field(default=None, init=False)

    # --- when

    def look(self, need: Need, now: float) -> Search | None:
        """Return the search to begin now, if it is time for one."""
        due = self.due(need, now)
        if due is None or due > now:
            return None
        name = min(need.names, key=lambda name: self._barren.get(name, -inf))
        self._brought.clear()
        self._search = Search(name, now + LONGEST)
        return self._search

    def due(self, need: Need, now: float) -> float | None:
        """Return when the next search is due if nothing changes; None if it will not be."""
        self._watch(need, now)
        if need.wanted is None or self._search is not None or self.hopeless(need, now):
            return None
        at = max(now, self._last + self.pause, self._rest_until)
        if not need.left:
            return at
        if not self._steady and self._marked is not None:
            at = max(at, self._marked[0] + WINDOW)
        return at if need.finish - at >= WORTH_SEARCHING else None

    def hopeless(self, need: Need, now: float) -> bool:
        """Whether nobody can be asked for what is wanted, and the last searches for it brought nobody new."""
        if need.left or not need.names or self._search is not None:
            return False
        return all(self._barren.get(name, -inf) + LAST_PAUSE > now for name in need.names)

    @property
    def searching(self) -> Search | None:
        """The search that is under way."""
        return self._search

    @property
    def pause(self) -> float:
        """Seconds from the end of the last search to the next one, at least."""
        return min(FIRST_PAUSE * 2.0 ** min(max(self._fruitless - 1, 0), 30), LAST_PAUSE)

    def _watch(self, need: Need, now: float) -> None:
        """Find out whether the predicted finish gets better, window by window."""
        if need.wanted is None:
            self._idle_since = now if self._idle_since is None else self._idle_since
            return
        if self._idle_since is not None and now - self._idle_since >= WINDOW:
            self._marked = None  # this is about something else
        self._idle_since = None
        if self._marked is None:
            self._marked, self._steady = (now, need.finish), False
            return
        then, finish = self._marked
        if now - then >= WINDOW:
            better = finish - BETTER * (finish - then) if finish < inf else inf
            self._marked, self._steady = (now, need.finish), need.finish >= better

    # --- what it brings

    def take(self, peer: str, source: Hashable = None) -> bool:
        """Whether to add *peer*, an address that the router *source* has named: not twice, and not too many."""
        if self._search is None or peer in self._taken or self.enough(source):
            return False
        self._taken.add(peer)
        self._hopes.add(peer)
        self._brought[source] += 1
        return True

    def enough(self, source: Hashable = None) -> bool:
        """Whether nothing more will be taken from that router in this search, so that it need not be read on."""
        return self._brought[source] >= MOST

    def served(self, peer: str) -> None:
        """Note that *peer* has served something. If a search brought it, its first time makes pauses short again."""
        if peer in self._hopes:
            self._hopes.remove(peer)
            self._fruitless = 0

    def broken_off(self) -> None:
        """Note that whoever wanted something does not any more, and the search was left: that says nothing of it."""
        self._search = None

    def ended(self, now: float, *, rest: float = 0.0) -> None:
        """Note that the search is over, however it went; the routers ask to be left alone for *rest* seconds."""
        if self._search is None:
            return
        name = self._search.name
        self._barren.pop(name, None)
        if not self._brought.total():
            self._barren[name] = now
            if len(self._barren) > MOST_BARREN:
                self._barren.popitem(last=False)
        self._search = None
        self._fruitless += 1
        self._last = now
        self._rest_until = now + rest

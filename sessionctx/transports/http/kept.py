"""The connections of a trio run that wait for their next request: to all endpoints together, for a while, and so many.

They outlive the session that opened them and end with the run: a `RunVar` holds them, a system task closes them.
"""

from __future__ import annotations

import ssl
from collections import deque
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import attrs
import trio

from sessionctx.content import keep_what_is_freed
from sessionctx.transports.http.connection import Connection
from sessionctx.transports.http.turns import Turns

KEEP_IDLE: Final = 15.0
"""Seconds that a connection is kept without a request; servers begin to close theirs after as much."""
MAX_IDLE: Final = 256
"""Connections that are kept without a request: a quarter of the files that a process may usually have open."""

Key: TypeAlias = tuple[str, str, int | None, ssl.SSLContext | None]
"""Scheme, host and port, and whom to trust there."""


@attrs.define(eq=False)
class Shelf:
    """What belongs to one endpoint: the turns of its users, and its idle connections, the one used last at the end."""

    turns: Turns = attrs.field(factory=Turns)
    idle: deque[Connection] = attrs.field(factory=deque[Connection])


@attrs.define(eq=False)
class Kept:
    """The idle connections of a run, and the shelves where they lie. A shelf goes with its last connection and user."""

    _shelves: WeakValueDictionary[Key, Shelf] = attrs.field(factory=WeakValueDictionary[Key, Shelf])
    _idle: dict[Connection, Shelf] = attrs.field(factory=dict[Connection, Shelf])  # in the order of their last use

    def shelf(self, key: Key) -> Shelf:
        """Return what belongs to an endpoint."""
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = Shelf()
        return shelf

    def keep(self, connection: Connection, shelf: Shelf) -> None:
        """Take a connection in; the one that was used the longest ago makes room for it."""
        connection.idle_since = trio.current_time()
        self._idle[connection] = shelf
        shelf.idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._close_oldest()

    def take(self, shelf: Shelf) -> Connection | None:
        """Give the connection out that was used last, so that those too many grow old, if it is as we left it."""
        now = trio.current_time()
        while self._idle and now - next(iter(self._idle)).idle_since > KEEP_IDLE:
            self._close_oldest()
        while shelf.idle:
            connection = shelf.idle.pop()
            del self._idle[connection]
            if connection.lively:
                return connection
            connection.close()
        return None

    def close(self) -> None:
        """Close them all."""
        while self._idle:
            self._close_oldest()

    def _close_oldest(self) -> None:
        connection, shelf = next(iter(self._idle.items()))
        del self._idle[connection]
        shelf.idle.popleft().close()  # that very one: a shelf has the order of all


_kept: Final = trio.lowlevel.RunVar[Kept]("sessionctx.transports.http")


def kept_here() -> Kept:
    """Return the connections of the current trio run."""
    try:
        return _kept.get()
    except LookupError:
        keep_what_is_freed()
        kept = Kept()
        _kept.set(kept)
        trio.lowlevel.spawn_system_task(_close_with_the_run, kept)
        return kept


async def _close_with_the_run(kept: Kept) -> None:
    """Wait for the end of the run: trio cancels system tasks after the main task."""
    try:
        await trio.sleep_forever()
    finally:
        kept.close()

"""Pins: the names whose blocks a store keeps when garbage is collected, and holds, for work that has no name yet.

Both are rows of the store's database, so that all processes that use the store see the same.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import attrs
import trio

from sessionctx.blocks import faults, schema
from sessionctx.blocks.base import Blockstore, need_cid, turn
from sessionctx.blocks.writer import Writer
from sessionctx.content import CID

HOLD_LASTS: Final = 24 * 3600
"""Seconds after which a hold counts no more, should its process have died."""

# Always a new number: a collection under way knows by it that there are pins which it has not seen.
_ADD: Final = """INSERT OR REPLACE INTO pins (cid, name)
    VALUES (?1, coalesce(?2, (SELECT name FROM pins WHERE cid = ?1), ''))"""
_REMOVE: Final = "DELETE FROM pins WHERE cid = ?"
_LIST: Final = "SELECT cid, name FROM pins ORDER BY id"
_HOLD: Final = "INSERT INTO holds (since, until) VALUES (?, ?)"


@attrs.frozen
class Pin:
    """A root that is kept, with all that it leads to."""

    cid: CID
    """The root."""
    name: str = ""
    """What it was called when it was pinned; for people."""


@runtime_checkable
class HasPins(Protocol):
    """A store that keeps pins, or stands before one that does."""

    @property
    def pins(self) -> Pins | None:
        """They; None where the store behind it keeps none."""
        ...


def pins_of(store: Blockstore) -> Pins | None:
    """Return the pins of *store*; None if it keeps none."""
    return store.pins if isinstance(store, HasPins) else None


class Pins:
    """The pins of a store on disk; `DiskBlockstore.pins`. Methods raise :exc:`~sessionctx.errors.StoreError`.

    A pin keeps its root and everything that can be reached from it through blocks which are in the store. What is not
    there is not fetched by pinning, and is kept as soon as it comes.
    """

    def __init__(self, path: Path, writer: Writer, check: Callable[[], None]) -> None:
        """Not for callers: use `DiskBlockstore.pins`."""
        self._path = path
        self._writer = writer
        self._check = check

    async def add(self, cid: CID, name: str | None = None) -> None:
        """Pin *cid*; returns when that is committed. Pinned again, it takes the new *name*, if one is given."""
        await self._do("Pins.add", _ADD, bytes(need_cid(cid)), name)

    async def remove(self, cid: CID) -> bool:
        """Unpin *cid*; return whether it was pinned. What no other pin keeps goes with the next collection."""
        return await self._do("Pins.remove", _REMOVE, bytes(need_cid(cid))) > 0

    async def list(self) -> list[Pin]:
        """Return all pins, the oldest first."""
        await turn("Pins.list")
        self._check()
        return await trio.to_thread.run_sync(_read, self._path)

    def hold(self) -> AbstractAsyncContextManager[None]:
        """``async with pins.hold():`` no collection, of any process, takes what is put inside, however long it takes.

        For work whose root is known at its end only: put the blocks and pin the root inside. Should the process die,
        the hold counts for a day more.
        """
        return self._hold()

    @asynccontextmanager
    async def _hold(self) -> AsyncGenerator[None, None]:
        now = time.time()
        number: list[int] = []
        try:
            self._check()
            with trio.CancelScope(shield=True):  # so that we know what to let go
                await self._writer.do(partial(_take_hold, number, now))
            await trio.lowlevel.checkpoint_if_cancelled()
            yield
        finally:
            with trio.CancelScope(shield=True):
                for each in number:
                    await self._do("Pins.hold", "DELETE FROM holds WHERE id = ?", each)

    async def _do(self, what: str, query: str, *values: object) -> int:
        await turn(what)
        self._check()
        changed: list[int] = []

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            changed.append(connection.execute(query, values).rowcount)
            return 0, 0

        await self._writer.do(work)
        return changed[-1]


def _take_hold(number: list[int], now: float, connection: sqlite3.Connection) -> tuple[int, int]:
    number[:] = [connection.execute(_HOLD, (now, now + HOLD_LASTS)).lastrowid or 0]  # it may be tried twice
    return 0, 0


def _read(path: Path) -> list[Pin]:
    try:
        with closing(schema.connect(path, "ro", patience=schema.PATIENCE)) as connection:
            return [Pin(CID.from_bytes(cid), name.decode()) for cid, name in connection.execute(_LIST)]
    except faults.ERRORS as error:
        raise faults.explain(error, path) from error

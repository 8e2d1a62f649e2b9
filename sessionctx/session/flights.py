"""Flights: several tasks want the same name, one fetches it.

There is no background task. The first caller leads and fetches in its own task, the others sleep. If the leader is
cancelled, or its session ends or runs out of budget, that says nothing about the name: once its fetch has unwound, the
next sleeper takes the lead with a fetch of its own. So one caller's patience is never another's, and there are never
two fetches of one name at a time in a tree of sessions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Self, TypeVar

import attrs
import outcome
import trio

from sessionctx.errors import SessionctxError
from sessionctx.session import events
from sessionctx.session.slots import Slot
from sessionctx.session.state import Session
from sessionctx.session.twins import twin

T = TypeVar("T")


@attrs.define(eq=False)
class _Flight:
    """One name in flight: who fetches it and who sleeps until it has landed, first come first."""

    leader: trio.lowlevel.Task
    nurseries: tuple[trio.Nursery, ...]
    """Those that the leader had open before it began to fetch."""
    sleepers: dict[trio.lowlevel.Task, Session]


class Flights:
    """The table of names in flight in one tree of sessions. It is empty when nothing is."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: dict[Hashable, _Flight] = {}

    def __len__(self) -> int:
        return len(self._table)

    async def share(self, s: Session, name: Hashable, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> T:
        """Return what *fetch* returns for *key*, run by this caller or one that came before; *name* is for events."""
        me = trio.lowlevel.current_task()
        flight = self._table.get(key)
        if flight is not None:
            if _runs_inside(me, flight):
                return await fetch()  # a layer within the leader's own fetch asks again: it would wait for itself
            s.account.joined()
            s.tell(events.Joined, name)
        with _Seat(self._table, key, s, me) as seat:
            if flight is not None:
                woken = await seat.sleep()
                if not seat.leads:
                    return woken  # type: ignore[return-value]  # what another caller's fetch of this name returned
            seat.value = value = await fetch()
            return value


class _Seat:
    """One caller's part in a flight: it leads, or sleeps until it is woken by a value, an error, or to lead.

    However a leader goes, the lead passes on. An interrupt amid that would leave somebody asleep for ever, so it waits
    while a seat is taken or left.
    """

    __slots__ = ("_flight", "_key", "_s", "_table", "_task", "value")

    def __init__(self, table: dict[Hashable, _Flight], key: Hashable, s: Session, task: trio.lowlevel.Task) -> None:
        self._table = table
        self._key = key
        self._s = s
        self._task = task
        self.value: object = None

    @trio.lowlevel.enable_ki_protection
    def __enter__(self) -> Self:
        flight = self._table.get(self._key)
        if flight is None:
            self._flight = self._table[self._key] = _Flight(self._task, tuple(self._task.child_nurseries), {})
        else:
            flight.sleepers[self._task] = self._s
            self._flight = flight
        return self

    @property
    def leads(self) -> bool:
        """Whether this caller is the one that fetches."""
        return self._flight.leader is self._task

    async def sleep(self) -> object:
        """Wait for the result, an error, or the lead. Being woken and being cancelled exclude each other."""

        def give_up(_: object) -> trio.lowlevel.Abort:
            del self._flight.sleepers[self._task]
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(give_up)

    @trio.lowlevel.enable_ki_protection
    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        sleepers = self._flight.sleepers
        if self._flight.leader is not self._task:
            sleepers.pop(self._task, None)  # it is there when an interrupt came before it slept
        elif error is None:
            del self._table[self._key]
            for task in sleepers:
                trio.lowlevel.reschedule(task, outcome.Value(self.value))
        else:
            if isinstance(error, Exception) and not (isinstance(error, SessionctxError) and error.personal):
                for task in [task for task, theirs in sleepers.items() if theirs is self._s]:
                    del sleepers[task]
                    trio.lowlevel.reschedule(task, outcome.Error(twin(error)))
            self._pass_on()  # who has other peers than this session may have more luck

    def _pass_on(self) -> None:
        """Wake the next sleeper to lead, or close the flight when there is none."""
        flight = self._flight
        for task in flight.sleepers:
            del flight.sleepers[task]
            flight.leader, flight.nurseries = task, tuple(task.child_nurseries)
            trio.lowlevel.reschedule(task)
            return
        del self._table[self._key]


_FLIGHTS: Slot[Flights] = Slot("flights", make=lambda _: Flights())


def flights(s: Session) -> Flights:
    """Return the flights of the tree that *s* belongs to."""
    return _FLIGHTS.of(s.root)


async def share(s: Session, name: Hashable, fetch: Callable[[], Awaitable[T]], *, key: Hashable = None) -> T:
    """Get *name* once for all who want it at this time, in *s* and every session of its tree.

    *fetch* is run by at most one caller at a time. It should look first whether the name has arrived meanwhile. The
    call counts as one want of *s*. Names that differ but mean the same thing share under a common *key*.

    Raises:
        SessionEnded: *s* has ended, or ends meanwhile.
        LimitReached: the seconds of *s* are spent meanwhile.
        Exception: what *fetch* raised; each caller gets an object of its own.
    """
    with s.want(name):
        return await flights(s).share(s, name, name if key is None else key, fetch)


def _runs_inside(task: trio.lowlevel.Task, flight: _Flight) -> bool:
    """Whether *task* is the leader in the middle of its fetch, or runs in a nursery that the fetch has opened."""
    while task is not flight.leader:
        nursery = task.parent_nursery
        if nursery is None or nursery in flight.nurseries:
            return False
        task = nursery.parent_task
    return True

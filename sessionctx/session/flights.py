"""Flights: several tasks want the same name, one fetches it.

There is no background task. The first caller leads and fetches in its own task, the others sleep. If the leader is
cancelled, or its session ends or runs out of budget, that says nothing about the name: once its fetch has unwound, the
next sleeper takes the lead with a fetch of its own. So one caller's patience is never another's, and there are never
two fetches of one name at a time in a tree of sessions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, TypeVar

import attrs
import outcome
import trio

from sessionctx.session import events
from sessionctx.session.slots import Slot
from sessionctx.session.state import Session
from sessionctx.session.twins import twin

T = TypeVar("T")


class _Lead:
    """What a sleeper is woken with when it shall lead."""


_LEAD: Final = _Lead()


@attrs.define(eq=False)
class _Flight:
    """One name in flight: who fetches it and who sleeps until it has landed, first come first."""

    leader: trio.lowlevel.Task = attrs.field(factory=trio.lowlevel.current_task)
    nurseries: tuple[trio.Nursery, ...] = ()
    """Those that the leader had open before it began to fetch."""
    sleepers: dict[trio.lowlevel.Task, Session] = attrs.field(factory=dict[trio.lowlevel.Task, Session])

    async def sleep(self, s: Session) -> object:
        """Wait for the result, an error, or the lead. Being woken and being cancelled exclude each other."""
        task = trio.lowlevel.current_task()
        self.sleepers[task] = s

        def give_up(_: object) -> trio.lowlevel.Abort:
            del self.sleepers[task]
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(give_up)


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
        if flight is None:
            self._table[key] = flight = _Flight()
        elif _runs_inside(me, flight):
            return await fetch()  # a layer within the leader's own fetch asks again: waiting would wait for itself
        else:
            s.account.joined()
            if s.hooks:
                s.hooks.tell(events.Joined(trio.current_time(), name))
            woken = await flight.sleep(s)
            if woken is not _LEAD:
                return woken  # type: ignore[return-value]  # what another caller's fetch of this name returned
        return await self._lead(s, key, flight, fetch)

    async def _lead(self, s: Session, key: Hashable, flight: _Flight, fetch: Callable[[], Awaitable[T]]) -> T:
        flight.leader = trio.lowlevel.current_task()
        flight.nurseries = tuple(flight.leader.child_nurseries)
        try:
            value = await fetch()
        except Exception as error:
            if getattr(error, "personal", False):
                self._pass_on(key, flight)
                raise
            for task in [task for task, theirs in flight.sleepers.items() if theirs is s]:
                del flight.sleepers[task]
                trio.lowlevel.reschedule(task, outcome.Error(twin(error)))
            self._pass_on(key, flight)  # who has other peers than this session may have more luck
            raise
        except BaseException:
            self._pass_on(key, flight)
            raise
        del self._table[key]
        for task in flight.sleepers:
            trio.lowlevel.reschedule(task, outcome.Value(value))
        return value

    def _pass_on(self, key: Hashable, flight: _Flight) -> None:
        """Wake the next sleeper to lead, or close the flight when there is none."""
        for task in flight.sleepers:
            del flight.sleepers[task]
            flight.leader, flight.nurseries = task, tuple(task.child_nurseries)
            trio.lowlevel.reschedule(task, outcome.Value(_LEAD))
            return
        del self._table[key]


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

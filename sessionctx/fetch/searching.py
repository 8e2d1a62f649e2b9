"""Searching: asking routers for more peers while something is wanted. The shell around `discover`, which says when.

A search runs in a task of whoever wants something: a walk for its whole length, otherwise a want. One of them leads;
when it is done, its search ends with it, and the next one leads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

import attrs
import trio

from sessionctx.content import CID
from sessionctx.errors import Busy
from sessionctx.fetch.discover import Discovery, Need, Search
from sessionctx.fetch.job import Job
from sessionctx.fetch.meeting import Acquaintances
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.pool import Pool
from sessionctx.peers import Record
from sessionctx.session import Session, events
from sessionctx.transports import Routing

TICK: Final = 0.25
"""Seconds between two looks at how the fetching stands."""
MUCH: Final = 1024 * 1024 * 1024
"""Bytes that a walk is assumed to have before it: nobody knows, and it is rarely worth a search if that is little."""

log = logging.getLogger("sessionctx.fetch")


@attrs.define(eq=False)
class Searching:
    """The routers of one session, and its searches."""

    _session: Session
    _met: Acquaintances
    _needs: Needs
    _pool: Pool
    _found: Callable[[], None]
    """Called when peers have turned up, or a search is over."""
    routers: dict[str, Routing] = attrs.field(factory=dict[str, Routing], init=False)
    _discovery: Discovery = attrs.field(factory=Discovery, init=False)
    _leading: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _woken: trio.Event = attrs.field(factory=trio.Event, init=False)
    _rest: float = attrs.field(default=0.0, init=False)
    """Seconds for which the routers ask to be left alone."""
    _root: CID | None = attrs.field(default=None, init=False)
    _brought: dict[Record, str] = attrs.field(factory=dict[Record, str], init=False)

    def add(self, routers: Iterable[Routing]) -> None:
        """Ask these routers, too, from now on."""
        for router in routers:
            self.routers.setdefault(router.public, router)

    def may_help(self, job: Job, now: float) -> bool:
        """Whether somebody may still turn up for a *job* that nobody can be asked for; gets a search going."""
        if not self.routers or job.car or self._discovery.hopeless(Need(job.cid, self._root), now):
            return False
        self._woken.set()
        return True

    def served(self, record: Record) -> None:
        """Note that a peer has served something."""
        if record in self._brought:
            self._discovery.served(self._brought[record])

    async def watch(self, root: CID | None = None) -> None:
        """Search when it is worth it, until cancelled; *root* is what is being walked, if anything is."""
        async with self._leading:
            self._root = root
            try:
                while True:
                    await self._look()
            finally:
                self._root = None

    async def _look(self) -> None:
        self._woken = trio.Event()
        now = trio.current_time()
        need = self._need(now)
        search = self._discovery.look(need, now)
        if search is not None:
            await self._carry_out(search)
            return
        due = self._discovery.due(need, now)
        with trio.move_on_after(TICK if due is None else min(max(due - now, 0.0), TICK)):
            await self._woken.wait()

    def _need(self, now: float) -> Need:
        """Say how the fetching stands."""
        first = next((job for job in self._needs if not job.car), None)
        if first is None:
            return Need()
        left = sum(not first.hopeless(record, now) for record in self._pool)
        rate = sum(record.rate or 0.0 for record in self._pool if not first.hopeless(record, now))
        size = sum(job.size for job in self._needs) if self._root is None else MUCH
        return Need(first.cid, self._root, left, now + size / rate if rate else inf)

    async def _carry_out(self, search: Search) -> None:
        """Ask all routers at once, and take whom they name as they come."""
        over, self._rest = False, 0.0
        try:
            with trio.move_on_at(search.until):
                async with trio.open_nursery() as nursery:
                    for router in self.routers.values():
                        nursery.start_soon(self._ask, router, search.name)
            over = True
        finally:
            now = trio.current_time()
            self._discovery.ended(now, rest=self._rest) if over else self._discovery.broken_off()
            self._found()

    async def _ask(self, router: Routing, name: object) -> None:
        assert isinstance(name, CID)
        count, error = 0, ""
        try:
            async with router.providers(name) as found:
                async for provider in found:
                    for gateway in provider.gateways:
                        count += self._take(router, gateway)
                    if self._discovery.enough(router.public):
                        break
        except Exception as failed:  # noqa: BLE001  # also of a router of somebody's own: it never fails a want
            error = str(failed) or repr(failed)
            if isinstance(failed, Busy):
                self._rest = max(self._rest, failed.retry_after or 0.0)
            log.info("the router %s was of no use: %s", router.public, error)
        self._session.tell(events.Searched, router.public, name, count, error)

    def _take(self, router: Routing, gateway: str) -> bool:
        if not self._discovery.take(gateway, router.public):
            return False
        try:
            record = self._met.welcome(router.transport(gateway))
        except Exception as error:  # noqa: BLE001  # an address that is none, or a router of somebody's own
            log.info("the router %s named what is no peer: %s", router.public, error)
            return False
        self._brought[record] = gateway
        self._found()
        return True

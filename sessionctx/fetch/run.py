"""The shell around the plan: it waits, sends, verifies and tells the ledger; it has no opinions.

There is no background task. Each want runs in the task of whoever leads its flight; whenever something changes, the
task where it happens lets the plan hand out work and wakes those who got some.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

import attrs
import trio

from sessionctx.content import CID, Block, Verifier
from sessionctx.errors import LimitReached
from sessionctx.fetch.bans import tell_of_bans
from sessionctx.fetch.check import check
from sessionctx.fetch.cover import Covers
from sessionctx.fetch.givers import Givers
from sessionctx.fetch.hedge import HedgeBudget, late_after
from sessionctx.fetch.job import Job, look_again
from sessionctx.fetch.meeting import Acquaintances
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.plan import Grant, assign
from sessionctx.fetch.pool import Pool
from sessionctx.fetch.request import Request, Requests, what
from sessionctx.fetch.searching import Searching
from sessionctx.fetch.verdict import verdict
from sessionctx.fetch.window import open_up
from sessionctx.peers import LEDGER, Ask, Ledger, Peer, Record
from sessionctx.session import Session, Slot, events

Send = Callable[[Job, Ask], Awaitable[None]]
"""Sends a request to a peer, and sees to what comes."""


@attrs.define(eq=False)
class Fetcher:
    """Fetches blocks for one session from all of its peers."""

    session: Session
    _ledger: Ledger
    needs: Needs = attrs.field(factory=Needs, init=False)
    """What is still to be got."""
    pool: Pool = attrs.field(factory=Pool, init=False)
    """Who can be asked for it."""
    covers: Covers = attrs.field(init=False)
    """What CARs on their way will bring of it."""
    requests: Requests = attrs.field(init=False)
    searching: Searching = attrs.field(init=False)
    """Who may know more peers."""
    met: Acquaintances = attrs.field(init=False)
    givers: Givers = attrs.field(factory=Givers, init=False)
    """Who had what links to others."""
    _jobs: dict[bytes, dict[Job, None]] = attrs.field(factory=dict[bytes, "dict[Job, None]"], init=False)
    """Those for one block, by its multihash."""
    _hedges: HedgeBudget = attrs.field(factory=HedgeBudget, init=False)

    def __attrs_post_init__(self) -> None:
        self.pool.most = self.session.limits.in_flight_per_peer
        self.met = Acquaintances(self.session, self._ledger, self.pool)
        self.covers = Covers(self.needs)
        self.requests = Requests(self.session, self.needs, self.givers, self._wake_tree)
        self.searching = Searching(self.session, self.met, self.needs, self.pool, self._turned_up)

    async def get(self, cid: CID, near: CID | None = None) -> bytes:
        """Return the verified bytes of *cid*; *near* names a block that links to it."""
        Verifier(cid)  # a hash that cannot be checked here is nobody's fault but the name's
        name = cid.multihash
        held = self._held(name)
        if held is not None:
            await trio.lowlevel.checkpoint()
            return held
        job = Job(cid, int(self.pool.size), trio.current_effective_deadline(), self.givers.of(near))
        self.covers.cover(job)
        block = await self.one(job)
        if block is None:
            raise job.error or verdict(job, str(cid), self.met.records, trio.current_time())
        self.pool.size += 0.1 * (len(block.data) - self.pool.size)
        return block.data

    def _held(self, name: bytes) -> bytes | None:
        """Return the verified bytes of what is here, and about to be stored."""
        came = (job.block.data for job in self._jobs.get(name, ()) if job.block is not None)
        return self.covers.held.get(name) if name in self.covers.held else next(came, None)

    async def one(self, job: Job) -> Block | None:
        """Do *job*, for one block; returns that, or None if nobody served it."""
        jobs = self._jobs.setdefault(job.name, {})
        jobs[job] = None
        try:
            await self.work(job, self._ask)
        finally:
            del jobs[job]
            if not jobs:
                del self._jobs[job.name]
        return job.block

    async def work(self, job: Job, send: Send) -> None:
        """Do *job*: call *send* in a task of its own for each peer that the plan says, until it is done or hopeless."""
        self.needs.add(job)
        try:
            async with trio.open_nursery() as nursery:
                if self.searching.routers and not job.car:
                    nursery.start_soon(self.searching.watch)
                await self._drive(job, send, nursery)
                nursery.cancel_scope.cancel()
        finally:
            self.covers.uncover(job)
            self.needs.drop(job)
            for granted in job.granted:
                Request(self.requests, job, granted).dropped()
            if self.requests.freed:
                pump_tree(self.session)

    async def _drive(self, job: Job, send: Send, nursery: trio.Nursery) -> None:
        """Send what the plan grants to this job until it has its bytes, or no hope."""
        by_itself = True  # not because of a change elsewhere, which has handed out work already
        while job in self.needs:
            changed = trio.Event()
            job.wake = changed.set
            if self._meet_peers(job) or by_itself:
                pump_tree(self.session)
            while job.granted:
                nursery.start_soon(send, job, job.granted.pop())
            again = look_again(job, self.pool, trio.current_time())
            if again is None and self.searching.may_help(job, trio.current_time()):
                again = inf
            if again is None or job not in self.needs:
                return
            with trio.move_on_at(again) as patience:
                await changed.wait()
            by_itself = patience.cancelled_caught

    def _meet_peers(self, job: Job) -> bool:
        """Meet those that the session has got since the last look; *job* fails if one of them is no peer."""
        try:
            return self.met.meet()
        except Exception as error:  # noqa: BLE001  # raised where the want is
            self.needs.give_up(job, error)
            return False

    def pump(self) -> bool:
        """Hand out work: let the plan decide, count it, and wake those who got something. Returns if any did."""
        self.requests.freed = False
        if not self.needs or self.session.ended is not None:
            return False
        now = trio.current_time()
        largest = max(job.held for job in self.needs) if self.session.limits.memory is not None else 0
        room = self.session.account.room(largest)
        grants = assign(self.needs, self.pool, room=room, now=now, hedges=self._hedges.allows())
        spare, sent = self.needs.spare, True
        for grant in grants:
            job = grant.job
            try:
                self.session.account.request_begins(job.held)
            except LimitReached as spent:
                if not job.asks:  # what is under way may still bring it
                    self.session.tell(events.Spent, spent.limit)
                    self.needs.give_up(job, spent)
                sent = False
                continue
            self._send(job, grant, now)
        if grants and sent:
            self.needs.settle(self.pool, spare, now)  # the turn has reckoned with its own grants
        return bool(grants)

    def _send(self, job: Job, grant: Grant, now: float) -> None:
        record = grant.record
        self._hedges.spend() if grant.hedge else self._hedges.earn()
        late_at = now + late_after(grant.predicted, record.usual)
        ask = Ask(record, job.name, job.size, now, predicted=grant.predicted, late_at=late_at, hedge=grant.hedge)
        job.asks.append(ask)
        job.granted.append(ask)
        self.needs.changed(job)
        if grant.hedge:
            self.session.tell(events.Hedged, record.peer.public, job.cid, what(job))
        self.session.tell(events.Asked, record.peer.public, job.cid, what(job))

    async def _ask(self, job: Job, ask: Ask) -> None:
        """Ask one peer for one block, verify what it sends, and note how it went."""
        with Request(self.requests, job, ask) as request:
            data = await self.met.transport(ask.record).block(job.cid, progress=request)
            await check(job.cid, data)
            request.found(len(data), wasted=0 if job.block is None else ask.received)
            open_up(ask.record, self.pool.size)
            self.searching.served(ask.record)
            if ask.hedge and job.block is None:
                self._hedges.won()
            self.give(Block.vouched(job.cid, data), ask.record)
        pump_tree(self.session)

    def give(self, block: Block, giver: Record) -> bool:
        """Hand a verified block to whoever waits for it; returns if anybody did. CARs need not bring it any more."""
        name = block.cid.multihash
        self.givers.note(block.cid, giver)
        self.covers.arrived(block)
        waiting = [job for job in self._jobs.get(name, ()) if job.block is None]
        for job in waiting:
            job.block = block if block.cid is job.cid else Block.vouched(job.cid, block.data)
            self.needs.drop(job)
        return bool(waiting)

    def _wake_tree(self) -> None:
        """A peer has become worse: jobs that counted on it look again, those of other sessions in the tree, too."""
        for fetcher in _TREE.of(self.session.root):
            fetcher.needs.wake()

    def _turned_up(self) -> None:
        """Peers have turned up, or will not: whoever waits for them looks again."""
        self.needs.wake()
        pump_tree(self.session)

    def was_banned(self, peer: Peer, reason: str) -> None:
        """A peer lied to another session: it is asked no more here, and jobs that counted on it look again."""
        if self.met.was_banned(peer, reason):
            self._wake_tree()

    def end(self) -> None:
        """The session ends: what its peers lack and who lied is known above from now on."""
        del _TREE.of(self.session.root)[self]
        for priors in self.met.priors:
            priors.learn(self.met.records)
        self.pool.close()
        self._wake_tree()


_TREE: Slot[dict[Fetcher, None]] = Slot("fetchers", make=lambda _: {})


def _make(s: Session) -> Fetcher:
    fetcher = Fetcher(s, LEDGER.of(s))
    tell_of_bans(fetcher)
    _TREE.of(s.root)[fetcher] = None
    return fetcher


FETCHER: Slot[Fetcher] = Slot("fetch", make=_make, end=Fetcher.end)


def pump_tree(s: Session) -> None:
    """Hand out work in every session of the tree: they share the peers' windows and the limits."""
    tree = _TREE.of(s.root)
    for fetcher in tuple(tree):
        if fetcher.pump():
            tree[fetcher] = tree.pop(fetcher)  # who got something comes last the next time


async def fetch(s: Session, cid: CID, *, near: CID | None = None) -> bytes:
    """Return the verified bytes of *cid* from the best of the session's peers.

    The caller sees to it that a name is fetched once at a time (``session.share``). *near* names a block that links to
    it: who had that, probably has this.

    Raises:
        BlockNotFound: every peer says it does not have it.
        FetchFailed: peers could not serve; ``reasons`` lists each and why. `NoPeers` when there are none.
        InvalidPeer: an address in the session's peers is none.
        LimitReached: a budget of the session is spent.
        Unsupported: the hash function of *cid* is not known here.
    """
    return await FETCHER.of(s).get(cid, near)

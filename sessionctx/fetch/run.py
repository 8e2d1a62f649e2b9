"""The shell around the plan: it asks, waits and verifies, and holds no opinions.

There is no background task. Each want runs in the task of whoever leads its flight; whenever something changes, the
task where it happens lets the plan hand out work and wakes those who got some.
"""

from __future__ import annotations

from functools import partial
from typing import Final, cast

import attrs
import trio

from sessionctx.content import CID, Verifier
from sessionctx.errors import (
    BadAnswer,
    BlockTooLarge,
    Busy,
    Denied,
    HashMismatch,
    Lied,
    LimitReached,
    NotHere,
    PeerError,
    PeerFailed,
)
from sessionctx.fetch.check import check
from sessionctx.fetch.hedge import HedgeBudget, late_after
from sessionctx.fetch.plan import Grant, assign, look_again
from sessionctx.fetch.verdict import verdict
from sessionctx.fetch.waiting import Waiting
from sessionctx.peers import LEDGER, Ask, Ledger, Peer, Record
from sessionctx.session import HasUrl, Session, Slot, events
from sessionctx.transports import Transport, open_transport

USUAL_SIZE: Final = 256 * 1024
"""Bytes; what a block is expected to have before the first one has come."""


@attrs.define(eq=False)
class Fetcher:
    """Fetches blocks for one session from all of its peers."""

    session: Session
    _ledger: Ledger
    _jobs: dict[Waiting, None] = attrs.field(factory=dict[Waiting, None], init=False)
    """What is still to be got, in order of need."""
    _transports: dict[Record, Transport] = attrs.field(factory=dict[Record, Transport], init=False)
    _known: set[str] = attrs.field(factory=set[str], init=False, repr=False)
    _hedges: HedgeBudget = attrs.field(factory=HedgeBudget, init=False)
    _size: float = attrs.field(default=USUAL_SIZE, init=False)
    _freed: bool = attrs.field(default=False, init=False)
    """Whether a request has ended since work was handed out."""

    async def get(self, cid: CID) -> bytes:
        """Return the verified bytes of *cid*."""
        Verifier(cid)  # a hash that cannot be checked here is nobody's fault but the name's
        job = Waiting(cid.multihash, int(self._size), trio.current_effective_deadline(), cid=cid)
        self._jobs[job] = None
        try:
            async with trio.open_nursery() as nursery:
                await self._drive(job, nursery)
                nursery.cancel_scope.cancel()
        finally:
            self._jobs.pop(job, None)
            for ask in job.granted:
                self._dropped(job, ask)
            if self._freed:
                _pump_tree(self.session)
        if job.data is None:
            raise job.error or verdict(job, str(cid), self._transports, trio.current_time())
        self._size += 0.1 * (len(job.data) - self._size)
        return job.data

    async def _drive(self, job: Waiting, nursery: trio.Nursery) -> None:
        """Send what the plan grants to this job until it has its bytes, or no hope."""
        by_itself = True  # not because of a change elsewhere, which has handed out work already
        while job in self._jobs:
            job.changed = trio.Event()
            if self._meet_peers(job) or by_itself:
                _pump_tree(self.session)
            while job.granted:
                nursery.start_soon(self._ask, job, job.granted.pop())
            again = look_again(job, self._transports, trio.current_time())
            if again is None or job not in self._jobs:
                return
            with trio.move_on_at(again) as patience:
                await job.changed.wait()
            by_itself = patience.cancelled_caught

    def _meet_peers(self, job: Waiting) -> bool:
        """Open a transport to each peer that the session has got since the last look; *job* fails if one is none."""
        peers = self.session.peers
        if len(peers) == len(self._known):
            return False
        for peer in peers:
            key = peer if isinstance(peer, str) else peer.url
            if key in self._known:
                continue
            try:
                transport = open_transport(peer) if isinstance(peer, str) else _own_transport(peer)
            except Exception as error:  # noqa: BLE001  # raised where the want is
                self._fail(job, error)
                return False
            record = self._ledger.add(Peer(transport.url, transport.public, transport.can.best_in_flight))
            self._transports.setdefault(record, transport)
            self._known.add(key)
        return True

    def pump(self) -> bool:
        """Hand out work: let the plan decide, count it, and wake those who got something. Returns if any did."""
        self._freed = False
        if not self._jobs or self.session.ended is not None:
            return False
        now = trio.current_time()
        room = self.session.account.room()
        grants = assign(self._jobs, self._transports, room=room, now=now, hedges=self._hedges.allows())
        for grant in grants:
            job = grant.job
            assert isinstance(job, Waiting)
            try:
                self.session.account.request_begins()
            except LimitReached as spent:
                if not job.asks:  # what is under way may still bring it
                    self._tell(events.Spent(now, spent.limit))
                    self._fail(job, spent)
                continue
            self._send(job, grant, now)
        return bool(grants)

    def _send(self, job: Waiting, grant: Grant, now: float) -> None:
        record = grant.record
        self._hedges.spend() if grant.hedge else self._hedges.earn()
        late_at = now + late_after(grant.predicted, record.usual)
        ask = Ask(record, job.name, job.size, now, predicted=grant.predicted, late_at=late_at)
        job.asks.append(ask)
        job.granted.append(ask)
        if self.session.hooks:
            if grant.hedge:
                self._tell(events.Hedged(now, record.peer.public, job.cid))
            self._tell(events.Asked(now, record.peer.public, job.cid))
        job.poke()

    def _fail(self, job: Waiting, error: Exception) -> None:
        """Give *job* up because of *error*."""
        job.error = error
        self._jobs.pop(job, None)
        job.poke()

    async def _ask(self, job: Waiting, ask: Ask) -> None:
        """Ask one peer, verify what it sends, and note how it went."""
        try:
            data = await self._transports[ask.record].block(job.cid, progress=partial(self._arrived, ask))
            await check(job.cid, data)
        except HashMismatch as error:
            self._lied(job, ask, error)
        except (NotHere, Denied) as error:
            self._refused(job, ask, error)
        except BlockTooLarge as error:
            self._failed(job, ask, BadAnswer(str(error), peer=ask.record.peer.public))
        except PeerError as error:
            self._failed(job, ask, error)
        except OSError as error:  # a transport of somebody's own, which leaves it at that
            self._failed(job, ask, PeerFailed(str(error) or repr(error), peer=ask.record.peer.public))
        except Exception as error:  # noqa: BLE001  # a fault in a transport: raised where the want is
            self._failed(job, ask, PeerFailed(f"its transport raised {error!r}", peer=ask.record.peer.public))
            self._fail(job, error)
        except BaseException:
            self._dropped(job, ask)
            raise
        else:
            self._found(job, ask, data)
        _pump_tree(self.session)

    # --- what an ask can come to

    def _arrived(self, ask: Ask, count: int) -> None:
        ask.arrived(count, trio.current_time())
        self.session.account.received(count)

    def _found(self, job: Waiting, ask: Ask, data: bytes) -> None:
        now = trio.current_time()
        if ask.received < len(data):
            self._arrived(ask, len(data) - ask.received)  # a transport that does not tell how it gets on
        self._over(job, ask, wasted=0 if job.data is None else ask.received)
        ask.found(now)
        job.data = data
        self._jobs.pop(job, None)
        job.poke()
        if self.session.hooks:
            self._tell(events.Answered(now, ask.record.peer.public, job.cid, len(data), now - ask.began))

    def _refused(self, job: Waiting, ask: Ask, error: PeerError) -> None:
        now = trio.current_time()
        self._unserved(job, ask, error)
        ask.missing(now)
        self._tell(events.Refused(now, ask.record.peer.public, job.cid, str(error)))

    def _failed(self, job: Waiting, ask: Ask, error: PeerError) -> None:
        now = trio.current_time()
        self._unserved(job, ask, error)
        asked_for = error.retry_after if isinstance(error, Busy) else None
        seconds = ask.failed(str(error), now, asked_for=asked_for)
        self._tell(events.Failed(now, ask.record.peer.public, job.cid, str(error)))
        if seconds:
            self._tell(events.Rested(now, ask.record.peer.public, seconds, str(error)))
        self._poke_tree()

    def _lied(self, job: Waiting, ask: Ask, error: HashMismatch) -> None:
        lie = Lied(f"{ask.record.peer.public} sent bytes that do not match {job.cid}", peer=ask.record.peer.public)
        lie.__cause__ = error
        self._unserved(job, ask, lie)
        ask.lied(str(lie))
        self._tell(events.Lied(trio.current_time(), ask.record.peer.public, job.cid, str(lie)))
        self._poke_tree()

    def _unserved(self, job: Waiting, ask: Ask, error: PeerError) -> None:
        self._over(job, ask, wasted=ask.received)
        job.note(ask.record, error)
        job.poke()

    def _dropped(self, job: Waiting, ask: Ask) -> None:
        now = trio.current_time()
        self._over(job, ask, wasted=ask.received)
        seconds = ask.dropped(now)
        public = ask.record.peer.public
        self._tell(events.Dropped(now, public, job.cid, ask.received))
        if seconds:
            self._tell(events.Rested(now, public, seconds, ask.record.reason or ""))
            self._poke_tree()

    def _over(self, job: Waiting, ask: Ask, *, wasted: int) -> None:
        job.asks.remove(ask)
        self._freed = True
        self.session.account.request_ends(wasted)

    def _poke_tree(self) -> None:
        """A peer has become worse: jobs that counted on it look again, those of other sessions in the tree, too."""
        for fetcher in _TREE.of(self.session.root):
            for job in fetcher._jobs:  # noqa: SLF001
                job.poke()

    def end(self) -> None:
        """The session ends: what its peers lack and who lied is known above from now on."""
        del _TREE.of(self.session.root)[self]
        self._poke_tree()

    def _tell(self, event: events.Event) -> None:
        if self.session.hooks:
            self.session.hooks.tell(event)


def _own_transport(peer: HasUrl) -> Transport:
    if callable(getattr(peer, "block", None)) and hasattr(peer, "can"):
        return cast("Transport", peer)
    raise TypeError(f"{peer!r} has a url but is no Transport; give its address as text instead")


_TREE: Slot[dict[Fetcher, None]] = Slot("fetchers", make=lambda _: {})


def _make(s: Session) -> Fetcher:
    fetcher = Fetcher(s, LEDGER.of(s))
    _TREE.of(s.root)[fetcher] = None
    return fetcher


FETCHER: Slot[Fetcher] = Slot("fetch", make=_make, end=Fetcher.end)


def _pump_tree(s: Session) -> None:
    """Hand out work in every session of the tree: they share the peers' windows and the limits."""
    tree = _TREE.of(s.root)
    for fetcher in tuple(tree):
        if fetcher.pump():
            tree[fetcher] = tree.pop(fetcher)  # who got something comes last the next time


async def fetch(s: Session, cid: CID) -> bytes:
    """Return the verified bytes of *cid* from the best of the session's peers.

    The caller sees to it that a name is fetched once at a time (``session.share``).

    Raises:
        BlockNotFound: every peer says it does not have it.
        FetchFailed: peers could not serve; ``reasons`` lists each and why. `NoPeers` when there are none.
        InvalidPeer: an address in the session's peers is none.
        LimitReached: a budget of the session is spent.
        Unsupported: the hash function of *cid* is not known here.
    """
    return await FETCHER.of(s).get(cid)

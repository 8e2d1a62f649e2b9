"""The shell around the plan: it asks, waits and verifies, and holds no opinions.

There is no background task. Each want runs in the task of whoever leads its flight; whenever something changes, the
task where it happens lets the plan hand out work and wakes those who got some.
"""

from __future__ import annotations

from functools import partial
from typing import Final, cast

import attrs
import trio

from sessionctx.content import CID, Verifier, verify
from sessionctx.errors import (
    BadAnswer,
    BlockNotFound,
    BlockTooLarge,
    Busy,
    Denied,
    FetchFailed,
    HashMismatch,
    Lied,
    LimitReached,
    NoPeers,
    NotHere,
    PeerError,
    PeerFailed,
)
from sessionctx.fetch.hedge import HedgeBudget
from sessionctx.fetch.plan import Job, assign, look_again
from sessionctx.peers import LEDGER, Ask, Ledger, Peer, Record
from sessionctx.session import HasUrl, PeerLike, Session, Slot, events
from sessionctx.transports import Transport, open_transport

HASH_INLINE: Final = 512 * 1024
"""Bytes; hashing more than that is worth the hop to a worker thread (50 microseconds)."""
USUAL_SIZE: Final = 256 * 1024
"""Bytes; what a block is expected to have before the first one has come."""


@attrs.define(eq=False)
class _Fetch(Job):
    """A job with its waiting task."""

    cid: CID = attrs.field(kw_only=True)
    data: bytes | None = None
    error: Exception | None = None
    granted: list[Ask] = attrs.field(factory=list[Ask])
    """Requests that are decided and counted, and not sent yet."""
    changed: trio.Event = attrs.field(factory=trio.Event)

    def poke(self) -> None:
        """Let the job's own task look at it."""
        self.changed.set()


@attrs.define(eq=False)
class Fetcher:
    """Fetches blocks for one session from all of its peers."""

    session: Session
    _ledger: Ledger
    _jobs: dict[_Fetch, None] = attrs.field(factory=dict[_Fetch, None], init=False)
    _transports: dict[Record, Transport] = attrs.field(factory=dict[Record, Transport], init=False)
    _known: dict[str, PeerLike] = attrs.field(factory=dict[str, PeerLike], init=False)
    _hedges: HedgeBudget = attrs.field(factory=HedgeBudget, init=False)
    _size: float = attrs.field(default=USUAL_SIZE, init=False)

    async def get(self, cid: CID) -> bytes:
        """Return the verified bytes of *cid*."""
        Verifier(cid)  # a hash that cannot be checked here is nobody's fault but the name's
        job = _Fetch(cid.multihash, int(self._size), trio.current_effective_deadline(), cid=cid)
        self._jobs[job] = None
        try:
            async with trio.open_nursery() as nursery:
                await self._drive(job, nursery)
                nursery.cancel_scope.cancel()
        finally:
            del self._jobs[job]
            for ask in job.granted:
                self._dropped(job, ask)
            _pump_tree(self.session)
        if job.data is None:
            raise job.error or self._verdict(job)
        self._size += 0.1 * (len(job.data) - self._size)
        return job.data

    async def _drive(self, job: _Fetch, nursery: trio.Nursery) -> None:
        """Send what the plan grants to this job until it has its bytes, or no hope."""
        while job.data is None and job.error is None:
            job.changed = trio.Event()
            self._meet_peers()
            self.pump()
            while job.granted:
                nursery.start_soon(self._ask, job, job.granted.pop())
            now = trio.current_time()
            again = look_again(job, self._transports, now)
            if again is None or job.error is not None:
                return
            with trio.move_on_at(again):
                await job.changed.wait()

    def _meet_peers(self) -> None:
        """Open a transport to each peer that the session has got since the last look."""
        peers = self.session.peers
        if len(peers) == len(self._known):
            return
        for peer in peers:
            key = peer if isinstance(peer, str) else peer.url
            if key in self._known:
                continue
            transport = open_transport(peer) if isinstance(peer, str) else _own_transport(peer)
            record = self._ledger.add(Peer(transport.url, transport.public, transport.can.best_in_flight))
            self._transports.setdefault(record, transport)
            self._known[key] = peer

    def pump(self) -> None:
        """Hand out work: let the plan decide, count what it decided, and wake those who got something."""
        if not self._jobs or self.session.ended is not None:
            return
        now = trio.current_time()
        jobs = [job for job in self._jobs if job.data is None and job.error is None]
        grants = assign(
            jobs,
            tuple(self._transports),
            room=self.session.account.room(),
            now=now,
            hedges=self._hedges.allows(),
        )
        for grant in grants:
            job = grant.job
            assert isinstance(job, _Fetch)
            try:
                self.session.account.request_begins()
            except LimitReached as spent:
                self._tell(events.Spent(now, spent.limit))
                job.error = spent
                job.poke()
                continue
            self._hedges.spend() if grant.hedge else self._hedges.earn()
            ask = Ask.send(grant.record, job.name, job.size, now, grant.predicted)
            job.asks.append(ask)
            job.granted.append(ask)
            if self.session.hooks:
                if grant.hedge:
                    self._tell(events.Hedged(now, ask.record.peer.public, job.cid))
                self._tell(events.Asked(now, ask.record.peer.public, job.cid))
            job.poke()

    async def _ask(self, job: _Fetch, ask: Ask) -> None:
        """Ask one peer, verify what it sends, and note how it went."""
        try:
            data = await self._transports[ask.record].block(job.cid, progress=partial(self._arrived, ask))
            if len(data) < HASH_INLINE:
                verify(job.cid, data)
            else:
                await trio.to_thread.run_sync(verify, job.cid, data)
        except HashMismatch as error:
            self._lied(job, ask, error)
        except (NotHere, Denied) as error:
            self._refused(job, ask, error)
        except BlockTooLarge as error:
            self._failed(job, ask, BadAnswer(str(error), peer=ask.record.peer.public))
        except PeerError as error:
            self._failed(job, ask, error)
        except Exception as error:  # noqa: BLE001  # a fault in a transport: raised where the want is
            self._failed(job, ask, PeerFailed(f"its transport raised {error!r}", peer=ask.record.peer.public))
            job.error = error
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

    def _found(self, job: _Fetch, ask: Ask, data: bytes) -> None:
        now = trio.current_time()
        self._over(job, ask, wasted=0 if job.data is None else len(data))
        ask.found(now)
        job.data = data
        job.poke()
        if self.session.hooks:
            self._tell(events.Answered(now, ask.record.peer.public, job.cid, len(data), now - ask.began))

    def _refused(self, job: _Fetch, ask: Ask, error: PeerError) -> None:
        now = trio.current_time()
        self._unserved(job, ask, error)
        ask.missing(now)
        self._tell(events.Refused(now, ask.record.peer.public, job.cid, str(error)))

    def _failed(self, job: _Fetch, ask: Ask, error: PeerError) -> None:
        now = trio.current_time()
        self._unserved(job, ask, error)
        asked_for = error.retry_after if isinstance(error, Busy) else None
        seconds = ask.failed(str(error), now, asked_for=asked_for)
        self._tell(events.Failed(now, ask.record.peer.public, job.cid, str(error)))
        if seconds:
            self._tell(events.Rested(now, ask.record.peer.public, seconds, str(error)))
        self._poke_all()

    def _lied(self, job: _Fetch, ask: Ask, error: HashMismatch) -> None:
        lie = Lied(f"{ask.record.peer.public} sent bytes that do not match {job.cid}", peer=ask.record.peer.public)
        lie.__cause__ = error
        self._unserved(job, ask, lie)
        ask.lied(str(lie))
        self._tell(events.Lied(trio.current_time(), ask.record.peer.public, job.cid, str(lie)))
        self._poke_all()

    def _unserved(self, job: _Fetch, ask: Ask, error: PeerError) -> None:
        self._over(job, ask, wasted=ask.received)
        job.note(ask.record, error)
        job.poke()

    def _dropped(self, job: _Fetch, ask: Ask) -> None:
        now = trio.current_time()
        self._over(job, ask, wasted=ask.received)
        seconds = ask.dropped(now)
        public = ask.record.peer.public
        self._tell(events.Dropped(now, public, job.cid, ask.received))
        if seconds:
            self._tell(events.Rested(now, public, seconds, ask.record.reason or ""))
            self._poke_all()

    def _over(self, job: _Fetch, ask: Ask, *, wasted: int) -> None:
        job.asks.remove(ask)
        self.session.account.request_ends(wasted)

    def _poke_all(self) -> None:
        """A peer has become worse: jobs that counted on it look again."""
        for job in self._jobs:
            job.poke()

    def _tell(self, event: events.Event) -> None:
        if self.session.hooks:
            self.session.hooks.tell(event)

    def _verdict(self, job: _Fetch) -> Exception:
        """Build the error that says why nobody served."""
        if not self._transports:
            return NoPeers(
                f"{job.cid} is not in the store, and there is nobody to ask: "
                f"give session.begin(peers=[...]) or Node.open(peers=[...]) an address"
            )
        reasons: dict[str, Exception] = {
            record.peer.public: job.errors.get(record) or _standing(record) for record in self._transports
        }
        listed = "".join(f"\n  {peer}: {reason}" for peer, reason in reasons.items())
        if all(isinstance(reason, NotHere | Denied) for reason in reasons.values()):
            return BlockNotFound(f"no peer has {job.cid}:{listed}", reasons=reasons)
        return FetchFailed(f"no peer could serve {job.cid}:{listed}", reasons=reasons)


def _standing(record: Record) -> PeerError:
    """Why a peer was not asked for this want: what it did before."""
    public = record.peer.public
    if record.health.value == "banned":
        return Lied(record.reason or f"{public} lied before", peer=public)
    if record.reason is None:
        return NotHere(f"{public} said before that it does not have it", peer=public)
    return PeerFailed(f"{public} rests, because it failed before: {record.reason}", peer=public)


def _own_transport(peer: HasUrl) -> Transport:
    if callable(getattr(peer, "block", None)) and hasattr(peer, "can"):
        return cast("Transport", peer)
    raise TypeError(f"{peer!r} has a url but is no Transport; give its address as text instead")


_TREE: Slot[dict[Fetcher, None]] = Slot("fetchers", make=lambda _: {})


def _make(s: Session) -> Fetcher:
    fetcher = Fetcher(s, LEDGER.of(s))
    _TREE.of(s.root)[fetcher] = None
    return fetcher


def _end(fetcher: Fetcher) -> None:
    _TREE.of(fetcher.session.root).pop(fetcher, None)


FETCHER: Slot[Fetcher] = Slot("fetch", make=_make, end=_end)


def _pump_tree(s: Session) -> None:
    """Hand out work in every session of the tree: they share the peers' windows and the limits."""
    for fetcher in tuple(_TREE.of(s.root)):
        fetcher.pump()


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

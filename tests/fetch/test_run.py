"""The shell: whatever the peers do and whoever gives up, the right bytes arrive, or an error that is true."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import inf

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.errors import (
    BadAnswer,
    BlockNotFound,
    Busy,
    Denied,
    FetchFailed,
    Lied,
    NoPeers,
    NotHere,
    PeerFailed,
    SessionEnded,
    Stalled,
    Unreachable,
)
from sessionctx.fetch import FETCHER, fetch
from sessionctx.peers import LEDGER, statistics
from sessionctx.session import Limits, events
from sessionctx.session.flights import flights
from sessionctx.testing.fates import lying, raising, stalling
from sessionctx.testing.network import lone_peer
from sessionctx.transports import Can
from tests.profiles import examples

FAULTS = {
    "failed": lambda: PeerFailed("out of order"),
    "busy": lambda: Busy("later"),
    "busy for 2 s": lambda: Busy("later", retry_after=2.0),
    "busy for 10 min": lambda: Busy("later", retry_after=600.0),
    "denied": lambda: Denied("never"),
    "unreachable": lambda: Unreachable("refused"),
    "garbage": lambda: BadAnswer("what?"),
}


@attrs.frozen
class About:
    """How a peer behaves."""

    latency: float
    rate: float
    window: int
    lies: bool
    stalls_after: int | None
    fault: str
    every: int  # which of its requests meet the fault; 0 none
    lacks: frozenset[int]

    @property
    def steady(self):
        return not self.lies and self.stalls_after is None and not self.every

    @property
    def faults(self):
        if self.lies:
            yield lying()
        if self.stalls_after is not None:
            yield stalling(after=self.stalls_after)


@attrs.frozen
class Caller:
    """Somebody who wants a block, at a tick, for so many ticks at most, in one session of a tree."""

    at: int
    patience: int | None
    block: int
    branch: int


PEERS = st.lists(
    st.builds(
        About,
        latency=st.sampled_from([0.0, 0.01, 0.3, 1.0, 3.0]),
        rate=st.sampled_from([inf, 20_000.0, 2000.0]),
        window=st.integers(1, 4),
        lies=st.sampled_from([False, False, False, True]),
        stalls_after=st.sampled_from([None, None, None, 0, 2500]),
        fault=st.sampled_from(sorted(FAULTS)),
        every=st.sampled_from([0, 0, 0, 1, 2, 3]),
        lacks=st.frozensets(st.integers(0, 4), max_size=3),
    ),
    max_size=4,
)
CALLERS = st.lists(
    st.builds(
        Caller,
        at=st.integers(0, 4),
        patience=st.one_of(st.none(), st.none(), st.integers(0, 4)),
        block=st.integers(0, 4),
        branch=st.sampled_from([0, 0, 0, 1, 2]),
    ),
    min_size=1,
    max_size=10,
)
ENDS = st.tuples(*[st.one_of(st.none(), st.none(), st.integers(0, 6)) for _ in range(3)])
PARENTS = (None, 0, 1)  # a root, a fork of it, and a fork of that


class Play:
    """A pool of peers, callers in a tree of sessions, and a diary."""

    def __init__(self, block, peers, callers, ends=(None, None, None), limits=None):
        self.blocks = [block(n, size) for n, size in enumerate((0, 1, 1000, 5000, 20_000))]
        self.abouts = peers
        self.peers = [self.peer(n, about) for n, about in enumerate(peers)]
        self.callers, self.ends, self.limits = callers, ends, limits
        self.fates: dict[int, object] = {}
        self.events: list[events.Event] = []
        self.got: list[bytes] = []

    def peer(self, n, about):
        def fault(number):
            return FAULTS[about.fault]() if about.every and number % about.every == about.every - 1 else None

        return lone_peer(
            f"fake://{n}",
            [each for i, each in enumerate(self.blocks) if i not in about.lacks],
            latency=about.latency,
            rate=about.rate,
            faults=[raising(fault), *about.faults],
            can=Can(best_in_flight=about.window),
        )

    async def main(self):
        with trio.fail_after(10_000), session.begin(peers=self.peers, limits=self.limits) as root:
            root.subscribe(self.events.append)
            self.flights = flights(root)
            async with trio.open_nursery() as nursery:
                self.sessions = [root]
                for branch in (1, 2):
                    with session.use(self.sessions[PARENTS[branch]]):
                        self.sessions.append(await nursery.start(self.fork))
                for branch, tick in enumerate(self.ends):
                    if tick is not None:
                        nursery.start_soon(self.end, branch, tick)
                async with trio.open_nursery() as crowd:
                    for i, caller in enumerate(self.callers):
                        crowd.start_soon(self.call, i, caller)
                nursery.cancel_scope.cancel()
            self.check_all_is_quiet()
        return self

    async def fork(self, task_status):
        with session.fork() as s:
            task_status.started(s)
            await trio.sleep_forever()

    async def end(self, branch, tick):
        await trio.sleep(tick)
        self.sessions[branch].cancel(f"tick {tick}")

    async def call(self, i, caller):
        await trio.sleep(caller.at)
        s, cid = self.sessions[caller.branch], self.blocks[caller.block].cid
        self.fates[i] = "gave up"
        try:
            with trio.move_on_after(inf if caller.patience is None else caller.patience):
                self.fates[i] = await session.share(s, cid, partial(self.fetch, s, cid), key=cid.multihash)
        except (BlockNotFound, FetchFailed, SessionEnded) as error:
            self.fates[i] = error

    async def fetch(self, s, cid):
        data = await fetch(s, cid)
        self.got.append(data)
        return data

    # --- what must be so at the end

    def check_all_is_quiet(self):
        assert len(self.flights) == 0
        for s in self.sessions:
            assert s.statistics().in_flight == 0
            for record in LEDGER.of(s).records() if LEDGER in s.slots else ():
                assert (record.in_flight, record.line.in_flight_bytes) == (0, 0)
            if FETCHER in s.slots:
                assert not FETCHER.of(s).needs
        assert all(peer.traffic.in_flight == 0 for peer in self.peers)

    def check_fates(self):
        for i, caller in enumerate(self.callers):
            fate, wanted = self.fates[i], self.blocks[caller.block]
            if isinstance(fate, bytes):
                assert fate == wanted.data
            elif fate == "gave up":
                assert caller.patience is not None
            elif isinstance(fate, SessionEnded):
                assert any(self.ends[branch] is not None for branch in self.lineage(caller.branch))
            else:
                self.check_error(fate, caller)

    def check_error(self, error, caller):
        """An error says of each peer why, and it is true."""
        assert set(error.reasons) == {peer.url for peer in self.peers}
        for about, reason in zip(self.abouts, error.reasons.values(), strict=True):
            lacks = caller.block in about.lacks
            assert lacks or not about.steady or (caller.patience is not None and "rests" in str(reason))
            denied = about.every and about.fault == "denied"
            true = {
                NotHere: lacks or (denied and "before" in str(reason)),
                Denied: denied,
                Lied: about.lies,
                Stalled: about.stalls_after is not None,
                Unreachable: about.every and about.fault == "unreachable",
                BadAnswer: about.every and about.fault == "garbage",
                Busy: about.every and "busy" in about.fault,
                PeerFailed: "rests" in str(reason) or (about.every and about.fault == "failed"),
            }
            assert true[type(reason)]
            assert str(reason) in str(error)
        no = all(isinstance(reason, NotHere | Denied) for reason in error.reasons.values())
        if self.peers:
            assert isinstance(error, BlockNotFound) == no
            assert isinstance(error, FetchFailed) == (not no)
        else:
            assert isinstance(error, NoPeers)

    def check_accounts(self):
        """The session's account, its ledger and its events tell the same story."""
        account = self.sessions[0].statistics()
        rows = {row.url: row for row in statistics(self.sessions[0])}
        for row in rows.values():
            assert row.asked == row.found + row.missing + row.failed + row.lied + row.cancelled
        assert account.requests == sum(row.asked for row in rows.values())
        assert account.bytes == sum(row.bytes for row in rows.values())
        useful = account.bytes - account.duplicate_bytes
        answered = sum(event.bytes for event in self.events if isinstance(event, events.Answered))
        assert sum(map(len, self.got)) <= useful <= answered <= account.bytes

        told = Counter((type(event), getattr(event, "peer", None)) for event in self.events)
        for url, row in rows.items():
            assert told[events.Asked, url] == row.asked
            assert told[events.Answered, url] == row.found
            assert told[events.Refused, url] == row.missing
            assert told[events.Failed, url] == row.failed
            assert told[events.Lied, url] == row.lied
            assert told[events.Dropped, url] == row.cancelled
        for peer in self.peers:
            row = rows.get(peer.url)
            assert len(peer.asked) <= (row.asked if row else 0)

    def check_each_ask_ends_once(self):
        flying, banned, refused, most = set(), set(), set(), 0
        ends = (events.Answered, events.Refused, events.Failed, events.Lied, events.Dropped)
        for event in self.events:
            if isinstance(event, events.Asked):
                assert (event.peer, event.name) not in flying
                flying.add((event.peer, event.name))
                most = max(most, len(flying))
                if not self.forked():
                    assert event.peer not in banned
                    assert (event.peer, event.name) not in refused
            elif isinstance(event, ends):
                flying.remove((event.peer, event.name))
                if isinstance(event, events.Lied):
                    banned.add(event.peer)
                elif isinstance(event, events.Refused):
                    refused.add((event.peer, event.name))
        assert not flying
        if self.limits is not None:
            assert most <= self.limits.in_flight
        for about, peer in zip(self.abouts, self.peers, strict=True):
            assert peer.traffic.worst <= about.window

    def forked(self):
        return any(caller.branch for caller in self.callers)

    def lineage(self, branch):
        return () if branch is None else (branch, *self.lineage(PARENTS[branch]))

    def check(self):
        self.check_fates()
        self.check_accounts()
        self.check_each_ask_ends_once()


@examples(60)
@given(peers=PEERS, callers=CALLERS, ends=ENDS)
def test_everybody_gets_the_right_bytes_or_an_error_that_is_true(play, block, peers, callers, ends):
    """Whatever the peers do, whoever gives up and whichever session ends: the bytes are right, the errors are true, a
    steady peer that has a block is enough to get it, and every account adds up."""
    play(Play(block, peers, callers, ends).main).check()


@examples(40)
@given(peers=PEERS, callers=CALLERS, most=st.integers(1, 4))
def test_there_is_never_more_in_flight_than_the_limit(play, block, peers, callers, most):
    """However many want however much, the session has at most so many requests in flight, and all of it works."""
    play(Play(block, peers, callers, limits=Limits(in_flight=most)).main).check()

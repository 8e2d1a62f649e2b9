"""What a caller sees of a fetch: the bytes, or which error and when."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from sessionctx import session
from sessionctx.content import CID, MAX_BLOCK, Block
from sessionctx.errors import (
    BadAnswer,
    BlockNotFound,
    Busy,
    FetchFailed,
    InvalidPeer,
    Lied,
    LimitReached,
    NoPeers,
    NotHere,
    PeerFailed,
    SessionEnded,
    Stalled,
    Unreachable,
    Unsupported,
)
from sessionctx.fetch import fetch
from sessionctx.peers import statistics
from sessionctx.session import Limits, events
from sessionctx.testing.fates import failing, lying, raising, stalling
from sessionctx.testing.network import SimulatedPeer, lone_peer
from sessionctx.transports import Can, registry

MiB = 1024 * 1024


async def get(cid, s=None):
    s = s or session.current()
    return await session.share(s, cid, partial(fetch, s, cid), key=cid.multihash)


def row(s, peer):
    (found,) = [each for each in statistics(s) if each.url == peer.url]
    return found


@pytest.fixture
def peer(block):
    """``peer(name, n=3, **options)``: a fake that holds the first *n* blocks."""

    def peer(name="a", n=3, **options):
        return lone_peer(f"fake://{name}", [block(i) for i in range(n)], **options)

    return peer


# --- bytes


async def test_the_bytes_come_from_who_has_them(block, peer, autojump_clock):
    empty, full = peer("empty", n=0), peer("full")
    with session.begin(peers=[empty, full]) as s:
        assert await get(block(1).cid) == block(1).data
        assert row(s, empty).missing == 1
        assert row(s, full).found == 1
        assert s.statistics().requests == 2


async def test_nothing_is_asked_of_peers_that_are_not_needed(block, peer, autojump_clock):
    peers = [peer(name) for name in "abc"]
    with session.begin(peers=peers) as s:
        await get(block(0).cid)
        assert s.statistics().requests == 1
        assert s.statistics().duplicate_bytes == 0


async def test_a_lie_reaches_nobody_and_its_peer_is_asked_no_more(block, peer, autojump_clock):
    liar, honest = peer("liar", faults=[lying()]), peer("honest", latency=1.0)
    with session.begin(peers=[liar, honest]) as s:
        for n in (0, 1, 2):
            assert await get(block(n).cid) == block(n).data
        assert row(s, liar).state == "banned"
        assert (row(s, liar).lied, len(liar.asked)) == (1, 1)
        assert s.statistics().duplicate_bytes == len(block(0).data)


async def test_a_whole_pool_of_liars_is_named(block, peer, autojump_clock):
    with session.begin(peers=[peer("a", faults=[lying()]), peer("b", faults=[lying()])]):
        with pytest.raises(FetchFailed, match=r"fake://a(.|\n)*fake://b") as caught:
            await get(block(0).cid)
        assert caught.value.lied
        with pytest.raises(FetchFailed) as again:  # both are banned by now
            await get(block(1).cid)
    assert again.value.lied
    for error in (caught.value, again.value):
        assert {url: type(reason) for url, reason in error.reasons.items()} == {"fake://a": Lied, "fake://b": Lied}


async def test_an_empty_block_and_one_as_large_as_may_be(autojump_clock):
    blocks = [Block.of(b""), Block.of(bytes(MAX_BLOCK))]
    with session.begin(peers=[lone_peer("fake://a", blocks)]) as s:
        for each in blocks:
            assert await get(each.cid) == each.data
        assert s.statistics().bytes == MAX_BLOCK


async def test_a_block_that_is_too_large_is_a_bad_answer(peer, autojump_clock):
    data = bytes(MAX_BLOCK + 1)
    cid = Block.of(b"something").cid
    big = lone_peer("fake://big", [Block.vouched(cid, data)])
    with session.begin(peers=[big]) as s:
        with pytest.raises(FetchFailed) as caught:
            await get(cid)
        assert isinstance(caught.value.reasons[big.url], BadAnswer | Lied)
        assert row(s, big).found == 0


async def test_a_name_that_cannot_be_checked_here_is_nobodys_fault(peer, autojump_clock):
    only = peer()
    strange = CID.new(1, 0x55, b"\x99\x7f\x02ab")
    with session.begin(peers=[only]), pytest.raises(Unsupported):
        await get(strange)
    assert not only.asked


# --- no


async def test_not_found_means_that_every_peer_said_no(block, peer, autojump_clock):
    with session.begin(peers=[peer("a", n=0), peer("b", n=0)]) as s:
        with pytest.raises(BlockNotFound, match=r"fake://a(.|\n)*fake://b") as caught:
            await get(block(0).cid)
        assert s.statistics().missing == 1
    assert {url: type(reason) for url, reason in caught.value.reasons.items()} == {
        "fake://a": NotHere,
        "fake://b": NotHere,
    }


async def test_no_is_remembered(block, peer, autojump_clock):
    empty = peer(n=0)
    with session.begin(peers=[empty]):
        for _ in range(3):
            with pytest.raises(BlockNotFound) as caught:
                await get(block(0).cid)
            assert isinstance(caught.value.reasons[empty.url], NotHere)
    assert len(empty.asked) == 1


async def test_a_peer_that_has_nothing_is_soon_left_alone(block, peer, autojump_clock):
    """However quick its noes are, who never had what was asked is expected not to have the next block either."""
    empty, full = peer("empty", n=0, latency=0.001), peer("full", n=60, latency=0.01)
    with session.begin(peers=[empty, full]):
        for number in range(60):
            assert await get(block(number).cid) == block(number).data
    assert len(empty.asked) <= 12


async def test_no_is_told_as_such_even_by_a_peer_that_failed_before(block, peer, autojump_clock):
    """What a peer said about a block counts, not what went wrong with it otherwise."""
    shaky = peer(n=1, faults=[raising(lambda n: PeerFailed("out of order") if n == 0 else None)])
    with session.begin(peers=[shaky]):
        await get(block(0).cid)
        for _ in range(2):
            with pytest.raises(BlockNotFound):
                await get(block(5).cid)


async def test_not_found_is_not_claimed_while_one_peer_could_not_say(block, peer, autojump_clock):
    dead = peer("dead", faults=[raising(lambda _: Unreachable("refused"))])
    with session.begin(peers=[peer("a", n=0), dead]):
        with pytest.raises(FetchFailed) as caught:
            await get(block(0).cid)
    assert {url: type(reason) for url, reason in caught.value.reasons.items()} == {
        "fake://a": NotHere,
        "fake://dead": Unreachable,
    }


async def test_without_peers_the_error_says_what_to_do(block, autojump_clock):
    with session.begin(), pytest.raises(NoPeers, match=r"session\.begin\(peers=\[\.\.\.\]\)"):
        await get(block(0).cid)


# --- faults


async def test_a_peer_that_failed_is_tried_again_after_a_rest(block, peer, autojump_clock):
    only = peer(faults=[raising(lambda n: PeerFailed("out of order") if n < 3 else None)], latency=0.0)
    with session.begin(peers=[only]) as s:
        assert await get(block(0).cid) == block(0).data
        assert trio.current_time() == pytest.approx(0.25 + 0.5 + 1.0)
        assert row(s, only).failed == 3


async def test_retry_after_is_waited_for(block, peer, autojump_clock):
    only = peer(faults=[raising(lambda n: Busy("later", retry_after=7.0) if n == 0 else None)], latency=0.0)
    with session.begin(peers=[only]):
        assert await get(block(0).cid) == block(0).data
    assert trio.current_time() == pytest.approx(7.0)


async def test_another_peer_is_asked_at_once(block, peer, autojump_clock):
    broken, good = (
        peer("broken", faults=[failing()], latency=0.01),
        peer("good", latency=0.01),
    )
    with session.begin(peers=[broken, good]):
        assert await get(block(0).cid) == block(0).data
    assert trio.current_time() == pytest.approx(0.02)


async def test_a_rest_that_is_too_long_is_not_waited_for(block, peer, autojump_clock):
    only = peer(faults=[raising(lambda _: Busy("later", retry_after=3600.0))], latency=0.0)
    with session.begin(peers=[only]):
        with pytest.raises(FetchFailed) as caught:
            await get(block(0).cid)
        assert isinstance(caught.value.reasons[only.url], Busy)
        with pytest.raises(FetchFailed, match="rests"):  # and not before it was asked to
            await get(block(1).cid)
    assert trio.current_time() < 1
    assert len(only.asked) == 1


async def test_a_rest_beyond_the_callers_deadline_is_not_waited_for(block, peer, autojump_clock):
    only = peer(faults=[raising(lambda _: Busy("later", retry_after=10.0))], latency=0.0)
    with session.begin(peers=[only]):
        with trio.fail_after(9.9), pytest.raises(FetchFailed):
            await get(block(0).cid)
        assert trio.current_time() < 1


async def test_a_rest_before_the_callers_deadline_is_waited_for(block, peer, autojump_clock):
    only = peer(faults=[raising(lambda n: Busy("later", retry_after=10.0) if n == 0 else None)], latency=0.0)
    with session.begin(peers=[only]), trio.fail_after(10.1):
        assert await get(block(0).cid) == block(0).data


async def test_in_the_end_a_failing_peer_is_given_up(block, peer, autojump_clock):
    only = peer(faults=[failing()])
    with session.begin(peers=[only]), pytest.raises(FetchFailed, match="failed") as caught:
        await get(block(0).cid)
    assert isinstance(caught.value.reasons[only.url], PeerFailed)
    assert 2 <= len(only.asked) <= 5
    assert trio.current_time() < 60


async def test_a_silent_peer_is_given_up_by_its_transport(block, peer, autojump_clock):
    only = peer(faults=[stalling()])
    with session.begin(peers=[only]), pytest.raises(FetchFailed, match="nothing for 30 seconds") as caught:
        await get(block(0).cid)
    assert isinstance(caught.value.reasons[only.url], Stalled)


@pytest.mark.parametrize("after", [0, 20_000])
async def test_a_silent_peer_is_overtaken_by_another(after, block, autojump_clock):
    big = Block.of(bytes(100_000))
    silent = lone_peer("fake://silent", [big], faults=[stalling(after=after)])
    good = lone_peer("fake://good", [big])
    with session.begin(peers=[silent, good]) as s:
        assert await get(big.cid) == big.data
        assert trio.current_time() < 1
        assert row(s, silent).cancelled == 1
        assert s.statistics().duplicate_bytes == row(s, silent).bytes


async def test_a_job_is_not_kept_waiting_by_a_silent_peer_that_somebody_else_needs(block, autojump_clock):
    """One block is at the silent peer only; whoever wants another goes to the peer that answers."""
    rare, common = block(1), block(2)
    silent = lone_peer("fake://silent", [rare, common], faults=[stalling()], can=Can(best_in_flight=1))
    good = lone_peer("fake://good", [common], latency=0.3)
    with session.begin(peers=[silent]), trio.move_on_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, rare.cid)
            await trio.sleep(0.01)
            with session.begin(peers=[good]):
                began = trio.current_time()
                assert await get(common.cid) == common.data
                assert trio.current_time() - began < 3
            nursery.cancel_scope.cancel()


# --- limits


async def test_a_spent_budget_of_requests_says_so(block, peer, autojump_clock):
    told = []
    with session.begin(peers=[peer()], limits=Limits(requests=2)) as s:
        s.subscribe(told.append)
        await get(block(0).cid)
        await get(block(1).cid)
        with pytest.raises(LimitReached, match="2 requests") as caught:
            await get(block(2).cid)
        assert caught.value.limit == "requests"
        assert s.statistics().requests == 2
    assert [event.limit for event in told if isinstance(event, events.Spent)] == ["requests"]


async def test_a_spent_budget_of_bytes_says_so(block, peer, autojump_clock):
    with session.begin(peers=[peer()], limits=Limits(bytes=1500)) as s:
        await get(block(0).cid)
        await get(block(1).cid)
        with pytest.raises(LimitReached, match="1500 bytes"):
            await get(block(2).cid)
        assert s.statistics().bytes == 2000


async def test_a_spent_budget_of_seconds_says_so(block, peer, autojump_clock):
    with session.begin(peers=[peer(latency=10.0)], limits=Limits(seconds=3)):
        with pytest.raises(LimitReached, match="3 seconds"):
            await get(block(0).cid)
    assert trio.current_time() == pytest.approx(3)


async def test_what_is_under_way_when_a_budget_is_spent_still_arrives(block, peer, autojump_clock):
    """The budget allows no second request for a late block; the first one brings it all the same."""
    slow, spare = peer("slow", latency=5.0), peer("spare")
    with session.begin(peers=[slow, spare], limits=Limits(requests=1)) as s:
        assert await get(block(0).cid) == block(0).data
        assert s.statistics().requests == 1


async def test_the_budget_of_a_parent_counts_for_its_fork(block, peer, autojump_clock):
    with session.begin(peers=[peer()], limits=Limits(requests=1)), session.fork() as forked:
        await get(block(0).cid, forked)
        with pytest.raises(LimitReached):
            await get(block(1).cid, forked)


# --- ends


async def test_a_session_cancelled_midway_ends_its_requests(block, peer, autojump_clock):
    slow = peer(latency=10.0)
    outcomes = []

    async def want(n):
        try:
            await get(block(n).cid, s)
        except SessionEnded as error:
            outcomes.append(error)

    with session.begin(peers=[slow]) as s:
        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(want, n)
            await trio.sleep(1)
            s.cancel("enough")
    assert len(outcomes) == 3
    assert slow.traffic.in_flight == 0
    assert trio.current_time() == 1
    account = s.statistics()
    assert (account.cancelled, account.open, account.in_flight) == (3, 0, 0)
    assert row(s, slow).cancelled == row(s, slow).asked


async def test_a_fork_that_ends_midway_leaves_the_others_alone(block, peer, autojump_clock):
    slow = peer(latency=1.0)

    async def want_in_a_fork():
        with session.fork() as forked, pytest.raises(SessionEnded):
            async with trio.open_nursery() as inner:
                inner.start_soon(cancel_soon, forked)
                try:
                    await get(block(0).cid, forked)
                except SessionEnded as error:
                    outcomes.append(error)
            session.current()

    async def cancel_soon(forked):
        await trio.sleep(0.5)
        forked.cancel("changed its mind")

    outcomes = []
    with session.begin(peers=[slow]) as s:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(want_in_a_fork)
            await trio.sleep(0.1)
            assert await get(block(0).cid, s) == block(0).data
            assert trio.current_time() == pytest.approx(1.5)  # it led from when the fork had ended
        assert len(outcomes) == 1
        assert (row(s, slow).asked, row(s, slow).found, row(s, slow).cancelled) == (2, 1, 1)
        assert s.statistics().in_flight == 0


# --- sharing


async def test_callers_who_want_the_same_share_one_fetch(block, peer, autojump_clock):
    only, got = peer(), []

    async def want():
        got.append(await get(block(0).cid, s))

    with session.begin(peers=[only]) as s:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(want)
        assert got == [block(0).data] * 10
        assert len(only.asked) == 1
        account = s.statistics()
        assert (account.wants, account.found, account.joined, account.requests) == (10, 10, 9, 1)


async def test_one_callers_patience_is_not_anothers(block, peer, autojump_clock):
    """The peer rests for longer than the first caller waits; the second one, who has time, gets the block."""
    got = []

    async def want(patience):
        with trio.move_on_after(patience):
            try:
                got.append(await get(block(0).cid, s))
            except FetchFailed as error:
                got.append(error)

    only = peer(faults=[raising(lambda n: Busy("later", retry_after=10.0) if n == 0 else None)], latency=1.0)
    with session.begin(peers=[only]) as s:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(want, 5.0)
            await trio.sleep(0.5)
            nursery.start_soon(want, 60.0)
    assert isinstance(got[0], FetchFailed)
    assert got[1] == block(0).data


async def test_the_peers_of_who_joins_are_asked_too(block, peer, autojump_clock):
    early, late = peer("early", n=1), peer("late")
    with session.begin(peers=[early]):
        await get(block(0).cid)
        with pytest.raises(BlockNotFound):
            await get(block(2).cid)
        with session.begin(peers=[late]):
            assert await get(block(2).cid) == block(2).data
        assert await get(block(1).cid) == block(1).data


async def test_who_joins_a_fetch_brings_its_peers_along(block, peer, autojump_clock):
    """Two callers share one fetch, and only the second one's peer has the block: both get it."""
    got = []

    async def want(*peers):
        with session.begin(peers=peers):
            got.append(await get(block(0).cid))

    with session.begin(peers=[peer("empty", n=0, latency=1.0)]):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(want)
            await trio.sleep(0.9)
            nursery.start_soon(want, peer("full"))
    assert got == [block(0).data] * 2


async def test_a_fetch_that_waits_gets_the_peers_of_who_comes_later(block, peer, autojump_clock):
    """The first caller's only peer rests; a second caller brings one that serves both."""
    busy = peer("busy", faults=[raising(lambda _: Busy("later", retry_after=50.0))])
    with session.begin(peers=[busy]) as s:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, block(0).cid)
            await trio.sleep(1)
            with session.begin(peers=[peer("good")]):
                await get(block(1).cid)
        assert trio.current_time() < 3
        assert row(s, busy).asked == 1


async def test_the_peers_of_a_fork_are_not_its_parents(block, peer, autojump_clock):
    with session.begin(peers=[peer("a", n=0)]):
        with session.fork(peers=[peer("b")]) as forked:
            assert await get(block(0).cid, forked) == block(0).data
        with pytest.raises(BlockNotFound) as caught:
            await get(block(0).cid)
    assert set(caught.value.reasons) == {"fake://a"}


# --- peers, as addresses and as objects


@pytest.fixture
def scheme(monkeypatch, peer):
    """Makes ``fake://...`` an address that can be opened, like one of an installed transport."""
    opened = []

    def open_fake(url):
        opened.append(url)
        return peer(url.removeprefix("fake://"))

    monkeypatch.setitem(registry._factories, "fake", open_fake)
    return opened


async def test_addresses_are_opened_once(block, scheme, autojump_clock):
    with session.begin(peers=["fake://a", "fake://b"]) as s:
        for n in range(3):
            assert await get(block(n).cid) == block(n).data
        assert scheme == ["fake://a", "fake://b"]
        assert {each.url for each in statistics(s)} == {"fake://a", "fake://b"}


async def test_two_spellings_of_an_address_are_one_peer(block, peer, monkeypatch, autojump_clock):
    monkeypatch.setitem(registry._factories, "fake", lambda url: peer("a"))
    with session.begin(peers=["fake://a", "fake://A/"]) as s:
        await get(block(0).cid)
        assert len(statistics(s)) == 1


@pytest.mark.parametrize("address", ["not an address", "gopher://a.example", "http://"])
async def test_a_bad_address_is_named(address, block, peer, autojump_clock):
    with session.begin(peers=[peer(), address]):
        with pytest.raises(InvalidPeer, match=address):
            await get(block(0).cid)
        with pytest.raises(InvalidPeer, match=address):
            await get(block(0).cid)


async def test_something_with_an_address_that_cannot_be_asked_is_a_type_error(block, autojump_clock):
    class Thing:
        url = "thing://"

    with session.begin(peers=[Thing()]), pytest.raises(TypeError, match="no public, endpoint, can, block: see"):
        await get(block(0).cid)


async def test_a_fault_in_a_transport_of_ones_own_surfaces_plainly(block, autojump_clock):
    class Broken(SimulatedPeer):
        async def block(self, cid, *, progress=None):
            await trio.lowlevel.checkpoint()
            raise ZeroDivisionError("in my own transport")

    with session.begin(peers=[lone_peer("fake://mine", kind=Broken)]) as s:
        with pytest.raises(ZeroDivisionError, match="in my own transport"):
            await get(block(0).cid)
        assert s.statistics().failed == 1
        assert s.statistics().in_flight == 0


async def test_a_transport_that_tells_no_progress_is_accounted_all_the_same(block, autojump_clock):
    class Quiet(SimulatedPeer):
        async def block(self, cid, *, progress=None):
            return await super().block(cid)

    quiet = lone_peer("fake://quiet", [block(0)], kind=Quiet)
    with session.begin(peers=[quiet]) as s:
        await get(block(0).cid)
        assert (s.statistics().bytes, s.statistics().duplicate_bytes, row(s, quiet).bytes) == (1000, 0, 1000)


async def test_a_transport_that_gladly_takes_none_still_serves(block, autojump_clock):
    shy = lone_peer("fake://shy", [block(0), block(1)], can=Can(best_in_flight=0))
    with session.begin(peers=[shy]):
        for n in (0, 1):
            assert await get(block(n).cid) == block(n).data


async def test_large_blocks_are_verified_too(autojump_clock):
    """Those are hashed in a worker thread."""
    large = Block.of(bytes(MiB))
    with session.begin(peers=[lone_peer("fake://liar", [large], faults=[lying()])]):
        with pytest.raises(FetchFailed) as caught:
            await get(large.cid)
    assert caught.value.lied


async def test_secrets_stay_out_of_errors_and_events(block, autojump_clock):
    class Guarded(SimulatedPeer):
        @property
        def public(self):
            return "https://gate.example"

    told = []
    guarded = lone_peer("https://user:secret@gate.example", faults=[failing()], kind=Guarded)
    with session.begin(peers=[guarded]) as s:
        s.subscribe(told.append)
        with pytest.raises(FetchFailed) as caught:
            await get(block(0).cid)
        shown = str(caught.value) + repr(caught.value) + repr(told) + repr(statistics(s)) + repr(s)
    assert "secret" not in shown
    assert "https://gate.example" in str(caught.value)


async def test_a_transport_that_lets_an_error_of_the_system_out_has_failed(block, peer, autojump_clock):
    class Pulled(SimulatedPeer):
        async def block(self, cid, *, progress=None):
            await trio.lowlevel.checkpoint()
            raise OSError("pulled")

    bad, good = lone_peer("fake://bad", kind=Pulled), peer("good")
    with session.begin(peers=[bad, good]) as s:
        assert await get(block(0).cid) == block(0).data
        assert row(s, bad).failed == 1


async def test_peers_that_differ_in_secrets_only_keep_their_reasons(block, autojump_clock):
    """One lacks it, the other failed: so it is not known to be absent."""

    class Masked(SimulatedPeer):
        public = "fake://same"

    empty = lone_peer("fake://a@same", kind=Masked)
    broken = lone_peer("fake://b@same", faults=[failing()], kind=Masked)
    with session.begin(peers=[empty, broken]):
        with pytest.raises(FetchFailed) as caught:
            await get(block(0).cid)
    assert {type(reason) for reason in caught.value.reasons.values()} == {NotHere, PeerFailed}


async def test_a_fork_gets_its_turn_while_its_parent_is_busy(autojump_clock):
    blocks = [Block.of(b"%d" % number) for number in range(400)]
    served = lone_peer("fake://a", blocks, latency=0.1)
    with session.begin(peers=[served]):
        async with trio.open_nursery() as nursery:
            for each in blocks[1:]:
                nursery.start_soon(get, each.cid)
            await trio.sleep(0.35)
            began = trio.current_time()
            with session.fork() as child:
                await get(blocks[0].cid, child)
            assert trio.current_time() - began < 1.0
            nursery.cancel_scope.cancel()


async def test_large_blocks_are_verified_though_all_threads_wait_for_them():
    blocks = [Block.of(bytes([number]) * 600_000) for number in range(41)]
    with session.begin(peers=[lone_peer("fake://a", blocks)]), trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for each in blocks:
                nursery.start_soon(trio.to_thread.run_sync, partial(trio.from_thread.run, get, each.cid))

"""The simulated network is what it says: its rates, latencies and faults, and the same ones for the same seed."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.content import CID, Block, verify
from sessionctx.errors import (
    BadAnswer,
    Busy,
    CarTruncated,
    HashMismatch,
    NotHere,
    PeerError,
    PeerFailed,
    Stalled,
    Unreachable,
)
from sessionctx.testing import fates, samples
from sessionctx.testing.chance import coin, dice, draw, harmonic_mean, lognormal, uniform
from sessionctx.testing.fates import Fate
from sessionctx.testing.line import Line
from sessionctx.testing.network import Network, simulate
from sessionctx.testing.transport import Told
from sessionctx.transports import Can, Transport
from tests.profiles import examples

KiB = 1024
BLOCKS = samples.blocks(8, 32 * KiB)
FILE = samples.file(20 * 1000, chunk=1000, width=4)
FLAT = samples.folder(30, 100)
HAMT = samples.folder(300, 100, sharded=True)
INSTANT = {"latency": 0.0, "rate": float("inf")}


def network_with(*faults, blocks=BLOCKS, seed=0, **options):
    network = Network(blocks, seed=seed)
    return network, network.peer("a", faults=faults, **options)


async def outcome(peer, block, heard=None):
    """What becomes of one request, and when."""
    try:
        data = await peer.block(block.cid, progress=heard)
    except PeerError as error:
        assert error.peer == "sim://a" or peer.url != "sim://a"
        return type(error), trio.current_time()
    return ("right" if data == block.data else "wrong"), trio.current_time()


async def read(peer, cid, **options):
    """The blocks of a CAR, and how it ended."""
    found = []
    try:
        async with peer.car(cid, **options) as answer:
            async for pair in answer:
                found.append(pair)
    except (PeerError, CarTruncated) as error:
        return found, type(error)
    return found, None


async def all_at_once(*calls):
    """The results of async functions that run at the same time, and when each was done."""
    ends = [None] * len(calls)

    async def one(n, call):
        ends[n] = await call(), trio.current_time()

    async with trio.open_nursery() as nursery:
        for n, call in enumerate(calls):
            nursery.start_soon(one, n, call)
    return ends


# --- time


def test_a_simulated_peer_is_a_transport():
    _, peer = network_with(can=Can())
    transport: Transport = peer
    assert (transport.url, transport.public, transport.can) == ("sim://a", "sim://a", Can())


async def test_an_answer_takes_latency_and_size_over_rate(autojump_clock):
    network, peer = network_with(latency=0.5, rate=32 * KiB)
    heard = Told()
    assert await outcome(peer, BLOCKS[0], heard) == ("right", 1.5)
    assert heard.total == 32 * KiB == network.traffic.bytes
    assert len(heard.sizes) > 1


async def test_the_first_requests_pay_for_their_connections(autojump_clock):
    _, peer = network_with(latency=1.0, connect=10.0, rate=float("inf"))
    assert await outcome_at(peer) == 11.0
    assert await outcome_at(peer) == 12.0  # the connection is still there
    ends = await all_at_once(lambda: outcome_at(peer), lambda: outcome_at(peer))
    assert sorted(end for end, _ in ends) == [13.0, 23.0]  # and one more is made


async def outcome_at(peer):
    return (await outcome(peer, BLOCKS[0]))[1]


async def test_answers_of_one_peer_share_its_line(autojump_clock):
    network, peer = network_with(latency=1.0, rate=32 * KiB)
    ends = await all_at_once(*(lambda n=n: outcome(peer, BLOCKS[n]) for n in range(4)))
    assert max(end for _, end in ends) == pytest.approx(1.0 + 4)
    assert min(end for _, end in ends) > 3  # piece by piece, in turns
    assert (peer.traffic.worst, peer.traffic.in_flight) == (4, 0)
    assert network.seconds_at_line_rate(4 * 32 * KiB) == 4.0


async def test_peers_on_one_line_are_no_faster_than_one(autojump_clock):
    network, line = Network(BLOCKS), Line(32 * KiB)
    twins = [network.peer(name, latency=0.0, line=line) for name in "ab"]
    ends = await all_at_once(*(lambda peer=peer: outcome(peer, BLOCKS[0]) for peer in twins))
    assert max(end for _, end in ends) == pytest.approx(2.0)
    assert network.seconds_at_line_rate(64 * KiB) == 2.0
    assert line.sent == 64 * KiB


async def test_all_peers_share_the_line_of_who_asks(autojump_clock):
    network = Network(BLOCKS, line=Line(32 * KiB))
    fast = [network.peer(name, **INSTANT) for name in "ab"]
    ends = await all_at_once(*(lambda peer=peer: outcome(peer, BLOCKS[0]) for peer in fast))
    assert max(end for _, end in ends) == pytest.approx(2.0)
    assert network.seconds_at_line_rate(64 * KiB) == 2.0


async def test_a_rate_that_is_changed_counts_from_then_on(autojump_clock):
    _, peer = network_with(latency=0.0, rate=32 * KiB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome, peer, BLOCKS[0])
        await trio.sleep(0.3)
        peer.line.rate = 1 * KiB
    assert trio.current_time() == 0.5 + 16  # one piece was on its way


async def test_a_peer_in_bigger_pieces_takes_as_long(autojump_clock):
    _, peer = network_with(latency=0.0, rate=32 * KiB, chunk=1024 * KiB)
    heard = Told()
    assert await outcome(peer, BLOCKS[0], heard) == ("right", 1.0)
    assert heard.sizes == [32 * KiB]


async def test_a_cancelled_request_leaves_nothing_behind(autojump_clock):
    _, peer = network_with(latency=0.0, rate=32 * KiB)
    with trio.move_on_after(0.1):
        await outcome(peer, BLOCKS[0])
    assert peer.traffic.in_flight == 0
    assert (await outcome(peer, BLOCKS[1]))[1] <= 0.1 + 0.5 + 1.0


def test_the_bound_is_that_of_the_lines_of_healthy_peers():
    network, line = Network(BLOCKS), Line(10.0)
    network.peer("a", line=line)
    network.peer("b", line=line)
    network.peer("c", rate=20.0)
    network.peer("d", rate=70.0, faults=[fates.failing(0.1)])
    assert network.seconds_at_line_rate(300) == 10.0
    assert network.seconds_at_line_rate(300, network.peers) == 3.0
    assert network.seconds_at_line_rate(300, []) == float("inf")


# --- chance


@given(st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_a_coin_falls_as_often_as_it_should(share, seed):
    names = [n.to_bytes(8) for n in range(2000)]
    assert sum(coin(share, seed, name) for name in names) / 2000 == pytest.approx(share, abs=0.06)


def test_distributions_have_the_form_they_say():
    random = Random(1)
    flat = [draw(uniform(1.0, 3.0), random) for _ in range(2000)]
    assert 1.0 <= min(flat) < 1.1 < 2.9 < max(flat) <= 3.0
    long = sorted(draw(lognormal(2.0, 0.5), random) for _ in range(2000))
    assert long[1000] == pytest.approx(2.0, rel=0.1)
    assert long[1900] == pytest.approx(2.0 * 2.28, rel=0.1)
    assert draw(lambda _: -1.0, random) == 0.0
    assert draw(0.5, random) == 0.5


def test_rates_are_averaged_by_the_time_that_bytes_take():
    assert harmonic_mean(5.0) == 5.0
    assert harmonic_mean(lambda random: random.choice([1.0, 3.0])) == pytest.approx(1.5, rel=0.1)


def test_dice_depend_on_what_they_are_for_alone():
    assert dice(1, "a", b"x").random() == dice(1, "a", b"x").random()
    assert len({dice(*key).random() for key in [(1, "a"), (2, "a"), (1, "b"), (1, "a", 0)]}) == 4


ODD = [
    fates.lying(0.3),
    fates.failing(0.2),
    fates.late(0.3, seconds=2.0),
    fates.stalling(0.2, after=5000, seconds=3.0),
    fates.resetting(0.1, after=20000),
]


def play(seed, others, order):
    """What becomes of each request to one peer: one after another, in this *order*, with other peers around."""

    async def main():
        network = Network(BLOCKS, seed=seed)
        for n in range(others):
            network.peer(f"other {n}", faults=ODD, latency=lognormal(0.1, 1.0))
        peer = network.peer("a", faults=ODD, latency=lognormal(0.1, 1.0), rate=uniform(1000, 10000))
        results = {}
        for times in range(3):
            for n in order:
                began = trio.current_time()
                what, end = await outcome(peer, BLOCKS[n])
                results[n, times] = what, round(end - began, 6)
        return results

    return simulate(main)


@examples(20)
@given(st.integers(), st.integers(0, 3), st.permutations(range(8)))
def test_a_request_is_answered_the_same_whoever_else_is_there_and_whatever_comes_first(seed, others, order):
    """The n-th request for one name to one peer depends on the seed, and on nothing else."""
    assert play(seed, others, order) == play(seed, 0, range(8))


def test_another_seed_is_another_network():
    assert play(1, 0, range(8)) != play(2, 0, range(8))


def test_what_is_shuffled_or_drawn_for_all_does_not_depend_on_what_came_before():
    def play(warm_up):
        async def main():
            network = Network(blocks=FILE.blocks, seed=1, line=Line(uniform(1000, 10_000)))
            peer = network.peer("a", order="unk", repeats=0.3, strays=BLOCKS[:2], latency=0.0)
            for n in range(warm_up):
                await read(peer, FILE.blocks[n].cid)
                await outcome(peer, FILE.blocks[n])
            began = trio.current_time()
            found, _ = await read(peer, FILE.root)
            middle = trio.current_time()
            await outcome(peer, FILE.blocks[9])
            return found, round(middle - began, 6), round(trio.current_time() - middle, 6)

        return simulate(main)

    assert play(0) == play(3)


def test_a_seed_decides_who_is_first_and_leaves_trio_as_it_was():
    def order(seed):
        came = []

        async def racer(n):
            await trio.sleep(1)
            came.append(n)

        async def main():
            async with trio.open_nursery() as nursery:
                for n in range(20):
                    nursery.start_soon(racer, n)

        simulate(main, seed=seed)
        return came

    state = trio._core._run._r.getstate()
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(5)}) == 5
    assert trio._core._run._r.getstate() == state


# --- faults


async def outcomes(peer, count=200):
    return [(await outcome(peer, BLOCKS[n % 8]))[0] for n in range(count)]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (fates.lying, "wrong"),
        (fates.losing, Stalled),
        (fates.stalling, Stalled),
        (fates.resetting, PeerFailed),
        (fates.truncating, PeerFailed),
        (fates.failing, PeerFailed),
        (fates.refusing, Unreachable),
        (fates.busy, Busy),
    ],
)
async def test_a_fault_happens_as_often_as_it_should(fault, seen, autojump_clock):
    for share, times in ((0.0, 0), (0.3, pytest.approx(60, abs=25)), (1.0, 200)):
        found = await outcomes(network_with(fault(share))[1])
        assert found.count(seen) == times
        assert found.count("right") == 200 - found.count(seen)


async def test_silence_ends_when_nobody_waits_any_longer(autojump_clock):
    for fault in (fates.losing(), fates.stalling(after=0)):
        began = trio.current_time()
        _, peer = network_with(fault, patience=5.0, latency=0.0)
        what, end = await outcome(peer, BLOCKS[0])
        assert (what, end - began) == (Stalled, 5.0)


async def test_an_answer_stalls_after_so_many_bytes_and_goes_on(autojump_clock):
    _, peer = network_with(fates.stalling(after=20_000, seconds=3.0), **INSTANT)
    heard = Told()
    assert await outcome(peer, BLOCKS[0], heard) == ("right", 3.0)
    assert heard.sizes == [16 * KiB, 20_000 - 16 * KiB, 32 * KiB - 20_000]
    _, peer = network_with(fates.stalling(after=20_000), **INSTANT)
    heard = Told()
    assert (await outcome(peer, BLOCKS[0], heard))[0] == Stalled
    assert heard.total == 20_000 == peer.traffic.bytes


@pytest.mark.parametrize("fault", [fates.truncating, fates.resetting])
@pytest.mark.parametrize("after", [0, 1, 16 * KiB, 20_000])
async def test_an_answer_ends_after_so_many_bytes(fault, after, autojump_clock):
    _, peer = network_with(fault(after=after))
    heard = Told()
    assert (await outcome(peer, BLOCKS[0], heard))[0] == PeerFailed
    assert heard.total == after


async def test_what_ends_before_its_fault_is_whole(autojump_clock):
    for fault in (fates.truncating(after=32 * KiB), fates.resetting(after=32 * KiB), fates.stalling(after=32 * KiB)):
        assert (await outcome(network_with(fault)[1], BLOCKS[0]))[0] == "right"


async def test_some_answers_are_late(autojump_clock):
    _, peer = network_with(fates.late(0.5, seconds=7.0), latency=1.0, rate=float("inf"))
    ends = []
    for n in range(40):
        began = trio.current_time()
        await outcome(peer, BLOCKS[n % 8])
        ends.append(trio.current_time() - began)
    assert set(ends) == {1.0, 8.0}


async def test_a_busy_peer_says_when_to_come_back(autojump_clock):
    for retry_after in (None, 2.5):
        _, peer = network_with(fates.busy(retry_after=retry_after))
        with pytest.raises(Busy) as caught:
            await peer.block(BLOCKS[0].cid)
        assert (caught.value.retry_after, caught.value.peer) == (retry_after, "sim://a")


async def test_a_fault_holds_for_a_time(autojump_clock):
    _, peer = network_with(fates.during(fates.busy(), since=1.0, until=2.0), latency=0.0)
    await trio.sleep(100)  # time counts from the first request
    assert (await outcome(peer, BLOCKS[0]))[0] == "right"
    await trio.sleep_until(101)
    assert (await outcome(peer, BLOCKS[0]))[0] == Busy
    await trio.sleep_until(102)
    assert (await outcome(peer, BLOCKS[0]))[0] == "right"


async def test_too_many_at_a_time_are_sent_away(autojump_clock):
    _, peer = network_with(fates.crowded(2, retry_after=1.0))
    ends = await all_at_once(*(lambda: outcome(peer, BLOCKS[0]) for _ in range(5)))
    assert sorted(str(what) for (what, _), _ in ends).count("right") == 2


async def test_a_peer_comes_and_goes(autojump_clock):
    _, peer = network_with(fates.churning(joins=1.0, leaves=3.0), latency=0.0, rate=32 * KiB)
    assert (await outcome(peer, BLOCKS[0]))[0] == Unreachable
    await trio.sleep_until(1.0)
    assert await outcome(peer, BLOCKS[0]) == ("right", 2.0)
    await trio.sleep_until(2.5)
    assert await outcome(peer, BLOCKS[0]) == (PeerFailed, 3.0)
    assert (await outcome(peer, BLOCKS[0]))[0] == Unreachable


async def test_faults_add_up(autojump_clock):
    faults = [fates.late(seconds=1.0), fates.late(seconds=2.0), fates.lying(), fates.stalling(after=9, seconds=4.0)]
    assert await outcome(network_with(*faults, **INSTANT)[1], BLOCKS[0]) == ("wrong", 7.0)
    faults = [fates.busy(), fates.failing()]  # the first one speaks
    assert (await outcome(network_with(*faults)[1], BLOCKS[0]))[0] == Busy


async def test_anybody_can_write_a_fault(autojump_clock):
    seen = []

    def fault(asked, fate):
        seen.append(asked)
        if asked.number % 2:
            fate.error = NotHere("will not tell")

    _, peer = network_with(fault)
    assert [(await outcome(peer, BLOCKS[n]))[0] for n in range(3)] == ["right", NotHere, "right"]
    assert [(asked.what, asked.cid, asked.in_flight) for asked in seen] == [
        ("block", BLOCKS[n].cid, 1) for n in range(3)
    ]
    assert Fate() == Fate(error=None, lies=0.0)


# --- what a peer has


async def test_a_peer_has_what_it_was_given(autojump_clock):
    network = Network(BLOCKS[:4], seed=3)
    everything, some = network.peer("all"), network.peer("some", BLOCKS[2:6])
    even = network.peer("even", lambda cid: cid in {block.cid for block in BLOCKS[::2]})
    network.add(BLOCKS[6:])
    held = [[peer.find(block.cid) is not None for block in BLOCKS] for peer in (everything, some, even)]
    assert held == [[True] * 8, [2 <= n < 6 for n in range(8)], [n % 2 == 0 for n in range(8)]]
    with pytest.raises(NotHere, match="sim://some"):
        await some.block(BLOCKS[0].cid)
    inline = Block.of(b"in the name", hash=0)
    assert await some.block(inline.cid) == b"in the name"


def test_shares_differ_from_peer_to_peer_and_not_from_run_to_run():
    def held(seed):
        network = Network(many, seed=seed)
        peers = [network.peer(str(n), 0.25) for n in range(3)]
        return [frozenset(block.cid for block in many if peer.find(block.cid)) for peer in peers]

    many = samples.blocks(1000, 8)
    assert held(5) == held(5)
    assert len({*held(5), *held(6)}) == 6
    assert all(200 < len(each) < 300 for each in held(5))


def test_names_are_used_once():
    network, _ = network_with()
    with pytest.raises(ValueError, match="'a'"):
        network.peer("a")


# --- CARs


def contents(found):
    for cid, data in found:
        verify(cid, data)
    return [cid for cid, _ in found]


async def test_a_car_holds_the_dag_depth_first_and_each_block_once(autojump_clock):
    _, peer = network_with(blocks=FILE.blocks)
    found, end = await read(peer, FILE.root)
    cids = contents(found)
    assert end is None
    assert cids[0] == FILE.root
    assert sorted(cids) == sorted(block.cid for block in FILE.blocks)
    leaves = [data for cid, data in found if len(data) == 1000]
    assert b"".join(leaves) == FILE.data


@pytest.mark.parametrize("sample", [FLAT, HAMT], ids=["flat", "hamt"])
async def test_a_car_follows_a_path_and_keeps_to_its_scope(sample, autojump_clock):
    _, peer = network_with(blocks=sample.blocks)
    wanted = CID.of(sample.files["7"])
    for scope in ("block", "entity", "all"):
        cids = contents((await read(peer, sample.root, path="7", scope=scope))[0])
        assert (cids[0], cids[-1]) == (sample.root, wanted)
        assert len(cids) <= 4
    one, entity, everything = [
        contents((await read(peer, sample.root, scope=scope))[0]) for scope in ("block", "entity", "all")
    ]
    assert one == [sample.root]
    assert set(entity) == {block.cid for block in sample.blocks if block.cid.codec != 0x55}
    assert set(everything) == {block.cid for block in sample.blocks}
    assert await read(peer, sample.root, path="nobody") == ([], NotHere)


async def test_who_gives_up_while_a_car_is_made_takes_nothing_from_others(autojump_clock):
    _, peer = network_with(blocks=FILE.blocks, latency=0.0)
    for turns in range(6):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, peer, FILE.root)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    with session.begin() as s:
        found, end = await read(peer, FILE.root)
    assert (len(found), end) == (len(FILE.blocks), None)
    assert s.statistics().wants == peer.traffic.in_flight == 0


async def test_a_car_of_a_span_holds_what_it_touches(autojump_clock):
    _, peer = network_with(blocks=FILE.blocks)
    found, _ = await read(peer, FILE.root, span="3500:5200")
    leaves = [data for _, data in found if len(data) == 1000]
    assert b"".join(leaves) == FILE.data[3000:6000]
    assert (await read(peer, FILE.root, span="x"))[1] == BadAnswer


async def test_a_car_comes_at_the_rate_of_the_line(autojump_clock):
    network, peer = network_with(blocks=FILE.blocks, latency=1.0, rate=1000.0)
    heard = Told()
    found, _ = await read(peer, FILE.root, progress=heard)
    size = sum(len(data) for _, data in found)
    assert heard.total == network.traffic.bytes
    assert size < heard.total < size + 45 * len(found) + 100
    assert trio.current_time() == pytest.approx(1.0 + heard.total / 1000)
    assert (network.traffic.cars, network.traffic.blocks) == (1, 0)


async def test_the_blocks_of_a_car_come_as_soon_as_they_are_whole(autojump_clock):
    _, peer = network_with(blocks=FILE.blocks, latency=0.0, rate=1000.0, chunk=100)
    moments = []
    async with peer.car(FILE.root) as answer:
        assert answer.roots is None
        async for _ in answer:
            moments.append(trio.current_time())
        assert answer.roots == (FILE.root,)
        assert (answer.order, answer.dups) == ("dfs", False)
    assert moments[0] < 0.6
    assert max(after - before for before, after in pairwise(moments)) < 1.5


async def test_a_car_ends_where_the_peer_lacks_a_block(autojump_clock):
    _, whole = network_with(blocks=FILE.blocks)
    order = contents((await read(whole, FILE.root))[0])
    for n, missing in enumerate(order):
        network = Network(FILE.blocks)
        peer = network.peer("a", lambda cid, missing=missing: cid != missing)
        found, end = await read(peer, FILE.root)
        assert contents(found) == order[:n]
        assert end is (CarTruncated if n else NotHere)


async def test_a_car_ends_where_nobody_has_the_next_block(autojump_clock):
    _, peer = network_with(blocks=FILE.blocks)
    order = contents((await read(peer, FILE.root))[0])
    _, peer = network_with(blocks=[block for block in FILE.blocks if block.cid != order[9]])
    found, end = await read(peer, FILE.root)
    assert (contents(found), end) == (order[:9], CarTruncated)


async def test_without_the_way_there_is_no_car(autojump_clock):
    shards = [block.cid for block in HAMT.blocks if block.cid.codec != 0x55]
    network = Network(HAMT.blocks)
    for n, missing in enumerate(shards):
        peer = network.peer(f"lacks {n}", lambda cid, missing=missing: cid != missing)
        whole, _ = await read(network.peer(f"whole {n}"), HAMT.root, path="7")
        found, end = await read(peer, HAMT.root, path="7")
        on_the_way = missing in dict(whole)
        assert (len(found), end) == ((0, NotHere) if on_the_way else (len(whole), None))


async def test_a_car_in_another_order_with_repeats_and_strays(autojump_clock):
    strays = BLOCKS[:3]
    _, peer = network_with(blocks=FILE.blocks, order="unk", repeats=0.5, strays=strays)
    found, end = await read(peer, FILE.root)
    cids = contents(found)
    assert end is None
    assert set(cids) == {block.cid for block in (*FILE.blocks, *strays)}
    assert len(FILE.blocks) * 1.2 < len(cids) - 3 < len(FILE.blocks) * 1.8
    _, plain = network_with(blocks=FILE.blocks)
    assert list(dict.fromkeys(cids)) != contents((await read(plain, FILE.root))[0])
    async with peer.car(FILE.root) as answer:
        assert (answer.order, answer.dups) == ("unk", True)


async def test_who_sends_no_cars_says_so(autojump_clock):
    _, peer = network_with(fates.without_cars(), blocks=FILE.blocks)
    assert await read(peer, FILE.root) == ([], BadAnswer)
    assert (await outcome(peer, FILE.blocks[0]))[0] == "right"
    _, peer = network_with(can=Can(car=False))
    with pytest.raises(PeerFailed):
        peer.car(FILE.root)


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (fates.truncating(after=7777), CarTruncated),
        (fates.truncating(after=7777, quietly=True), None),
        (fates.resetting(after=7777), PeerFailed),
        (fates.stalling(after=7777), Stalled),
    ],
)
async def test_what_came_of_a_car_before_its_fault_is_good(fault, ending, autojump_clock):
    _, whole = network_with(blocks=FILE.blocks)
    order = contents((await read(whole, FILE.root))[0])
    _, peer = network_with(fault, blocks=FILE.blocks)
    found, end = await read(peer, FILE.root)
    assert end is ending
    assert contents(found) == order[: len(found)]
    assert 7777 - 1100 <= sum(len(data) + 38 for _, data in found) <= 7777
    assert peer.traffic.bytes == 7777


async def test_a_share_of_the_blocks_of_a_car_is_wrong(autojump_clock):
    _, peer = network_with(fates.lying(0.3), blocks=HAMT.blocks)
    found, _ = await read(peer, HAMT.root)
    wrong = 0
    for cid, data in found:
        try:
            verify(cid, data)
        except HashMismatch:
            wrong += 1
    assert wrong == pytest.approx(0.3 * len(found), rel=0.35)


# --- the account


async def test_what_was_sent_twice_is_told_by_name(autojump_clock):
    network, peer = network_with(latency=0.0, rate=32 * KiB)
    other = network.peer("b", latency=0.0, rate=32 * KiB)
    await outcome(peer, BLOCKS[0])
    assert network.duplicates() == {}
    with trio.move_on_after(0.6):
        await outcome(other, BLOCKS[0])
    assert network.duplicates() == {BLOCKS[0].cid.multihash: 16 * KiB}
    assert network.traffic.requests == 2
    assert network.traffic.bytes == peer.traffic.bytes + other.traffic.bytes == 48 * KiB


# --- samples


async def test_samples_are_what_they_say():
    assert FILE.size == sum(len(block.data) for block in FILE.blocks)
    assert len(FILE.data) == 20_000
    assert samples.file(20 * 1000, chunk=1000, width=4) is FILE
    assert samples.file(20 * 1000, chunk=1000, width=4, seed=1).root != FILE.root
    assert len(FLAT.blocks) == 31
    assert len({block.cid for block in HAMT.blocks}) == len(HAMT.blocks) > 302
    assert set(HAMT.files) == {str(n) for n in range(300)}
    assert {block.cid for block in FILE.below(FILE.root)} == {block.cid for block in FILE.blocks}
    subtree = next(iter(FILE.below(FILE.root)[0].links()))
    assert 1 < len(FILE.below(subtree)) < len(FILE.blocks)


def test_the_guide_shows_what_works():
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "simulate.md"
    code = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    names = {}
    exec(code[0], names)
    names["test_my_fetch"]()
    listed = re.findall(r"^\| `(\w+)\(", guide.read_text(), re.MULTILINE)
    assert {"during", *listed} == set(fates.__all__) - {"Asked", "Fate", "Fault"}

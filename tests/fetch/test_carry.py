"""CARs in the plan: many small blocks come together, and whatever is wrong with a CAR, the right blocks come."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionctx import Node, session
from sessionctx.blocks import DiskBlockstore, MemoryBlockstore
from sessionctx.fetch import FETCHER
from sessionctx.peers import statistics
from sessionctx.session import flights
from sessionctx.testing import fates, samples
from sessionctx.testing.network import Network, simulate
from sessionctx.transports import Can

KiB, MiB = 1024, 1024 * 1024
HAMT = samples.folder(400, 3000, sharded=True)
FLAT = samples.folder(300, 3000, sharded=False)
PLAIN = Can(raw=True, car=False)


def network_of(sample, *peers, seed=1):
    network = Network(sample.blocks, seed=seed)
    for n, options in enumerate(peers):
        network.peer(f"{n}", **{"latency": 0.025, "rate": 4 * MiB} | options)
    return network


def walked(network, sample, *, store=None, peers=None):
    """Walk it; nothing wrong may come, and nothing may be left behind. Returns seconds, rows of the peers, account."""

    async def main():
        node = Node.over(store or MemoryBlockstore())
        began = trio.current_time()
        with session.begin(peers=peers or network.peers) as s:
            async with node.dag.walk(sample.root) as found:
                assert {block.cid async for block in found} == {block.cid for block in sample.blocks}
            took = trio.current_time() - began
            left_nothing(s)
            return took, statistics(s), s.statistics()

    return simulate(main)


def left_nothing(s):
    fetcher = FETCHER.of(s)
    assert (len(flights(s)), len(fetcher.needs), fetcher.covers.held) == (0, 0, {})
    assert not fetcher.covers._covers
    account = s.statistics()
    assert account.in_flight == account.open == 0
    assert s.account.held == 0
    for row in statistics(s):
        assert row.asked == row.found + row.missing + row.failed + row.lied + row.cancelled
        assert row.in_flight == 0


@pytest.mark.parametrize("sample", [HAMT, FLAT])
@pytest.mark.parametrize("count", [1, 3])
def test_a_folder_of_small_files_takes_few_requests(sample, count):
    network = network_of(sample, *[{}] * count)
    seconds, _, account = walked(network, sample)
    assert account.requests < len(sample.blocks) / 2
    assert network.traffic.cars > 0
    plain = network_of(sample, *[{"can": PLAIN}] * count)
    assert seconds < walked(plain, sample)[0] / (2 if count == 1 else 1)


def test_a_car_that_is_cut_keeps_what_came_and_others_finish():
    network = network_of(FLAT, {"faults": [fates.truncating(after=300_000)]}, {"latency": 0.1})
    _, rows, account = walked(network, FLAT)
    assert rows[0].state != "banned"
    assert account.duplicate_bytes < 400_000


def test_a_car_that_lies_bans_its_peer_and_the_right_blocks_come():
    network = network_of(HAMT, {"faults": [fates.lying(0.2)], "latency": 0.001}, {})
    _, rows, _ = walked(network, HAMT)
    assert rows[0].state == "banned"


def test_a_car_that_stalls_is_overtaken():
    network = network_of(FLAT, {"faults": [fates.stalling(after=100_000)], "latency": 0.001}, {})
    assert walked(network, FLAT)[0] < 4.0


def test_a_slow_car_is_overtaken_from_its_far_end():
    """Alone, the slow one would take 14 seconds; the fast one, which came later, has the rest long before."""
    network = network_of(FLAT, {"rate": 64 * KiB, "latency": 0.001}, {"rate": 8 * MiB, "latency": 0.2})
    seconds, rows, account = walked(network, FLAT)
    assert seconds < 5.0
    assert rows[1].found > 100 or rows[1].bytes > 500_000
    assert account.duplicate_bytes <= 0.6 * sum(len(block.data) for block in FLAT.blocks)


def test_who_sends_no_cars_is_found_out_once_and_serves_blocks():
    network = network_of(HAMT, {"faults": [fates.without_cars()]})
    _, rows, account = walked(network, HAMT)
    assert rows[0].failed <= 8  # those that were asked before the first answer
    assert rows[0].found == len(HAMT.blocks)
    assert rows[0].state == "good"
    assert account.requests <= len(HAMT.blocks) + 8


@pytest.mark.parametrize("odd", [{"order": "unk"}, {"repeats": True}, {"strays": 5}])
def test_cars_that_are_out_of_order_or_hold_more_are_fine(odd):
    network = network_of(HAMT, odd, {})
    walked(network, HAMT)


@settings(max_examples=25)
@given(at=st.floats(0.01, 1.0), disk=st.booleans(), cars=st.booleans())
def test_a_walk_that_is_left_leaves_nothing_and_the_next_one_fetches_none_of_what_is_kept(
    tmp_path_factory, at, disk, cars
):
    """Stopped at any moment and continued from another peer: what was stored is not asked for again, nor sent but for
    what came with a CAR of its surroundings."""
    options = {"rate": 2 * MiB} if cars else {"rate": 2 * MiB, "can": PLAIN}
    first, second = network_of(FLAT, options), network_of(FLAT, options)

    async def main(store):
        node = Node.over(store)
        with session.begin(peers=first.peers) as s:
            with trio.move_on_after(at):
                async with node.dag.walk(FLAT.root) as found:
                    async for _ in found:
                        pass
            left_nothing(s)
        kept = [block.cid for block in FLAT.blocks if await store.has(block.cid)]
        with session.begin(peers=second.peers):
            async with node.dag.walk(FLAT.root) as found:
                assert {block.cid async for block in found} == {block.cid for block in FLAT.blocks}
        return len(kept)

    async def on_disk():
        async with DiskBlockstore.open(tmp_path_factory.mktemp("store") / "blocks.sqlite3") as store:
            return await main(store)

    kept = trio.run(on_disk) if disk and at < 0.1 else simulate(main, MemoryBlockstore())
    missing = len(FLAT.blocks) - kept
    assert second.traffic.blocks <= missing
    assert second.traffic.bytes <= (missing + 1) * 3200 + 20_000 if kept else True


async def test_two_walks_of_the_same_fetch_once(autojump_clock):
    network = network_of(HAMT, {})
    node = Node.over(MemoryBlockstore())

    async def one():
        async with node.dag.walk(HAMT.root) as found:
            assert len([block async for block in found]) == len(HAMT.blocks)

    with session.begin(peers=network.peers) as s:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        assert s.statistics().bytes < 1.2 * sum(len(block.data) + 60 for block in HAMT.blocks)


def test_who_had_the_parent_is_asked_for_the_children():
    """Each of four peers holds one subtree only; most requests for its blocks go there."""
    network = Network(HAMT.blocks, seed=3)
    for n in range(4):
        network.peer(f"{n}", 0.4, latency=0.02, rate=4 * MiB, can=PLAIN)
    network.peer("all", latency=0.3, rate=MiB, can=PLAIN)
    _, rows, account = walked(network, HAMT)
    assert sum(row.missing for row in rows) <= 3 * len(HAMT.blocks)
    assert account.found == account.wants

"""Bounds of a session that make requests wait: at each peer, and in memory; and a budget of bytes in the middle of CARs."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.dag import resolve
from sessionctx.errors import LimitReached
from sessionctx.fetch import fetch
from sessionctx.serve import gateway
from sessionctx.session import Limits
from sessionctx.testing import samples
from sessionctx.testing.network import Network, SimulatedPeer, lone_peer, simulate
from tests.profiles import examples

KiB, MiB = 1024, 1024 * 1024
BLOCKS = samples.blocks(40, 64 * KiB)
FOLDER = samples.folder(400, 4000, sharded=True)


def crowd(count, blocks=BLOCKS):
    return [lone_peer(f"fake://{n}", blocks, latency=0.05, rate=MiB) for n in range(count)]


async def all_at_once(s):
    async with trio.open_nursery() as nursery:
        for block in BLOCKS:
            get = partial(session.share, s, block.cid, partial(fetch, s, block.cid))
            nursery.start_soon(get)


@examples(20)
@given(count=st.integers(1, 3), most=st.integers(1, 5), forked=st.booleans())
def test_no_peer_ever_has_more_than_its_share(count, most, forked):
    """However many want however much, in a session or its fork, no peer has more requests than the bound at a time."""
    peers = crowd(count)

    async def main():
        with session.begin(peers=peers, limits=Limits(in_flight_per_peer=most)) as s:
            if not forked:
                await all_at_once(s)
                return
            with session.fork(limits=Limits(in_flight_per_peer=most + 3)) as fork:
                await all_at_once(fork)

    simulate(main)
    assert max(peer.traffic.worst for peer in peers) <= most
    assert sum(len(peer.asked) for peer in peers) >= len(BLOCKS)


class Behind(SimulatedPeer):
    """A peer that shares its endpoint with all others of this kind."""

    endpoint = "fake://shared"
    at_once = 0
    most_at_once = 0

    async def block(self, cid, *, progress=None):
        Behind.at_once += 1
        Behind.most_at_once = max(Behind.most_at_once, Behind.at_once)
        try:
            return await super().block(cid, progress=progress)
        finally:
            Behind.at_once -= 1


@examples(20)
@given(count=st.integers(2, 4), most=st.integers(1, 5), forked=st.booleans())
def test_peers_behind_one_endpoint_share_its_bound(count, most, forked):
    """However many peers stand behind one endpoint, it has no more requests than the bound at a time."""
    peers = [lone_peer(f"fake://shared/{n}", BLOCKS, latency=0.05, rate=MiB, kind=Behind) for n in range(count)]
    Behind.at_once = Behind.most_at_once = 0

    async def main():
        with session.begin(peers=peers, limits=Limits(in_flight_per_peer=most)) as s, trio.fail_after(100):
            if not forked:
                await all_at_once(s)
                return
            with session.fork() as fork:
                await all_at_once(fork)

    simulate(main)
    assert Behind.most_at_once <= most
    assert Behind.at_once == 0
    assert sum(len(peer.asked) for peer in peers) >= len(BLOCKS)


@examples(20)
@given(count=st.integers(1, 3), memory=st.integers(0, 20 * 64 * KiB))
def test_no_more_is_on_its_way_than_memory_allows(count, memory):
    """What is held, by the sizes that are expected, stays within the bound; one request is always allowed."""
    peers, worst = crowd(count), []

    async def main():
        with session.begin(peers=peers, limits=Limits(memory=memory)) as s:
            s.subscribe(lambda _: worst.append((s.account.held, s.account.in_flight)))
            await all_at_once(s)
            assert s.account.held == 0

    simulate(main)
    assert all(held <= memory or in_flight <= 1 for held, in_flight in worst)


def test_a_budget_of_bytes_ends_a_car_in_the_middle_and_what_came_is_kept():
    """400 files of 4,000 bytes come in few CARs; after 200 kB the budget is spent, and a second session has the rest."""
    network = Network(FOLDER.blocks, seed=1)
    network.peer("0", latency=0.02, rate=MiB)
    store = MemoryBlockstore()

    async def main():
        node = Node.over(store)
        with session.begin(peers=network.peers, limits=Limits(bytes=200_000)) as s:
            with pytest.raises(LimitReached):
                async with node.dag.walk(FOLDER.root) as found:
                    async for _ in found:
                        pass
            assert 200_000 <= s.statistics().bytes < 600_000
            assert s.statistics().in_flight == 0
        before = network.traffic.bytes
        with session.begin(peers=network.peers):
            async with node.dag.walk(FOLDER.root) as found:
                assert {block.cid async for block in found} == {block.cid for block in FOLDER.blocks}
        return before

    before = simulate(main)
    assert network.traffic.bytes < before + sum(len(block.data) + 100 for block in FOLDER.blocks) - 100_000


def test_a_bound_of_nothing_is_refused():
    with pytest.raises(ValueError, match="in_flight_per_peer"):
        Limits(in_flight_per_peer=0)
    with pytest.raises(ValueError, match="memory"):
        Limits(memory=-1)


def test_a_node_bounds_calls_without_a_session_and_leaves_sessions_alone():
    """A bare call has the node's budget for its own length, and the next one has it anew; a session has its own."""
    parts = samples.file(640 * KiB, chunk=64 * KiB)
    peers = crowd(1, [*BLOCKS, *parts.blocks])

    async def read(node):
        async with node.files.cat(parts.root) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def main():
        node = Node.over(MemoryBlockstore(), peers=peers, limits=Limits(requests=3))
        for call in (read(node), node.files.stat(parts.root), read(node)):
            if call.__name__ == "stat":
                await call
                continue
            with pytest.raises(LimitReached):
                await call
        with session.begin():
            assert await read(node) == parts.data
        with session.begin(limits=Limits(requests=100)) as s:
            await node.dag.get(parts.root)
            assert s.limits == Limits(requests=100)

    simulate(main)


@pytest.mark.parametrize("form", ["raw", "car"])
def test_a_gateway_over_a_node_answers_within_its_limits(form):
    """A request to it is a call without a session, too: the client is told, and no peer is asked."""
    peer, told = lone_peer("fake://0", FOLDER.blocks), []

    async def receive():
        await trio.sleep_forever()

    async def send(message):
        told.append(message)

    async def main():
        node = Node.over(MemoryBlockstore(), peers=[peer], limits=Limits(requests=0))
        query = f"format={form}".encode()
        asked = {"type": "http", "method": "GET", "path": f"/ipfs/{FOLDER.root}", "query_string": query, "headers": []}
        await gateway(node.blocks)(asked, receive, send)

    simulate(main)
    assert told[0]["status"] >= 500
    assert peer.asked == []


def test_a_nodes_limits_hold_when_the_store_is_given_by_keyword():
    peer = lone_peer("fake://0", FOLDER.blocks)

    async def main():
        node = Node.over(MemoryBlockstore(), peers=[peer], limits=Limits(requests=0))
        with pytest.raises(LimitReached):
            await resolve(ref=FOLDER.root, path="name", blocks=node.blocks)

    simulate(main)
    assert peer.asked == []

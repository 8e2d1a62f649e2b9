"""Locality: who had the parent is asked for the children, and who lacks something is not asked for it again."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import DAG_PB, Block, PBLink, PBNode, dagpb
from sessionctx.peers import statistics
from sessionctx.testing import samples
from sessionctx.testing.network import Network, simulate
from sessionctx.transports import Can

MiB = 1024 * 1024
SHARES = 4
PARTS = [samples.file(400_000, chunk=4000, width=10, seed=n) for n in range(SHARES)]


def folder_of(parts):
    links = tuple(PBLink(part.root, f"{n}", part.size) for n, part in enumerate(parts))
    return Block.of(dagpb.encode(PBNode(data=b"\x08\x01", links=links)), codec=DAG_PB)


TOP = folder_of(PARTS)
ALL = {block.cid: block for block in [TOP, *(block for part in PARTS for block in part.blocks)]}


def network_of(*, cars, latency=0.02):
    """Each peer has the top, and one of four subtrees."""
    network = Network(ALL.values(), seed=3)
    for n, part in enumerate(PARTS):
        can = Can(car=cars)
        network.peer(f"{n}", [TOP, *part.blocks], latency=latency, rate=4 * MiB, can=can)
    return network


def walked(network, times=1):
    async def main():
        rows = []
        with session.begin(peers=network.peers) as s:
            for _ in range(times):
                node = Node.over(MemoryBlockstore())
                async with node.dag.walk(TOP.cid) as found:
                    assert {block.cid async for block in found} == set(ALL)
                rows.append(statistics(s))
            return rows, trio.current_time()

    return simulate(main)


def none_twice(network):
    for peer in network.peers:
        misses = Counter(cid for cid in peer.asked if peer.find(cid) is None)
        assert max(misses.values(), default=0) <= 1


@pytest.mark.parametrize(("cars", "least"), [(True, 0.5), (False, 0.7)])
def test_most_requests_hit_where_each_peer_has_one_subtree_only(cars, least):
    """By chance, one in four would. With CARs there are few requests in all, and so many of them are to find out who
    has what. A no is remembered: nobody is asked twice for what it lacks."""
    network = network_of(cars=cars)
    (rows,), _ = walked(network)
    found, missing = sum(row.found for row in rows), sum(row.missing for row in rows)
    assert found / (found + missing) > least
    if cars:
        assert found + missing < len(ALL) / 5
    none_twice(network)


def test_a_no_is_remembered_for_the_session():
    """A second walk of the same session, into another store, asks nobody for what it has said that it lacks."""
    network = network_of(cars=False)
    walked(network, times=2)
    none_twice(network)


@pytest.mark.parametrize(("cars", "factor"), [(True, 1.0), (False, 1.8)])
def test_it_takes_about_as_long_as_with_one_peer_that_has_everything(cars, factor):
    """A walk is in one subtree, and so at one peer, at a time; block by block, it costs a try or two to find each."""
    alone = Network(ALL.values(), seed=3)
    alone.peer("alone", latency=0.02, rate=4 * MiB, can=Can(car=cars))
    assert walked(network_of(cars=cars))[1] <= factor * walked(alone)[1]


def test_a_slow_car_is_left_to_the_only_one_that_has_it():
    """Others that are faster, and have said that they lack it, are not what it is given up for."""
    network = Network(ALL.values(), seed=3)
    network.peer("slow", rate=100_000, latency=0.02)
    for n in range(2):
        network.peer(f"fast {n}", [TOP], latency=0.001, rate=16 * MiB)
    _, seconds = walked(network)
    slow = network.peers[0]
    assert slow.traffic.cars <= 2 * SHARES
    assert slow.traffic.bytes < 1.1 * sum(len(block.data) + 60 for block in ALL.values())
    assert seconds < 1.2 * network.seconds_at_line_rate(slow.traffic.bytes, [slow]) + 1

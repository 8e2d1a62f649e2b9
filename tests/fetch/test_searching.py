"""Searching: routers bring peers when those at hand do not suffice, and cost nothing when they do."""

from __future__ import annotations

import itertools
from math import inf

import pytest
import trio

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import Block
from sessionctx.errors import BlockNotFound, Busy, FetchFailed, NoPeers, Unreachable
from sessionctx.fetch import FETCHER
from sessionctx.session import events
from sessionctx.testing import samples
from sessionctx.testing.fates import raising
from sessionctx.testing.network import lone_peer
from sessionctx.testing.routers import FakeRouter
from sessionctx.transports import Can, Router

MiB = 1024 * 1024
FILE = samples.file(2 * MiB, chunk=64 * 1024)


def holder(n, blocks=FILE.blocks, **options):
    return lone_peer(f"https://holder{n}.example", blocks, can=Can(car=False), **options)


def node_with(*routers):
    return Node.over(MemoryBlockstore(), routers=routers)


async def read(node):
    async with node.files.cat(FILE.root) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_without_any_peer_the_router_is_asked_at_once(autojump_clock):
    router = FakeRouter.naming({FILE.root: [holder(0), holder(1)]})
    assert await read(node_with(router)) == FILE.data
    assert router.asked == [FILE.root]
    assert trio.current_time() < 3


async def test_a_single_block_is_found_too(autojump_clock):
    block = Block.of(b"alone")
    router = FakeRouter.naming({block.cid: [holder(0, [block])]})
    assert await node_with(router).blocks.get(block.cid) == block


async def test_whoever_has_it_at_hand_asks_no_router(autojump_clock):
    router = FakeRouter.naming({FILE.root: [holder(1)]})
    with session.begin(peers=[holder(0, rate=10 * MiB)]):
        assert await read(node_with(router)) == FILE.data
    assert router.asked == []


@pytest.mark.parametrize("broken", [{"latency": inf}, {"faults": [raising(lambda _: Unreachable("refused"))]}])
async def test_a_router_that_is_of_no_use_costs_no_time(broken, autojump_clock):
    took = []
    for routers in ((), (FakeRouter(**broken),)):
        began = trio.current_time()
        with session.begin(peers=[holder(0, rate=MiB / 4)]):
            assert await read(node_with(*routers)) == FILE.data
        took.append(trio.current_time() - began)
    assert took[1] == pytest.approx(took[0], rel=0.01)


async def test_more_peers_are_found_while_a_slow_one_serves(autojump_clock):
    """The seed would take 32 seconds; after a while its finish gets no better, and others are found and help."""
    router = FakeRouter.naming({FILE.root: [holder(n, rate=MiB) for n in (1, 2, 3)]})
    seed = holder(0, rate=MiB / 16)
    with session.begin(peers=[seed]):
        assert await read(node_with(router)) == FILE.data
    assert trio.current_time() < 12
    assert seed.asked


async def test_a_seed_that_lacks_it_is_no_obstacle(autojump_clock):
    router = FakeRouter.naming({FILE.root: [holder(1)]})
    with session.begin(peers=[holder(0, blocks=[])]):
        assert await read(node_with(router)) == FILE.data


async def test_where_nobody_knows_anything_the_error_is_true_and_comes_soon(autojump_clock):
    with pytest.raises(NoPeers):
        await read(node_with(FakeRouter(), FakeRouter(public="https://busy.example", faults=lambda _: Busy("later"))))
    assert trio.current_time() < 5
    with session.begin(peers=[holder(0, blocks=[])]), pytest.raises(BlockNotFound):
        await read(node_with(FakeRouter()))


@pytest.mark.parametrize("allowed", [False, True])
async def test_what_a_router_names_in_the_private_network_is_not_even_connected_to_unless_allowed(allowed):
    """Over real sockets: the guard of the real router decides whether somebody knocks at a door of this machine."""
    real, knocks = Router("https://router.example", allow_private=allowed), []

    class Guarded(FakeRouter):
        def transport(self, gateway):
            return real.transport(gateway)

    async def door(stream):
        knocks.append(stream)
        await stream.aclose()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, door, listeners)
        port = listeners[0].socket.getsockname()[1]
        inside = lone_peer(f"http://127.0.0.1:{port}", FILE.blocks)
        with trio.move_on_after(0.4) as scope:
            with pytest.raises((FetchFailed, NoPeers)):
                await read(node_with(Guarded.naming({FILE.root: [inside]})))
        nursery.cancel_scope.cancel()
    assert bool(knocks) == allowed


@pytest.mark.parametrize("fault", [OSError("no route"), ValueError("what?")])
async def test_a_faulty_router_of_ones_own_fails_no_want(fault, autojump_clock):
    class Faulty(FakeRouter):
        def providers(self, cid):
            raise fault

    with session.begin(peers=[holder(0, rate=MiB / 8)]):
        assert await read(node_with(Faulty())) == FILE.data


async def test_a_router_that_asks_to_wait_is_left_alone_so_long(autojump_clock):
    asked = []

    class Waiting(FakeRouter):
        def providers(self, cid):
            asked.append(trio.current_time())
            raise Busy("later", retry_after=20.0)

    with session.begin(peers=[holder(0, rate=MiB / 32)]):
        assert await read(node_with(Waiting())) == FILE.data
    assert len(asked) > 1
    assert all(later - sooner >= 20 for sooner, later in itertools.pairwise(asked))


async def test_of_a_thousand_providers_few_are_taken(autojump_clock):
    crowd = [holder(n) for n in range(1000)]
    with session.begin() as s:
        assert await read(node_with(FakeRouter.naming({FILE.root: crowd}))) == FILE.data
        assert len(FETCHER.of(s).pool) <= 8


async def test_many_wants_make_one_search_at_a_time(autojump_clock):
    blocks = [Block.of(b"%d" % n) for n in range(20)]
    router = FakeRouter.naming({block.cid: [holder(0, blocks)] for block in blocks}, latency=1.0)
    node, heard = node_with(router), []
    with session.begin() as s:
        s.subscribe(heard.append)
        async with trio.open_nursery() as nursery:
            for block in blocks:
                nursery.start_soon(node.blocks.get, block.cid)
    assert router.worst == 1
    assert next(event.peers for event in heard if isinstance(event, events.Searched)) == 1


async def test_whoever_leaves_in_the_middle_leaves_nothing_behind(autojump_clock):
    before = trio.lowlevel.current_statistics().tasks_living
    router = FakeRouter(latency=inf)
    with session.begin() as s:
        with trio.move_on_after(5):
            await read(node_with(router))
        assert router.in_flight == 0
        assert s.statistics().in_flight == s.statistics().open == 0
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_the_next_want_takes_over_when_the_one_that_searched_gives_up(autojump_clock):
    one, other = Block.of(b"one"), Block.of(b"other")
    router = FakeRouter.naming({each.cid: [holder(0, [one, other])] for each in (one, other)}, latency=2.0)
    node, got = node_with(router), []

    async def impatient():
        with trio.move_on_after(1):
            await node.blocks.get(one.cid)

    async def patient():
        got.append(await node.blocks.get(other.cid))

    with session.begin():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(impatient)
            await trio.sleep(0.5)
            nursery.start_soon(patient)
    assert got == [other]

"""Blocks from the network: a local hit costs no session, a miss is fetched once, verified, kept and shared."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
import trio

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore, NetworkBlocks
from sessionctx.content import CID, DAG_PB, Block
from sessionctx.errors import BlockNotFound, FetchFailed, NoPeers, NotInTrio, SessionEnded, StoreFull
from sessionctx.session.flights import flights
from sessionctx.testing.blockstore import BlockstoreContract
from sessionctx.testing.fates import lying
from sessionctx.testing.network import lone_peer


class TestNetworkBlocks(BlockstoreContract):
    """Over a network that has nothing, it keeps the contract of every store."""

    @pytest.fixture
    async def store(self):
        return NetworkBlocks(MemoryBlockstore(), [lone_peer("fake://empty", latency=0.0)])


class Spy(MemoryBlockstore):
    """A store that writes down what is done to it, and refuses if told so."""

    def __init__(self, error=None, wait=0.0):
        super().__init__()
        self.calls, self.error, self.wait = [], error, wait

    async def get(self, cid):
        self.calls.append("get")
        return await super().get(cid)

    async def put(self, block):
        self.calls.append("put")
        await trio.sleep(self.wait)
        if self.error is not None:
            raise self.error
        await super().put(block)


@pytest.fixture
def blocks(some_blocks):
    return some_blocks(5)


@pytest.fixture
def peer(blocks):
    return lone_peer("fake://a", blocks, latency=1.0)


async def test_a_local_hit_touches_no_session(blocks):
    store = NetworkBlocks(MemoryBlockstore(), peers=[lone_peer("fake://a")])
    await store.put(blocks[0])
    with session.begin() as s:
        assert await store.get(blocks[0].cid) == blocks[0]
        assert s.peers == ()
        assert not s.slots
        assert s.statistics().wants == 0
    with session.begin() as ended:
        ended.cancel("no more requests")
        assert await store.get(blocks[0].cid) == blocks[0]


async def test_a_miss_is_fetched_and_kept(blocks, peer, autojump_clock):
    local = MemoryBlockstore()
    store = NetworkBlocks(local, [peer])
    assert not await store.has(blocks[0].cid)
    for _ in range(2):
        assert await store.get(blocks[0].cid) == blocks[0]
    assert await local.get(blocks[0].cid) == blocks[0]
    assert await store.has(blocks[0].cid)
    assert len(peer.asked) == 1


async def test_it_has_a_session_for_its_own_length_where_none_is_bound(blocks, peer, autojump_clock):
    await NetworkBlocks(MemoryBlockstore(), [peer]).get(blocks[0].cid)
    assert session.current(None) is None


async def test_default_peers_are_added_to_the_session_that_is_used(blocks, peer, autojump_clock):
    other = lone_peer("fake://b", latency=1.0)
    store = NetworkBlocks(MemoryBlockstore(), [peer])
    with session.begin(peers=[other]) as s:
        assert await store.get(blocks[0].cid) == blocks[0]
        assert s.peers == (other, peer)


async def test_the_peers_of_the_session_are_asked_where_there_are_no_default_ones(blocks, peer, autojump_clock):
    store = NetworkBlocks(MemoryBlockstore())
    with session.begin(peers=[peer]):
        assert await store.get(blocks[0].cid) == blocks[0]
    with pytest.raises(NoPeers):
        await store.get(blocks[1].cid)


async def test_a_lie_is_not_kept(blocks, autojump_clock):
    local = MemoryBlockstore()
    store = NetworkBlocks(local, [lone_peer("fake://liar", blocks, faults=[lying()])])
    with pytest.raises(FetchFailed) as caught:
        await store.get(blocks[0].cid)
    assert caught.value.lied
    assert local.statistics().blocks == 0


async def test_what_nobody_has_is_not_found(blocks, autojump_clock):
    store = NetworkBlocks(MemoryBlockstore(), [lone_peer("fake://a")])
    with pytest.raises(BlockNotFound, match="fake://a"):
        await store.get(blocks[0].cid)


async def test_tasks_that_want_the_same_share_one_fetch(blocks, peer, autojump_clock):
    local = Spy()
    store, got = NetworkBlocks(local, [peer]), []

    async def want():
        got.append(await store.get(blocks[0].cid))

    with session.begin() as s:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(want)
        assert len(flights(s)) == 0
        assert s.statistics().joined == 4
    assert got == [blocks[0]] * 5
    assert len(peer.asked) == 1
    assert local.calls.count("put") == 1


async def test_two_names_of_the_same_bytes_share_one_fetch(autojump_clock):
    block = Block.of(b"\x0a\x02\x08\x01", codec=DAG_PB)
    names = [block.cid.to_v0(), block.cid, CID.new(1, 0x55, block.cid.multihash)]
    peer = lone_peer("fake://a", [block], latency=1.0)
    store, got = NetworkBlocks(MemoryBlockstore(), [peer]), {}

    async def want(name):
        got[name] = await store.get(name)

    with session.begin():
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(want, name)
    assert len(peer.asked) == 1
    for name in names:
        assert (got[name].cid, got[name].data) == (name, block.data)


async def test_sessions_that_are_strangers_fetch_apart_and_both_keep(blocks, peer, autojump_clock):
    store, got = NetworkBlocks(MemoryBlockstore(), [peer]), []

    async def want():
        with session.begin():
            got.append(await store.get(blocks[0].cid))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(want)
        nursery.start_soon(want)
    assert got == [blocks[0]] * 2


async def test_what_came_while_one_waited_for_the_lead_is_not_fetched_again(blocks, peer, autojump_clock):
    """The leader gives up while the block is being kept; the next one finds it there."""
    local = Spy(wait=1.0)
    store = NetworkBlocks(local, [peer])

    async def impatient():
        with trio.move_on_after(1.5):
            await store.get(blocks[0].cid)

    with session.begin():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(impatient)
            await trio.sleep(0.5)
            nursery.start_soon(store.local.put, blocks[0])
            assert await store.get(blocks[0].cid) == blocks[0]
    assert len(peer.asked) == 1


async def test_a_leader_that_gives_up_passes_on_the_lead(blocks, peer, autojump_clock):
    store, got = NetworkBlocks(MemoryBlockstore(), [peer]), []

    async def want(patience):
        with trio.move_on_after(patience):
            got.append(await store.get(blocks[0].cid))

    with session.begin():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(want, 0.5)
            await trio.sleep(0.1)
            nursery.start_soon(want, 60)
    assert got == [blocks[0]]
    assert len(peer.asked) == 2


async def test_a_full_store_says_so_to_everybody(blocks, peer, autojump_clock):
    store, told = NetworkBlocks(Spy(error=StoreFull("no room")), [peer]), []

    async def want():
        try:
            await store.get(blocks[0].cid)
        except StoreFull as error:
            told.append(error)

    with session.begin() as s:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(want)
        assert s.statistics().failed == 3
        assert s.statistics().in_flight == 0
    assert len({id(error) for error in told}) == 3


async def test_a_session_that_was_cancelled_gives_nothing_more(blocks, peer, autojump_clock):
    store = NetworkBlocks(MemoryBlockstore(), [peer])
    with session.begin() as s:
        s.cancel("enough")
        with pytest.raises(SessionEnded, match="enough"):
            await store.get(blocks[0].cid)
    assert not peer.asked


@pytest.mark.parametrize("bound", [False, True])
async def test_one_over_another_asks_the_peers_of_both(bound, blocks, autojump_clock):
    """Nested stores do not wait for each other, and what the inner one cannot get the outer one may."""
    inner_peer = lone_peer("fake://inner", blocks[:1], latency=1.0)
    outer_peer = lone_peer("fake://outer", blocks[1:2], latency=1.0)
    base = MemoryBlockstore()
    store = NetworkBlocks(NetworkBlocks(base, [inner_peer]), [outer_peer])

    async def use():
        with trio.fail_after(60):
            for block in blocks[:2]:
                assert await store.get(block.cid) == block
                assert await base.get(block.cid) == block
            with pytest.raises(BlockNotFound):
                await store.get(blocks[2].cid)

    if bound:
        with session.begin():
            await use()
    else:
        await use()


async def test_an_inner_one_without_peers_is_no_obstacle(blocks, peer, autojump_clock):
    store = NetworkBlocks(NetworkBlocks(MemoryBlockstore()), [peer])
    assert await store.get(blocks[0].cid) == blocks[0]


async def test_all_but_get_concerns_the_local_store_alone(blocks, peer):
    local = MemoryBlockstore()
    store = NetworkBlocks(local, [peer])
    await store.put(blocks[0])
    await store.put_many(blocks[1:3])
    assert [await store.has(block.cid) for block in blocks] == [True] * 3 + [False] * 2
    await store.delete(blocks[0].cid)
    assert not await local.has(blocks[0].cid)
    assert not peer.asked


def test_under_asyncio_it_says_so_in_one_sentence(blocks):
    store = NetworkBlocks(MemoryBlockstore())
    for call in (
        partial(store.get, blocks[0].cid),
        partial(store.has, blocks[0].cid),
        partial(store.put, blocks[0]),
        partial(store.put_many, blocks),
        partial(store.delete, blocks[0].cid),
    ):
        with pytest.raises(NotInTrio, match=r"asyncio.*trio\.run"):
            asyncio.run(call())


async def test_each_of_two_stores_keeps_what_one_of_them_has_fetched(blocks, peer, autojump_clock):
    """They share the fetch, being in one session, and neither has to fetch it again later."""
    stores = [MemoryBlockstore(), MemoryBlockstore()]
    with session.begin(peers=[peer]):
        async with trio.open_nursery() as nursery:
            for store in stores:
                nursery.start_soon(NetworkBlocks(store).get, blocks[0].cid)
    assert [await store.has(blocks[0].cid) for store in stores] == [True, True]
    assert len(peer.asked) == 1


def test_one_text_is_no_list_of_peers():
    """Each of its letters would be one."""
    for wire in (partial(NetworkBlocks, MemoryBlockstore()), lambda peers: Node.open(peers=peers)):
        with pytest.raises(TypeError, match="not one text"):
            wire(peers="https://a.example")

"""Upstream: a store that wraps one with peers loses nothing of what these can do."""

from __future__ import annotations

import pytest
import trio

from sessionctx import session
from sessionctx.blocks import MemoryBlockstore, NetworkBlocks, TieredBlockstore, default_limits, upstream_of
from sessionctx.content import RAW
from sessionctx.dag import Dag, Files, resolve, walk
from sessionctx.errors import LimitReached
from sessionctx.fetch import fetch
from sessionctx.session import Limits
from sessionctx.testing import samples
from sessionctx.testing.network import Network, simulate
from sessionctx.testing.routers import FakeRouter
from sessionctx.transports import Can

MiB = 1024 * 1024
FOLDER = samples.folder(220, 3000, sharded=False)
FILE = samples.file(2 * MiB, chunk=64 * 1024)


class Counting(MemoryBlockstore):
    """A wrapper as others write them: it passes all on, and counts."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.gets = inner, 0

    @property
    def upstream(self):
        return upstream_of(self.inner)

    async def get(self, cid):
        self.gets += 1
        return await self.inner.get(cid)

    async def has(self, cid):
        return await self.inner.has(cid)


def tiered(inner):
    return TieredBlockstore([MemoryBlockstore(), inner])


def twice(inner):
    return Counting(tiered(Counting(inner)))


wrapped = pytest.mark.parametrize("wrap", [tiered, Counting, twice])


def walked(network, root, wrap, **options):
    """The blocks of a walk, seconds, and requests."""

    async def main():
        store = wrap(NetworkBlocks(MemoryBlockstore(), **options))
        with session.begin(peers=network.peers) as s:
            async with Dag(store).walk(root) as found:
                count = sum([1 async for _ in found])
            return count, trio.current_time(), s.statistics().requests

    return simulate(main)


def network_of(sample, name="a", **options):
    network = Network(sample.blocks, seed=1)
    network.peer(name, **{"latency": 0.025, "rate": 4 * MiB} | options)
    return network


@wrapped
def test_small_blocks_come_as_cars(wrap):
    count, _, requests = walked(network_of(FOLDER), FOLDER.root, wrap)
    assert count == len(FOLDER.blocks)
    assert requests == walked(network_of(FOLDER), FOLDER.root, lambda inner: inner)[2] < count / 16


@wrapped
def test_a_read_begins_with_one_request_for_all_on_its_way(wrap):
    async def main():
        store = wrap(NetworkBlocks(MemoryBlockstore()))
        with session.begin(peers=network_of(FILE, latency=1.0).peers):
            async with Files(store).cat(FILE.root) as chunks:
                await anext(chunks)
            return trio.current_time()

    assert simulate(main) < 2


@wrapped
def test_who_had_the_parent_is_asked_first_for_the_children(wrap, monkeypatch):
    nears = {}

    async def spy(s, cid, *, near=None):
        nears[cid] = near
        return await fetch(s, cid, near=near)

    monkeypatch.setattr("sessionctx.blocks.network.fetch", spy)
    walked(network_of(FILE, can=Can(car=False)), FILE.root, wrap)
    parents = {link: block.cid for block in FILE.blocks if block.cid.codec != RAW for link in block.links()}
    assert nears == parents | {FILE.root: None}


@wrapped
def test_more_peers_are_looked_for_beside_a_slow_walk(wrap):
    quick = network_of(FILE, "quick", rate=40 * MiB, can=Can(car=False)).peers[0]
    router = FakeRouter.naming({FILE.root: [quick]})
    slow = network_of(FILE, rate=64 * 1024, can=Can(car=False))
    assert walked(slow, FILE.root, wrap, routers=[router])[1] < 10  # the slow one takes half a minute
    assert router.asked == [FILE.root]


@wrapped
def test_limits_hold_for_whatever_begins_a_session(wrap):
    async def main(work):
        limits = Limits(requests=1)
        store = wrap(
            NetworkBlocks(MemoryBlockstore(), network_of(FOLDER, can=Can(car=False)).peers, default_limits=limits)
        )
        assert default_limits(store) is limits
        with pytest.raises(LimitReached):
            await work(store)

    async def get(store):
        await resolve(store, FOLDER.root, "0/x")

    async def go(store):
        async with walk(store, FOLDER.root) as found:
            async for _ in found:
                pass

    async def read(store):
        async with Files(store).ls(FOLDER.root, detail=True) as entries:
            async for _ in entries:
                pass

    for work in (go, read, get):
        simulate(main, work)


def test_a_store_without_anybody_behind_it_asks_nobody():
    upstream = upstream_of(MemoryBlockstore())
    assert upstream is TieredBlockstore([MemoryBlockstore()]).upstream
    assert default_limits(MemoryBlockstore()) is None

    async def main():
        with session.begin(peers=network_of(FILE).peers) as s:
            return upstream.asks(s)

    assert not simulate(main)

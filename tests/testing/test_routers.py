"""The fake router: it does what a router does, and nothing else."""

from __future__ import annotations

import pytest
import trio
from trio.testing import assert_checkpoints

from sessionctx.content import CID, DAG_PB, Block
from sessionctx.errors import Busy, InvalidPeer
from sessionctx.testing.network import lone_peer
from sessionctx.testing.routers import FakeRouter

BLOCK = Block.of(b"somewhere")


async def ask(router, cid=BLOCK.cid):
    async with router.providers(cid) as found:
        return [provider async for provider in found]


async def test_it_names_those_who_have_it_and_how_to_ask_them(autojump_clock):
    peers = [lone_peer(f"https://{name}.example", [BLOCK]) for name in "ab"]
    router = FakeRouter.naming({BLOCK.cid: peers}, latency=3.0, pause=1.0)
    began = trio.current_time()
    found = await ask(router)
    assert trio.current_time() - began == 3.0 + 2 * 1.0
    assert [provider.gateways for provider in found] == [("https://a.example",), ("https://b.example",)]
    assert await router.transport("https://a.example").block(BLOCK.cid) == BLOCK.data
    assert router.asked == [BLOCK.cid]


async def test_all_names_of_a_multihash_are_one(autojump_clock):
    router = FakeRouter.naming({BLOCK.cid: [lone_peer("https://a.example")]})
    assert await ask(router, CID.of(BLOCK.data, codec=DAG_PB, version=0)) == await ask(router)


async def test_of_what_it_does_not_know_it_names_nobody(autojump_clock):
    router = FakeRouter()
    with assert_checkpoints():
        assert await ask(router) == []
    with pytest.raises(InvalidPeer, match=r"is no gateway that https://router\.example knows"):
        router.transport("https://a.example")


async def test_it_fails_on_request_and_counts_what_is_under_way(autojump_clock):
    router = FakeRouter(faults=lambda n: Busy("later", retry_after=7) if n == 0 else None)
    with pytest.raises(Busy) as caught:
        await ask(router)
    assert caught.value.peer == router.public
    assert await ask(router) == []
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, router)
    assert (router.worst, router.in_flight, len(router.asked)) == (3, 0, 5)

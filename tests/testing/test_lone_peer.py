"""A peer in a network of its own, for tests with few of them."""

from __future__ import annotations

import pytest
import trio

from sessionctx.content import CID, DAG_PB, Block
from sessionctx.errors import Busy, NotHere, PeerFailed
from sessionctx.testing.fates import raising
from sessionctx.testing.network import SimulatedPeer, lone_peer

BLOCKS = [Block.of(bytes([n]) * 32 * 1024) for n in range(2)]


async def test_it_serves_what_it_holds_under_any_name_of_the_bytes(autojump_clock):
    peer = lone_peer("fake://a", BLOCKS[:1], latency=3.0)
    assert await peer.block(BLOCKS[0].cid) == BLOCKS[0].data
    assert trio.current_time() == 3.0
    assert await peer.block(CID.new(1, DAG_PB, BLOCKS[0].cid.multihash)) == BLOCKS[0].data
    with pytest.raises(NotHere, match="fake://a") as caught:
        await peer.block(BLOCKS[1].cid)
    assert caught.value.peer == "fake://a"


async def test_it_fails_the_requests_that_it_is_told_to(autojump_clock):
    faults = {1: PeerFailed("no"), 3: Busy("later", retry_after=2)}
    peer = lone_peer("fake://a", BLOCKS, faults=[raising(faults.get)])
    for n in range(5):
        if n in faults:
            with pytest.raises(type(faults[n])) as caught:
                await peer.block(BLOCKS[0].cid)
            assert caught.value.peer == "fake://a"
        else:
            assert await peer.block(BLOCKS[0].cid) == BLOCKS[0].data


async def test_it_serves_no_cars_unless_it_can():
    with pytest.raises(PeerFailed, match="serves no CARs"):
        lone_peer("fake://a", BLOCKS).car(BLOCKS[0].cid)


async def test_it_may_be_of_a_class_of_ones_own(autojump_clock):
    class Masked(SimulatedPeer):
        public = "fake://masked"

    with pytest.raises(NotHere, match=r"^fake://masked does not have") as caught:
        await lone_peer("fake://user:secret@masked", kind=Masked).block(BLOCKS[0].cid)
    assert caught.value.peer == "fake://masked"

"""The fakes do what they are told to, on trio's clock: what is proved with them rests on it."""

from __future__ import annotations

import pytest
import trio

from sessionctx.content import Block, verify
from sessionctx.errors import Busy, HashMismatch, NotHere, PeerFailed, Stalled
from sessionctx.testing.fakes import FakePeer
from sessionctx.testing.transport import Told
from sessionctx.transports import Can, Transport

KiB = 1024
BLOCKS = [Block.of(bytes([n]) * 32 * KiB) for n in range(4)]


async def ask(peer, n=0, heard=None):
    return await peer.block(BLOCKS[n].cid, progress=heard)


def test_a_fake_is_a_transport():
    peer: Transport = FakePeer("fake://a", can=Can(best_in_flight=3))
    assert (peer.url, peer.public, peer.can.best_in_flight) == ("fake://a", "fake://a", 3)


async def test_it_serves_what_it_holds_under_any_name_of_the_bytes(autojump_clock):
    peer = FakePeer.holding("fake://a", BLOCKS[:1])
    assert await ask(peer) == BLOCKS[0].data
    assert peer.asked == [BLOCKS[0].cid]
    with pytest.raises(NotHere, match="fake://a") as caught:
        await ask(peer, 1)
    assert caught.value.peer == "fake://a"


async def test_it_answers_after_its_latency(autojump_clock):
    with pytest.raises(NotHere):
        await ask(FakePeer("fake://a", latency=3.0))
    assert trio.current_time() == 3.0


async def test_an_empty_block_is_an_answer(autojump_clock):
    empty = Block.of(b"")
    heard = Told()
    peer = FakePeer.holding("fake://a", [empty])
    assert await peer.block(empty.cid, progress=heard) == b""
    assert heard.sizes == []


async def test_all_requests_share_its_line(autojump_clock):
    peer = FakePeer.holding("fake://a", BLOCKS, latency=1.0, rate=32 * KiB)
    ends = []

    async def one(n):
        await ask(peer, n)
        ends.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for n in range(4):
            nursery.start_soon(one, n)
    assert ends[-1] == pytest.approx(1.0 + 4)
    assert min(ends) > 3  # they share it piece by piece
    assert (peer.worst, peer.in_flight) == (4, 0)


async def test_a_cancelled_request_leaves_the_line_to_the_others(autojump_clock):
    peer = FakePeer.holding("fake://a", BLOCKS, latency=0.0, rate=32 * KiB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, peer, 1)
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert peer.in_flight == 0
    await ask(peer)
    assert trio.current_time() <= 0.1 + 1 + 0.5


async def test_progress_adds_up_to_the_answer(autojump_clock):
    heard = Told()
    await ask(FakePeer.holding("fake://a", BLOCKS), heard=heard)
    assert heard.total == 32 * KiB
    assert len(heard.sizes) > 1


async def test_it_lies(autojump_clock):
    peer = FakePeer.holding("fake://a", [*BLOCKS, Block.of(b"")], lies=True)
    for block in (BLOCKS[0], Block.of(b"")):
        with pytest.raises(HashMismatch):
            verify(block.cid, await peer.block(block.cid))


async def test_it_falls_silent_until_patience_ends(autojump_clock):
    heard = Told()
    peer = FakePeer.holding("fake://a", BLOCKS, latency=0.0, stalls_after=20 * KiB, patience=5.0)
    with pytest.raises(Stalled, match="5 seconds") as caught:
        await ask(peer, heard=heard)
    assert caught.value.peer == "fake://a"
    assert trio.current_time() == 5.0
    assert 0 < heard.total <= 20 * KiB


async def test_it_fails_the_requests_that_it_is_told_to(autojump_clock):
    faults = {1: PeerFailed("no"), 3: Busy("later", retry_after=2)}
    peer = FakePeer.holding("fake://a", BLOCKS, faults=faults.get)
    for n in range(5):
        if n in faults:
            with pytest.raises(type(faults[n])) as caught:
                await ask(peer)
            assert caught.value.peer == "fake://a"
        else:
            assert await ask(peer) == BLOCKS[0].data


async def test_it_serves_no_cars():
    with pytest.raises(PeerFailed):
        async with FakePeer("fake://a").car(BLOCKS[0].cid):
            raise AssertionError

"""Priors: a second run begins with what the first one has learnt."""

from __future__ import annotations

import json
import logging
import time

import pytest
import trio

from sessionctx import Node, session
from sessionctx.fetch import FETCHER, Priors
from sessionctx.node import PRIORS_NAME
from sessionctx.peers import Ledger, Peer
from sessionctx.session import events
from sessionctx.testing import samples
from sessionctx.testing.network import lone_peer
from sessionctx.transports import Can

FILE = samples.file(1024 * 1024, chunk=64 * 1024)
MORE = samples.blocks(3, 5000)


def pool():
    options = {"can": Can(car=False)}
    slow = lone_peer("fake://slow", [*FILE.blocks, *MORE], latency=0.5, rate=1e5, **options)
    return [slow, lone_peer("fake://fast", [*FILE.blocks, *MORE], latency=0.01, rate=1e8, **options)]


async def run(folder, peers, cids):
    """Get the blocks; return how long their requests took. (The store works in threads, whose time is not the clock's.)"""
    took = []
    async with Node.open(folder) as node:
        with session.begin(peers=peers) as s:
            s.subscribe(lambda event: took.append(event.seconds) if isinstance(event, events.Answered) else None)
            for cid in cids:
                await node.blocks.get(cid)
    return sum(took)


async def test_a_second_run_asks_the_good_peer_first(tmp_path, autojump_clock):
    await run(tmp_path, pool(), [block.cid for block in FILE.blocks])
    remembered = json.loads((tmp_path / PRIORS_NAME).read_text())
    assert set(remembered["peers"]) == {"fake://slow", "fake://fast"}
    peers = pool()
    assert await run(tmp_path, peers, [MORE[0].cid]) < 0.1
    assert [len(peer.asked) for peer in peers] == [0, 1]


async def test_a_session_that_outlives_the_node_is_remembered_too(tmp_path, autojump_clock):
    with session.begin(peers=pool()):
        async with Node.open(tmp_path) as node:
            await node.blocks.get(MORE[0].cid)
        assert (tmp_path / PRIORS_NAME).exists()


async def test_without_anything_learnt_nothing_is_written(tmp_path, autojump_clock):
    async with Node.open(tmp_path):
        pass
    assert not (tmp_path / PRIORS_NAME).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 9}', "\0" * 10, "[" * 200_000])
async def test_a_damaged_file_is_told_and_written_anew(text, tmp_path, autojump_clock, caplog):
    (tmp_path / PRIORS_NAME).write_text(text)
    with caplog.at_level(logging.WARNING, "sessionctx.fetch"):
        await run(tmp_path, pool(), [MORE[0].cid])
    assert len([told for told in caplog.records if PRIORS_NAME in told.getMessage()]) == 1
    assert json.loads((tmp_path / PRIORS_NAME).read_text())["version"] == 1


async def test_two_nodes_on_one_folder_keep_what_both_have_learnt(tmp_path, autojump_clock):
    one, other = pool()
    async with Node.open(tmp_path) as node:
        with session.begin(peers=[one]):
            await node.blocks.get(MORE[0].cid)
        await run(tmp_path, [other], [MORE[1].cid])
    assert set(json.loads((tmp_path / PRIORS_NAME).read_text())["peers"]) == {"fake://slow", "fake://fast"}


async def test_two_nodes_in_one_session_both_learn(tmp_path, autojump_clock):
    async with Node.open(tmp_path / "a") as one, Node.open(tmp_path / "b") as other:
        with session.begin(peers=pool()):
            await one.blocks.get(MORE[0].cid)
            await other.blocks.get(MORE[1].cid)
    assert (tmp_path / "a" / PRIORS_NAME).exists()
    assert (tmp_path / "b" / PRIORS_NAME).exists()


async def test_who_was_met_before_the_node_is_recalled_too(tmp_path, autojump_clock):
    await run(tmp_path, pool(), [block.cid for block in FILE.blocks])
    peers = pool()
    with session.begin(peers=peers) as s:
        FETCHER.of(s).met.meet()
        async with Node.open(tmp_path) as node:
            await node.blocks.get(MORE[0].cid)
    assert not peers[0].asked


async def test_saving_at_the_same_time_loses_nothing(tmp_path, caplog):
    path = tmp_path / PRIORS_NAME
    async with trio.open_nursery() as nursery:
        for n in range(8):
            record = Ledger().add(Peer(f"fake://{n}", f"fake://{n}"))
            record.asked = 1
            record.heard(latency=0.1, rate=1e6)
            priors = Priors(path)
            priors.learn([record])
            nursery.start_soon(priors.save)
    assert set(json.loads(path.read_text())["peers"]) == {f"fake://{n}" for n in range(8)}
    assert not caplog.records
    assert [each.name for each in tmp_path.iterdir()] == [PRIORS_NAME]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_it_is_saved_however_the_node_is_left(cancelled, tmp_path, autojump_clock):
    with trio.CancelScope() as scope:
        try:
            async with Node.open(tmp_path) as node:
                with session.begin(peers=pool()):
                    await node.blocks.get(MORE[0].cid)
                if not cancelled:
                    raise KeyError
                scope.cancel()
                await trio.sleep_forever()
        except KeyError:
            pass
    assert time.time() - json.loads((tmp_path / PRIORS_NAME).read_text())["peers"]["fake://fast"]["seen"] < 60

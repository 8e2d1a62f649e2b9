"""Resuming: what was verified and kept is not fetched again, whenever it was stopped and whoever is asked then.

What may come twice is what was in flight: blocks that were sent, or handed to a task, and not stored yet.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node, session
from sessionctx.blocks import DiskBlockstore, MemoryBlockstore
from sessionctx.errors import FetchFailed
from sessionctx.testing import fates, samples
from sessionctx.testing.network import Network, simulate
from sessionctx.transports import Can
from tests.profiles import examples

KiB, MiB = 1024, 1024 * 1024
FOLDERS = {"flat": samples.folder(150, 3000), "sharded": samples.folder(150, 3000, sharded=True)}
FILE = samples.file(1200 * KiB, chunk=8 * KiB, width=12)
IN_FLIGHT = 32 + 2 * 8 + 2 * 64 * KiB // 3000 + 8
"""Blocks: what a walk has ahead, what two peers are asked for, what two of their CARs have sent in pieces of 64 KiB."""


async def walk(node, sample, tick):
    async with node.dag.walk(sample.root) as found:
        async for _ in found:
            tick()


async def cat(node, sample, tick):
    parts = []
    async with node.files.cat(sample.root) as chunks:
        async for chunk in chunks:
            parts.append(chunk)
            tick()
    assert b"".join(parts) == sample.data


async def export(node, sample, tick):
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "out"
        await node.files.export(sample.root, target, progress=lambda *_: tick())
        found = [target] if target.is_file() else target.iterdir()
        assert {path.name if target.is_dir() else "": path.read_bytes() for path in found} == sample.files


def network_of(sample, *, cars, speed=1, faults=()):
    network = Network(sample.blocks, seed=3)
    for n in range(2):
        can = Can(car=cars)
        network.peer(f"{n}", latency=0.02 / speed, rate=2 * MiB * speed, can=can, faults=faults)
    return network


def whole(network, sample):
    """The blocks that were sent to the end."""
    sent = network._sent
    return {block.cid for block in sample.blocks if sent.get(block.cid.multihash, 0) >= len(block.data)}


async def stop_and_go_on(use, sample, store, first, second, *, after=None, count=None):
    """Stop it after so many seconds, or when so many pieces have come; go on with other peers in another session."""
    node, left = Node.over(store), count

    def tick():
        nonlocal left
        if left is not None:
            left -= 1
            if left <= 0:
                scope.cancel()

    with session.begin(peers=first.peers), trio.move_on_after(after or 3600) as scope:
        await use(node, sample, tick)
    await store.sync()  # who gives up does not stop what was handed to the disk
    kept = {block.cid for block in sample.blocks if await store.has(block.cid)}
    left = None
    with session.begin(peers=second.peers) as s:
        await use(node, sample, tick)
        account = s.statistics()
    missing = {block.cid for block in sample.blocks} - kept
    again = whole(second, sample) & kept
    assert again == set(), f"{len(again)} of {len(kept)} that were kept came again"
    assert whole(second, sample) == missing
    assert set(second.peers[0].asked + second.peers[1].asked) <= missing
    lost = whole(first, sample) - kept
    assert len(lost) <= IN_FLIGHT
    assert account.requests <= max(len(missing), 1) + 16  # some are doubled at the end
    return len(kept)


WAYS = [(walk, "flat"), (walk, "sharded"), (export, "flat"), (export, "sharded"), (cat, None), (export, None)]


@pytest.mark.parametrize("cars", [True, False])
@pytest.mark.parametrize(("use", "kind"), WAYS)
@examples(2)
@given(share=st.floats(0.001, 1.1))
def test_what_was_kept_does_not_come_again(use, kind, cars, share):
    """Stopped after a share of the time that all of it takes, which is about half a second."""
    sample, after = FOLDERS.get(kind, FILE), 0.5 * share
    first, second = network_of(sample, cars=cars), network_of(sample, cars=cars)
    simulate(lambda: stop_and_go_on(use, sample, MemoryBlockstore(), first, second, after=after))


@examples(3)
@given(count=st.integers(1, 125))
@pytest.mark.parametrize("cars", [True, False])
def test_nor_what_was_kept_on_the_disk(cars, count):
    """On a clock that runs: the disk has threads, and those do not wait for a simulated one."""
    sample = FOLDERS["sharded"]
    first, second = network_of(sample, cars=cars, speed=40), network_of(sample, cars=cars, speed=40)

    async def main(path):
        async with DiskBlockstore.open(path) as store:
            return await stop_and_go_on(walk, sample, store, first, second, count=count)

    with tempfile.TemporaryDirectory() as directory:
        assert trio.run(main, Path(directory) / "blocks.sqlite3") >= min(count, 1)


@examples(5)
@given(at=st.integers(1_000, 450_000))
def test_a_fetch_whose_peers_all_break_off_keeps_what_came(at):
    """The same where nobody stopped it: each answer was cut, and then nobody was there any more."""
    sample = FOLDERS["flat"]
    gone = [fates.during(fates.refusing(), since=0.3), fates.truncating(after=at)]
    first, second = network_of(sample, cars=True, faults=gone), network_of(sample, cars=True)

    async def broken(node, sample, tick):
        try:
            await walk(node, sample, tick)
        except FetchFailed:
            assert not second.traffic.requests

    simulate(lambda: stop_and_go_on(broken, sample, MemoryBlockstore(), first, second))

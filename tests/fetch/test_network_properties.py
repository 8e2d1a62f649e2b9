"""What a fetch owes to whoever asks, whatever the peers are: held to account on a simulated network.

The times that are allowed are the line-rate bound of the healthy part, 15 percent more, and what it takes to get going,
which `startup` states.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.errors import BlockNotFound, FetchFailed, SessionctxError
from sessionctx.fetch import fetch
from sessionctx.peers import PeerStatistics, statistics
from sessionctx.session import Statistics
from sessionctx.testing import fates, samples
from sessionctx.testing.line import Line
from sessionctx.testing.network import Network, simulate

KiB, MiB = 1024, 1024 * 1024

FAULTS = {
    "": [],
    "lies": [fates.lying()],
    "lies sometimes": [fates.lying(0.05)],
    "is silent": [fates.losing()],
    "loses some": [fates.losing(0.05)],
    "stops": [fates.stalling(after=30_000)],
    "stops sometimes": [fates.stalling(0.1, after=30_000)],
    "pauses": [fates.stalling(0.2, after=30_000, seconds=1.0)],
    "fails": [fates.failing()],
    "fails sometimes": [fates.failing(0.05)],
    "fails often": [fates.failing(0.4)],
    "refuses": [fates.refusing()],
    "is busy": [fates.during(fates.busy(), until=2.0)],
    "is busy, and says until when": [fates.during(fates.busy(retry_after=2.0), until=2.0)],
    "is crowded": [fates.crowded(2)],
    "cuts answers": [fates.truncating(after=30_000)],
    "breaks connections": [fates.resetting(0.1, after=30_000)],
    "is late": [fates.late(0.05, seconds=1.0)],
    "comes": [fates.churning(joins=1.0)],
    "goes": [fates.churning(leaves=0.5)],
    "all at once": [fates.lying(0.01), fates.failing(0.1), fates.losing(0.05), fates.late(0.1, seconds=0.5)],
}


@attrs.frozen
class Sim:
    """One peer of a pool."""

    latency: float = 0.01
    rate: float = 4.0  # MiB per second
    fault: str = ""
    share: float = 1.0

    def one(self, size: int) -> float:
        """How long one block of it takes, alone."""
        return self.latency + size / MiB / self.rate


@attrs.frozen
class Played:
    """How it went."""

    result: object
    seconds: float
    account: Statistics
    rows: Sequence[PeerStatistics]
    network: Network

    @property
    def wasted(self) -> int:
        return self.account.duplicate_bytes


def network_of(pool, blocks, seed=0, chunk=64 * KiB):
    network = Network(blocks, seed=seed)
    for n, peer in enumerate(pool):
        faults = FAULTS[peer.fault]
        network.peer(
            f"{n}", peer.share, latency=peer.latency, rate=peer.rate * MiB, faults=faults, chunk=chunk
        )
    return network


def play(network, use, *, peers=None):
    """What ``use(node, s)`` gives or raises, with all peers of the network; and nothing is left behind."""

    async def main():
        before = trio.lowlevel.current_statistics().tasks_living
        node = Node.over(MemoryBlockstore())
        with session.begin(peers=network.peers if peers is None else peers) as s:
            try:
                result = await use(node, s)
            except SessionctxError as error:
                result = error
            rows = statistics(s)
            seconds = trio.current_time()
            assert len(session.flights(s)) == 0, "a name is in flight"
        assert trio.lowlevel.current_statistics().tasks_living == before, "a task is left"
        played = Played(result, seconds, s.statistics(), rows, network)
        adds_up(played)
        return played

    return simulate(main)


def adds_up(played):
    """Law 15: everything that was asked is accounted, and what the session tells is what its peers saw."""
    account, rows, traffic = played.account, played.rows, played.network.traffic
    assert account.wants == account.found + account.missing + account.failed + account.cancelled
    assert account.open == account.in_flight == traffic.in_flight == 0
    assert account.requests == sum(row.asked for row in rows)
    dropped = sum(row.cancelled for row in rows)
    assert account.requests - dropped <= traffic.requests <= account.requests  # some are dropped before they are sent
    assert account.bytes == sum(row.bytes for row in rows) == traffic.bytes
    for row in rows:
        assert row.asked == row.found + row.missing + row.failed + row.lied + row.cancelled
        assert row.in_flight == 0
    assert account.duplicate_bytes <= account.bytes


async def cat(node, _, *, sample, ahead=32):
    async with node.files.cat(sample.root, ahead=ahead) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def walk(node, _, *, sample):
    async with node.dag.walk(sample.root) as found:
        return {block.cid: block.data async for block in found}


latencies, rates = st.sampled_from([0.0, 0.01, 0.05]), st.sampled_from([1.0, 4.0, 16.0])
healthy = st.builds(Sim, latencies, rates)
anybody = st.builds(Sim, latencies, rates, st.sampled_from(list(FAULTS)), st.sampled_from([1.0, 1.0, 0.7, 0.3, 0.0]))

# --- the right bytes, or a true error

LITTLE = samples.file(300 * KiB, chunk=8 * KiB, width=6)
FOLDER = samples.folder(40, 3000, sharded=True)


@settings(max_examples=60)
@given(pool=st.lists(anybody, min_size=1, max_size=6), seed=st.integers(0, 99))
@example(pool=[Sim(fault="is busy"), Sim(fault="comes")], seed=0)
def test_a_fetch_ends_with_the_right_bytes_or_with_a_true_error(pool, seed):
    """Whoever is asked: what comes is right. Who says that a block does not exist has asked all, and nobody has it; who
    says that it cannot be had names each peer; and neither happens if a sound peer has it."""
    network = network_of(pool, LITTLE.blocks, seed)
    result = play(network, partial(cat, sample=LITTLE)).result
    if isinstance(result, Exception):
        tells_the_truth(result, LITTLE, network)
    else:
        assert result == LITTLE.data


@settings(max_examples=40)
@given(pool=st.lists(anybody, min_size=1, max_size=6), seed=st.integers(0, 99))
def test_a_walk_ends_with_each_block_or_with_a_true_error(pool, seed):
    network = network_of(pool, FOLDER.blocks, seed)
    result = play(network, partial(walk, sample=FOLDER)).result
    if isinstance(result, Exception):
        tells_the_truth(result, FOLDER, network)
    else:
        assert result == {block.cid: block.data for block in FOLDER.blocks}


def tells_the_truth(error, sample, network):
    assert isinstance(error, BlockNotFound | FetchFailed), repr(error)
    named = str(error).partition(":")[0]
    cid = next(block.cid for block in sample.blocks if str(block.cid) in named)
    holders = [peer for peer in network.peers if peer.find(cid) is not None]
    assert set(error.reasons) == {peer.public for peer in network.peers}
    assert not any(peer in network.healthy() for peer in holders), "a sound peer has it"
    if isinstance(error, BlockNotFound):
        assert holders == [], "somebody has it"


@settings(max_examples=20)
@given(pool=st.lists(anybody, max_size=4), at=st.integers(0, 4), seed=st.integers(0, 99))
def test_a_folder_is_exported_whole_or_not_at_all(pool, at, seed):
    """With a sound peer anywhere among them it is whole; without, it is there whole or nothing of it is."""
    sound = [Sim()] if seed % 2 else []
    network = network_of([*pool[:at], *sound, *pool[at:]], FOLDER.blocks, seed)
    assume(network.peers)
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out"
        result = play(network, lambda node, _: node.files.export(FOLDER.root, out)).result
        if isinstance(result, Exception):
            tells_the_truth(result, FOLDER, network)
            assert list(Path(directory).iterdir()) == []
        else:
            assert {path.name: path.read_bytes() for path in out.iterdir()} == FOLDER.files
        assert not (sound and isinstance(result, Exception))


# --- line rate

BIG = samples.file(32 * MiB, chunk=256 * KiB)
BLOCK = 256 * KiB


def startup(pool):
    """Seconds that no fetch can spare: the root, a node and a leaf, one after the other from the best peer that is
    sound and has all; and one block from each peer, to meet it. Who misbehaves costs half a second more."""
    best = min(peer.one(BLOCK) for peer in pool if not peer.fault and peer.share == 1.0)
    return 3 * best + sum(peer.one(BLOCK) + 0.5 * bool(peer.fault) for peer in pool)


def bound(network, pool):
    """The line-rate bound of the peers that are sound and have all."""
    sound = [peer for peer, sim in zip(network.peers, pool, strict=True) if not sim.fault and sim.share == 1.0]
    return network.seconds_at_line_rate(BIG.size, sound)


def at_line_rate(pool, seed=0, **options):
    network = network_of(pool, BIG.blocks, seed)
    played = play(network, partial(cat, sample=BIG, **options))
    assert played.result == BIG.data
    limit = 1.15 * bound(network, pool) + startup(pool)
    assert played.seconds <= limit, f"{played.seconds:.2f} s, allowed are {limit:.2f} s"
    return played


@settings(max_examples=12)
@given(pool=st.lists(healthy, min_size=1, max_size=5))
def test_sound_peers_are_used_at_line_rate(pool):
    """However fast and near they are, a big file comes nearly as fast as all their lines together can bring it."""
    played = at_line_rate(pool)
    assert played.wasted <= 0.05 * BIG.size + 2 * BLOCK
    assert sum(played.network.duplicates().values()) <= 0.05 * BIG.size + 2 * BLOCK


@settings(max_examples=12)
@given(
    sound=st.lists(healthy, min_size=1, max_size=3),
    other=st.builds(Sim, latencies, rates, st.sampled_from(list(FAULTS)), st.sampled_from([1.0, 0.5, 0.1])),
    at=st.integers(0, 3),
    seed=st.integers(0, 9),
)
def test_a_bad_peer_among_sound_ones_costs_little(sound, other, at, seed):
    """Whatever is wrong with one peer, the file comes about as fast as the sound ones can bring it, and they send
    little in vain: where a fault wastes bytes, they are those of its peer."""
    pool = [*sound[:at], other, *sound[at:]]
    played = at_line_rate(pool, seed)
    leaf_bytes = {row.url: row.bytes - row.found * BLOCK for row in played.rows}
    in_vain = sum(size for url, size in leaf_bytes.items() if url != f"sim://{min(at, len(sound))}")
    assert in_vain <= 0.05 * BIG.size + 2 * BLOCK

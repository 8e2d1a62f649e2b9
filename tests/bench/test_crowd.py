"""A crowd of peers, in small; `python -m tests.bench scale` has the big one."""

from __future__ import annotations

import pytest

from sessionctx.testing import samples
from sessionctx.testing.network import Network, simulate
from tests.bench import crowd as module
from tests.bench.crowd import crowd, fetch_all, timed

BLOCKS = samples.blocks(1000, 1024)


def test_a_crowd_serves_a_thousand_blocks():
    network = Network(BLOCKS, seed=1)
    crowd(network, 50)
    with timed("sessionctx.fetch.run", "assign") as watch:
        result = simulate(fetch_all, network, BLOCKS, 64)
    account = result.account
    assert (result.failed, account.found, account.open, account.in_flight) == (0, 1000, 0, 0)
    assert account.requests == network.traffic.requests
    assert account.duplicate_bytes <= 0.05 * 1024 * 1000
    assert result.slowest < 3.0  # nobody starves: a request is given up after 2 s of silence at the latest
    assert result.seconds < 6.0  # 64 wants at a time at 80 ms, and time to meet the peers
    assert watch.seconds > 0
    assert watch.calls > 0


def test_a_crowd_is_mixed_and_the_same_each_time():
    def described(seed):
        network = Network(BLOCKS, seed=seed)
        crowd(network, 200)
        held = [sum(peer.find(block.cid) is not None for block in BLOCKS[:200]) for peer in network.peers]
        return [(peer.latency, peer.line.rate, len(peer.faults)) for peer in network.peers], held

    peers, held = described(1)
    assert described(1) == (peers, held) != described(2)
    assert 5 <= sum(faults for _, _, faults in peers) <= 40
    assert held.count(200) > 25
    assert sum(each < 10 for each in held) > 25
    latencies = sorted(latency for latency, _, _ in peers)
    assert latencies[10] < 0.04 < 0.06 < latencies[100] < 0.11 < 0.18 < latencies[190]


def test_a_stopwatch_leaves_no_trace():
    before = module.crowd
    with pytest.raises(KeyError), timed("tests.bench.crowd", "crowd") as watch:
        assert module.crowd is not before
        module.crowd(Network(), 3)
        raise KeyError
    assert (watch.calls, module.crowd) == (1, before)

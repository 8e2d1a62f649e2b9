"""What it costs to have many peers: a crowd of them on a clock that jumps, so that only thinking takes time."""

from __future__ import annotations

import math

from tests.bench.harness import Row, bench

PLAN = ("sessionctx.fetch.run", "assign")
"""The function in which it is decided who is asked for what."""
WANTS = 64


@bench("scale.crowd")
def many_peers(quick):
    """Many blocks from many peers: CPU per block, and CPU in the plan for each turn of it, and for each request."""
    for peers, count in ((10, 100),) if quick else ((50, 10_000), (1000, 100_000)):
        result, watch = _fetch(peers, count)
        name = f"{count} blocks from {peers} peers"
        yield Row(f"{name}, one turn of the plan", watch.seconds / watch.calls * 1e6, "us", 20)
        yield Row(f"{name}, in the plan for each request", _per_request(result, watch), "us")
        yield Row(f"{name}, CPU per block", result.cpu / count * 1e6, "us")
        yield Row(f"{name}, the slowest want", result.slowest, "s", 3.0)
        yield Row(f"{name}, requests per block", result.account.requests / count, "times", 1.2)


@bench("scale.growth")
def growth(quick):
    """How the time of a decision grows with the number of peers; it may do so as the logarithm does."""
    few, many, count = (4, 8, 50) if quick else (30, 1000, 3000)
    ratio = _per_request(*_fetch(many, count)) / _per_request(*_fetch(few, count))
    yield Row(f"a decision among {many} peers, against {few}", ratio, "times", math.log(many) / math.log(few))


def _fetch(peers, count):
    from sessionctx.testing import samples
    from sessionctx.testing.network import Network, simulate
    from tests.bench.crowd import crowd, fetch_all, timed

    blocks = samples.blocks(count, 1024)
    network = Network(blocks, seed=1)
    crowd(network, peers)
    with timed(*PLAN) as watch:
        result = simulate(fetch_all, network, blocks, WANTS)
    assert result.failed == 0
    return result, watch


def _per_request(result, watch):
    """Microseconds in the plan for each request that was sent."""
    return watch.seconds / result.account.requests * 1e6

"""What it costs to ask many peers, and what it brings: CPU per block, and times on a clock that jumps."""

from __future__ import annotations

import itertools
import statistics
import time
from functools import partial

from tests.bench.harness import Row, bench, measure

KiB, MiB = 1024, 1024 * 1024


@bench("fetch.cost")
def cost(quick):
    """CPU of everything between a want and its verified bytes, the network aside: peers answer at once."""
    count = 50 if quick else 2000
    for peers, width, limit in ((1, 1, 150), (4, 32, 150), (16, 64, 250)):
        costs = [_cost(peers, width, count) for _ in range(1 if quick else 5)]
        spread = statistics.median(costs) / min(costs) - 1
        name = f"one block of 1 KiB, {peers} peers, {width} wants at a time"
        yield Row(name, min(costs), "us", limit, spread)


def _cost(peers, width, count):
    import trio

    from sessionctx.testing.network import SimulatedPeer, lone_peer

    class Instant(SimulatedPeer):
        async def block(self, cid, *, progress=None):
            await trio.lowlevel.checkpoint()
            data = self.network.find(cid)
            progress.came(len(data))
            return data

    blocks = _blocks(count, 1 * KiB)
    pool = [lone_peer(f"fake://{n}", blocks, kind=Instant) for n in range(peers)]
    began = time.process_time()
    trio.run(_fetch_all, blocks, pool, width)
    return (time.process_time() - began) / count * 1e6


@bench("fetch.plan")
def plan(quick):
    """What one decision costs: whom to ask for a want, and keeping the peers in order when it is asked and answered."""
    for peers, wants in ((4, 32), (16, 64), (100, 64), (1000, 64)):
        costs = [_decisions(peers, wants, 200 if quick else 20_000) for _ in range(1 if quick else 5)]
        spread = statistics.median(costs) / min(costs) - 1
        yield Row(f"one decision, {peers} peers, {wants} wants at a time", min(costs), "us", 20, spread)


def _decisions(peers, wants, count):
    """Microseconds in the plan per request, of *count* requests that are answered one by one, the oldest first."""
    from collections import deque

    from sessionctx.content import CID
    from sessionctx.fetch.job import Job
    from sessionctx.fetch.needs import Needs
    from sessionctx.fetch.plan import assign
    from sessionctx.fetch.pool import Pool
    from sessionctx.peers import Ask, Ledger, Peer

    ledger = Ledger()
    records = [ledger.add(Peer(f"fake://{n}", f"fake://{n}")) for n in range(peers)]
    for n, record in enumerate(records):
        for _ in range(8):
            Ask(record, "before", 1000, 0.0, predicted=1.0).found(0.01 * (n % 7 + 1))
        record.rate = 1e7 / (n % 5 + 1)
    needs, pool, flying = Needs(), Pool(records), deque()
    spent = now = 0.0
    decided = looks = 0
    clock = _clock()
    names = (CID.of(n.to_bytes(4, "big")) for n in itertools.count())
    while decided < count:
        while len(needs) < wants:
            needs.add(Job(next(names), 256 * KiB))
        began = time.thread_time()
        grants = assign(needs, pool, room=float("inf"), now=now, hedges=True)
        spent += time.thread_time() - began
        decided += len(grants)
        looks += 1 + len(grants)
        for grant in grants:
            ask = Ask(grant.record, grant.job.name, grant.job.size, now, predicted=grant.predicted, late_at=now + 99)
            grant.job.asks.append(ask)
            flying.append((grant.job, ask))
            began = time.thread_time()
            needs.changed(grant.job)
            spent += time.thread_time() - began
        now += 0.001
        job, ask = flying.popleft()
        ask.arrived(256 * KiB, now)
        ask.found(now)
        job.asks.clear()
        needs.drop(job)
    return (spent - looks * clock) / decided * 1e6


def _clock(count=10_000):
    """Seconds that pass between two looks at the clock, for nothing."""
    spent = 0.0
    for _ in range(count):
        began = time.thread_time()
        spent += time.thread_time() - began
    return spent / count


@bench("fetch.ledger")
def ledger(quick):
    from sessionctx.peers import Ask, Ledger, Peer

    book = Ledger()
    text = "ask = Ask(record, 'name', 1000, 0.0, predicted=1.0, late_at=9.0); ask.arrived(1000, 0.1); ask.found(0.2)"
    names = {"Ask": Ask, "record": book.add(Peer("fake://a", "fake://a"))}
    yield measure("one request: asked, arrived, found", text, names, unit="us", quick=quick)
    names = {"Ask": Ask, "record": book.child().add(Peer("fake://a", "fake://a"))}
    yield measure("one request, in a fork", text, names, unit="us", quick=quick)


@bench("fetch.time")
def virtual_time(quick):
    """Many peers against the sum of their lines, in virtual seconds: what the plan loses, on any machine."""
    blocks = _blocks(16 if quick else 256, 256 * KiB)
    line = {"latency": 0.005, "rate": 10 * MiB}
    fast, slow = {"latency": 0.03, "rate": 20 * MiB}, {"latency": 0.03, "rate": 2 * MiB}

    def rate(name, pool, limit):
        return Row(name, len(blocks) / 4 / _seconds(blocks, pool), "MiB/s", limit)

    yield rate("three peers of 10 MiB/s", [line] * 3, 0.93 * 30)
    yield rate("peers of 20, 2 and 2 MiB/s", [fast, slow, slow], 0.9 * 24)
    for name, fault in _faults().items():
        yield rate(f"three peers of 10 MiB/s, one {name}", [line | fault, line, line], 20 / 1.25)


@bench("fetch.never_worse")
def never_worse(quick):
    """Pools in which all but one peer misbehave, against that one alone: virtual seconds, as a ratio."""
    blocks = _blocks(16 if quick else 48, 64 * KiB)
    line = {"latency": 0.005, "rate": 10 * MiB}
    bad = [line | fault for fault in _faults().values()]
    for width in (1, 8, 32):
        ratio = _seconds(blocks, [line, *bad], width) / _seconds(blocks, [line], width)
        yield Row(f"one good peer and {len(bad)} bad ones, {width} wants at a time", ratio, "times", 1.1)


def _faults():
    from sessionctx.errors import PeerFailed, Unreachable
    from sessionctx.testing.fates import lying, raising, stalling

    return {
        "that lies": {"faults": [lying()]},
        "that is silent": {"faults": [stalling()]},
        "that stops after 100 KiB": {"faults": [stalling(after=100 * KiB)]},
        "that fails every 20th": {"faults": [raising(lambda n: PeerFailed("out of order") if n % 20 == 19 else None)]},
        "that refuses": {"faults": [raising(lambda _: Unreachable("refused"))]},
    }


def _seconds(blocks, options, width=32):
    import trio
    from trio.testing import MockClock

    from sessionctx.testing.network import lone_peer

    pool = [lone_peer(f"fake://{n}", blocks, **each) for n, each in enumerate(options)]
    return trio.run(_fetch_all, blocks, pool, width, clock=MockClock(autojump_threshold=0))


async def _fetch_all(blocks, pool, width):
    """Fetch all blocks from the pool, *width* at a time; return in how many seconds."""
    import trio

    from sessionctx import session
    from sessionctx.fetch import fetch

    todo = iter(blocks)

    async def work(s):
        for block in todo:
            await session.share(s, block.cid, partial(fetch, s, block.cid), key=block.cid.multihash)

    began = trio.current_time()
    with session.begin(peers=pool) as s:
        async with trio.open_nursery() as nursery:
            for _ in range(width):
                nursery.start_soon(work, s)
    return trio.current_time() - began


def _blocks(count, size):
    from sessionctx.content import Block

    return [Block.of(n.to_bytes(4, "big") + bytes(size - 4)) for n in range(count)]

"""Many peers of all kinds, and a fetch from all of them: what grows with their number shows here.

::

    network = Network(samples.blocks(100_000, 1024), seed=1)
    crowd(network, 1_000)
    with timed("sessionctx.fetch.run", "assign") as watch:
        result = simulate(fetch_all, network, samples.blocks(100_000, 1024), 64)
    print(result, watch.seconds / watch.calls)
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import attrs
import trio

from sessionctx import session
from sessionctx.content import MAX_BLOCK, Block
from sessionctx.errors import SessionctxError
from sessionctx.fetch import fetch
from sessionctx.session import Statistics
from sessionctx.testing import fates
from sessionctx.testing.chance import dice, draw, lognormal
from sessionctx.testing.fates import Fault
from sessionctx.testing.network import Network

SHARES: Final = (1.0, 0.5, 0.1, 0.02)
"""What peers of a crowd hold, one as often as the other."""
FAULTS: Final[tuple[Fault, ...]] = (
    fates.failing(0.2),
    fates.refusing(),
    fates.losing(0.1),
    fates.lying(0.01),
    fates.late(0.1, seconds=1.0),
    fates.busy(0.1, retry_after=1.0),
    fates.churning(leaves=5.0),
    fates.stalling(0.05),
)


def crowd(network: Network, count: int, *, faulty: float = 0.1) -> None:
    """Add *count* peers of all kinds: half of them within 80 ms and over 4 MiB/s, some of them far from that.

    Every fourth holds everything, the others a half, a tenth or a fiftieth. A share of them is *faulty*, each in one
    way. Answers go over the line in one piece, so that a request costs little to simulate.
    """
    for n in range(count):
        random = dice(network.seed, "crowd", n)
        network.peer(
            f"crowd-{n}",
            random.choice(SHARES),
            latency=draw(lognormal(0.08, 0.7), random),
            rate=draw(lognormal(4 * 1024 * 1024, 1.0), random),
            faults=[random.choice(FAULTS)] if random.random() < faulty else [],
            chunk=MAX_BLOCK,
        )


@attrs.frozen(kw_only=True)
class Outcome:
    """How a fetch of many blocks went."""

    seconds: float
    """On trio's clock."""
    cpu: float
    """Seconds of this process's CPU."""
    slowest: float
    """Seconds that the want took which took longest."""
    failed: int
    """Wants that ended in an error."""
    account: Statistics


async def fetch_all(network: Network, blocks: Iterable[Block], width: int) -> Outcome:
    """Fetch *blocks* from all peers in one session, *width* wants at a time, and say how that went."""
    todo, slowest, failed = iter(blocks), 0.0, 0
    began, cpu = trio.current_time(), time.process_time()

    async def work(s: session.Session) -> None:
        nonlocal slowest, failed
        for block in todo:
            asked = trio.current_time()
            try:
                await session.share(s, block.cid, partial(fetch, s, block.cid), key=block.cid.multihash)
            except SessionctxError:
                failed += 1
            slowest = max(slowest, trio.current_time() - asked)

    with session.begin(peers=network.peers) as s:
        async with trio.open_nursery() as nursery:
            for _ in range(width):
                nursery.start_soon(work, s)
    return Outcome(
        seconds=trio.current_time() - began,
        cpu=time.process_time() - cpu,
        slowest=slowest,
        failed=failed,
        account=s.statistics(),
    )


@attrs.define
class Stopwatch:
    """How often a function was called, and what that took in all."""

    calls: int = 0
    seconds: float = 0.0
    """Of this thread's CPU: other work on the machine does not count."""


@contextmanager
def timed(module: str, name: str) -> Generator[Stopwatch]:
    """Time all calls of the plain function *name* that *module* makes, while the block runs."""
    owner, watch = importlib.import_module(module), Stopwatch()
    function = getattr(owner, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            watch.calls += 1
            watch.seconds += time.thread_time() - began

    setattr(owner, name, wrapper)
    try:
        yield watch
    finally:
        setattr(owner, name, function)

"""What a session costs where nothing has to be fetched, or around what is."""

from __future__ import annotations

from time import perf_counter

import trio

from tests.bench import fetch, session
from tests.bench.harness import Row, bench

HITS = 20_000


@bench("overhead")
def overhead(quick):
    yield from session.current(quick)
    yield from session.begin(quick)
    yield from session.bookkeeping(quick)
    yield from fetch.ledger(quick)
    rates = sorted(trio.run(_hits, 20 if quick else HITS) for _ in range(1 if quick else 5))
    yield Row("local hits", rates[-1], "hits/s", spread=1 - rates[len(rates) // 2] / rates[-1])


async def _hits(count):
    """Gets a second of a block that is in memory, inside a session."""
    from sessionctx import Node
    from sessionctx.content import Block
    from sessionctx.session import begin

    block = Block.of(bytes(1024))
    async with Node.open() as node:
        await node.store.put(block)
        with begin(peers=["http://127.0.0.1:9"]):
            began = perf_counter()
            for _ in range(count):
                await node.blocks.get(block.cid)
            return count / (perf_counter() - began)

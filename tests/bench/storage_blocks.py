"""Blocks in a storage: in packs against an object for each, on a line that takes its time, and the index at size."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import trio

from tests.bench.harness import Row, bench

MB = 1e6
DELAY = 0.005
"""Seconds that each request takes, as in a data centre."""
AT_ONCE = 16


def _far() -> Any:
    """A storage in memory, each request to which takes `DELAY`."""
    from sessionctx.storage import MemoryStorage

    class Far(MemoryStorage):
        asked = 0

        @asynccontextmanager
        async def read(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            await self.far()
            async with super().read(*args, **kwargs) as reader:
                yield reader

        async def write(self, *args: Any, **kwargs: Any) -> Any:
            await self.far()
            return await super().write(*args, **kwargs)

        async def far(self) -> None:
            self.asked += 1
            await trio.sleep(DELAY)

    return Far()


async def _each(work: Any, things: Any) -> None:
    left = iter(things)

    async def some() -> None:
        for thing in left:
            await work(thing)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(some)


async def _moved(count: int, size: int, large: int) -> tuple[float, float, int, int]:
    """Put and get blocks; return the seconds of each, the objects, and the requests that reading took."""
    from sessionctx.blocks import StorageBlockstore
    from sessionctx.content import Block

    seed = os.urandom(max(size - 4, 0))
    blocks = [Block.of(n.to_bytes(4) + seed) for n in range(count)]
    storage = _far()
    async with StorageBlockstore.open(storage, large=large) as store:
        start = perf_counter()
        await store.put_many(blocks)
        await store.sync()
        put = perf_counter() - start
    async with storage.list("", recursive=True) as listing:
        objects = sum([entry.kind == "file" async for entry in listing])
    async with StorageBlockstore.open(storage) as store:
        before, start = storage.asked, perf_counter()

        async def get(block: Any) -> None:
            await store.get(block.cid)

        await _each(get, blocks)
        return put, perf_counter() - start, objects, storage.asked - before


@bench("storage.blocks")
def blocks(quick: bool) -> Iterator[Row]:
    """Each side the same blocks, the same storage, 16 requests at once."""
    for count, size, name in [(200 if quick else 8000, 1000, "1 KB"), (40 if quick else 800, 256 * 1024, "256 KiB")]:
        packed = trio.run(_moved, count, size, 10**9)
        single = trio.run(_moved, count, size, 0)
        for what, of in (("in packs", packed), ("an object each", single)):
            yield Row(f"put, {name}, {what}", count / of[0], "blocks/s")
            yield Row(f"get, {name}, {what}", count / of[1], "blocks/s")
        yield Row(f"objects, {name}: packs have as many times fewer", single[2] / packed[2], "x/s", 2.0)
        yield Row(f"put, {name}: packs are as many times faster", single[0] / packed[0], "x/s", None if quick else 1.5)
        yield Row(f"get, {name}: packs are as many times faster", single[1] / packed[1], "x/s", None if quick else 1.0)
        yield Row(f"get, {name}: requests for each block", packed[3] / count, "x", 1.0)


async def _index(count: int) -> tuple[float, float, float, float]:
    """Make an index of so many blocks; return its seconds, those of looking up, of opening, and the bytes for a block."""
    from sessionctx.blocks import StorageBlockstore
    from sessionctx.blocks.on_storage import forms
    from sessionctx.blocks.on_storage.rows import Place, row_of
    from sessionctx.content import CID, SHA2_256, multihash
    from sessionctx.storage import MemoryStorage

    storage = MemoryStorage()
    keys = [os.urandom(32) for _ in range(count)]
    for seq, at in enumerate(range(0, count, forms.MAX_ROWS), 1):
        rows = b"".join(sorted(row_of(key, Place(seq, 1, 1000)) for key in keys[at : at + forms.MAX_ROWS]))
        await storage.write(f"log/{seq:012d}", forms.encode_entry(forms.Entry(os.urandom(16), rows)))
    tracemalloc.start()
    start = perf_counter()
    async with StorageBlockstore.open(storage) as store:
        opened = perf_counter() - start
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        cids = [CID.new(1, 0x55, multihash.wrap(SHA2_256, key)) for key in keys[:20_000]]
        start = perf_counter()
        assert len(await store.has_many(cids)) == len(cids)
        looked = perf_counter() - start
        start = perf_counter()
        await store.gc()
        return perf_counter() - start, looked / len(cids), opened, memory / count


@bench("storage.blocks.index")
def index(quick: bool) -> Iterator[Row]:
    """An index as large as there is memory for, as each node reads it when it begins, and as it is summed up."""
    count = 2000 if quick else 1_000_000
    summed, looked, opened, memory = trio.run(_index, count)
    yield Row(f"memory for each block, {count} blocks", memory, "B", None if quick else 60.0)
    yield Row("read it, for each block", opened / count * 1e6, "us", None if quick else 10.0)
    yield Row("has_many, for each block", looked * 1e6, "us", None if quick else 60.0)
    yield Row("sum it up, for each block", summed / count * 1e6, "us", None if quick else 10.0)

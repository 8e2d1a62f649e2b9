"""Blocks in a storage: in packs against an object for each, on a line that takes its time, and the index at size."""

from __future__ import annotations

import os
import shutil
import tempfile
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import trio

from tests.bench.harness import Row, bench
from tests.storage.ceph import ceph

MB = 1e6
DELAY = 0.005
"""Seconds that each request takes, as in a data centre."""
AT_ONCE = 16


def _far() -> Any:
    """A storage in memory, each request to which takes `DELAY`."""
    from sessionctx.storage import MemoryStorage

    class Far(MemoryStorage):
        @asynccontextmanager
        async def read(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            await self.far()
            async with super().read(*args, **kwargs) as reader:
                yield reader

        async def write(self, *args: Any, **kwargs: Any) -> Any:
            await self.far()
            return await super().write(*args, **kwargs)

        async def far(self) -> None:
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


Place = Callable[[], AbstractAsyncContextManager[Any]]


async def _moved(place: Place, count: int, size: int, large: int) -> tuple[float, float, int]:
    """Put and get blocks; return the seconds of each, and the objects."""
    from sessionctx.blocks import StorageBlockstore
    from sessionctx.content import Block

    seed = os.urandom(size - 4)
    blocks = [Block.of(n.to_bytes(4) + seed) for n in range(count)]
    prefix = os.urandom(6).hex()
    async with place() as storage:
        async with StorageBlockstore.open(storage, prefix, large=large) as store:
            start = perf_counter()
            await store.put_many(blocks)
            await store.sync()
            put = perf_counter() - start
        async with storage.list(prefix, recursive=True) as listing:
            objects = sum([entry.kind == "file" async for entry in listing])
        async with StorageBlockstore.open(storage, prefix) as store:
            start = perf_counter()

            async def get(block: Any) -> None:
                await store.get(block.cid)

            await _each(get, blocks)
            return put, perf_counter() - start, objects


def _compared(name: str, place: Place, count: int, size: int, *, limits: bool) -> Iterator[Row]:
    packed = trio.run(_moved, place, count, size, 10**9)
    single = trio.run(_moved, place, count, size, 0)
    for what, of in (("in packs", packed), ("an object each", single)):
        yield Row(f"put, {name}, {what}", count / of[0], "blocks/s")
        yield Row(f"get, {name}, {what}", count / of[1], "blocks/s")
    yield Row(f"objects, {name}: packs have as many times fewer", single[2] / packed[2], "x/s", 2.0)
    for what, n, limit in (("put", 0, 2.0 if size < 10_000 else None), ("get", 1, 1.0)):
        ratio = single[n] / packed[n]
        yield Row(f"{what}, {name}: packs are as many times faster", ratio, "x/s", limit if limits else None)


@bench("storage.blocks")
def blocks(quick: bool) -> Iterator[Row]:
    """Each side the same blocks in the same storage, 16 requests at once: 5 ms each; and on Ceph, where that is."""
    from sessionctx.storage import open_storage

    @asynccontextmanager
    async def far() -> AsyncGenerator[Any]:
        await trio.lowlevel.checkpoint()
        yield _far()

    sizes = [(200 if quick else 8000, 1000, "1 KB"), (40 if quick else 800, 256 * 1024, "256 KiB")]
    for count, size, name in sizes:
        yield from _compared(name, far, count, size, limits=not quick)
    if quick or shutil.which("radosgw") is None:
        return
    with tempfile.TemporaryDirectory() as folder, ceph(Path(folder)) as server:
        keys = {"access_key": server.access_key, "secret_key": server.secret_key, "region": "us-east-1"}
        place = partial(open_storage, f"s3://bench?endpoint={server.endpoint}", **keys)
        trio.run(_make_bucket, place)
        for count, size, name in sizes:
            yield from _compared(f"{name} on Ceph", place, count, size, limits=True)


async def _make_bucket(place: Place) -> None:
    from sessionctx.storage.s3.client import Ask

    async with place() as storage:
        await storage._client.call(Ask(method="PUT"))


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
    async with StorageBlockstore.open(storage):
        memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    start = perf_counter()
    async with StorageBlockstore.open(storage) as store:
        opened = perf_counter() - start
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
    yield Row("has_many, for each block", looked * 1e6, "us", None if quick else 100.0)
    yield Row("sum it up, for each block", summed / count * 1e6, "us", None if quick else 10.0)

"""The store on the disk: what a block costs, and how near its writing comes to writing a plain file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import perf_counter

import trio

from tests.bench.harness import Row, bench

KIB, MB = 1024, 1e6


def _best(times: list[float]) -> tuple[float, float]:
    """Return the best time, and how far the median lies above it."""
    ordered = sorted(times)
    return ordered[0], ordered[len(ordered) // 2] / ordered[0] - 1


def _rate(name: str, amount: float, unit: str, times: list[float], limit: float | None = None) -> Row:
    best, spread = _best(times)
    return Row(name, figure=amount / best, unit=unit, limit=limit, spread=spread)


@bench("store.put")
def put(quick: bool) -> Iterator[Row]:
    """The same bytes into a store, one plain file, and again: the disk is never the same twice, so they take turns."""
    from sessionctx.blocks import DiskBlockstore
    from sessionctx.content import Block

    count, repeats = (8, 1) if quick else (1024, 5)
    seed = os.urandom(256 * KIB - 4)

    async def stored(folder: Path, n: int, many: bool) -> float:
        blocks = [Block.of(i.to_bytes(4, "big") + seed) for i in range(n * count, (n + 1) * count)]
        async with DiskBlockstore.open(folder / "blocks.sqlite3") as store:
            start = perf_counter()
            if many:
                await store.put_many(blocks)
            else:
                async with trio.open_nursery() as nursery:
                    for block in blocks:
                        nursery.start_soon(store.put, block)
            await store.sync()
            return perf_counter() - start

    def plain(folder: Path) -> float:
        start = perf_counter()
        with (folder / "plain").open("wb", buffering=0) as file:
            for i in range(count):
                file.write(i.to_bytes(4, "big") + seed)
            os.fsync(file.fileno())
        return perf_counter() - start

    times: dict[str, list[float]] = {"file": [], "put_many": [], "put": []}
    for n in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            times["file"].append(plain(Path(name)))
        for many in (True, False):
            with tempfile.TemporaryDirectory() as name:
                times["put_many" if many else "put"].append(trio.run(stored, Path(name), n, many))
    size = count * 256 * KIB / MB
    yield _rate("a plain file: 256 KiB writes, fsync", size, "MB/s", times["file"])
    yield _rate("put_many, 256 KiB blocks, sync", size, "MB/s", times["put_many"], limit=150)
    yield _rate("put by many tasks, 256 KiB blocks, sync", size, "MB/s", times["put"], limit=150)
    ratio = _best(times["put_many"])[0] / _best(times["file"])[0]
    yield Row("put_many, times as long as the plain file", figure=ratio, unit="x", limit=4.0)


@bench("store.small")
def small(quick: bool) -> Iterator[Row]:
    """Many small blocks: what counts is the work per block."""
    from sessionctx.blocks import DiskBlockstore
    from sessionctx.content import Block

    count, repeats = (20, 1) if quick else (20_000, 5)
    seed = os.urandom(1020)

    async def run(folder: Path, n: int) -> tuple[float, float]:
        blocks = [Block.of(i.to_bytes(4, "big") + seed) for i in range(n * count, (n + 1) * count)]
        alone = [Block.of(i.to_bytes(3, "big") + seed) for i in range(max(1, count // 40))]
        async with DiskBlockstore.open(folder / "blocks.sqlite3") as store:
            start = perf_counter()
            await store.put_many(blocks)
            took = perf_counter() - start
            start = perf_counter()
            for block in alone:
                await store.put(block)
            return took, (perf_counter() - start) / len(alone)

    together, single = [], []
    for n in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            took, each = trio.run(run, Path(name), n)
        together.append(took)
        single.append(each * 1e6)
    yield _rate("put_many, 1 KiB blocks", count, "blocks/s", together, limit=50_000)
    best, spread = _best(single)
    yield Row("put, one after another, 1 KiB blocks", figure=best, unit="us", limit=1000.0, spread=spread)


@bench("store.get")
def get(quick: bool) -> Iterator[Row]:
    """Reading what the system has in memory: the store's own work."""
    from sessionctx.blocks import DiskBlockstore
    from sessionctx.content import Block

    count, repeats = (8, 1) if quick else (400, 7)
    large = [Block.of(os.urandom(256 * KIB)) for _ in range(count)]
    little = [Block.of(os.urandom(KIB)) for _ in range(10 * count)]
    absent = [Block.of(i.to_bytes(4, "big")) for i in range(10 * count)]

    async def timed(call: Callable[..., Awaitable[object]], blocks: list[Block]) -> list[float]:
        times = []
        for _ in range(repeats):
            start = perf_counter()
            for block in blocks:
                await call(block.cid)
            times.append(perf_counter() - start)
        return times

    async def run(folder: Path) -> list[Row]:
        async with DiskBlockstore.open(folder / "blocks.sqlite3") as store:
            await store.put_many(large)
            await store.put_many(little)
            return [
                _rate("get, 256 KiB blocks", count, "gets/s", await timed(store.get, large), limit=2_500),
                _rate("get, 1 KiB blocks", 10 * count, "gets/s", await timed(store.get, little), limit=30_000),
                _rate("has, there", 10 * count, "asks/s", await timed(store.has, little), limit=40_000),
                _rate("has, not there", 10 * count, "asks/s", await timed(store.has, absent), limit=40_000),
            ]

    with tempfile.TemporaryDirectory() as name:
        yield from trio.run(run, Path(name))

"""Listing a directory with a million entries: how fast, and how much memory more than one with ten thousand."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

from tests.bench.harness import Row, bench

_LIST = """
import json, sys, trio
from time import perf_counter
from tests.bench.harness import most_memory
from sessionctx.blocks import DiskBlockstore
from sessionctx.dag import Files

async def main():
    count, first = 0, None
    async with DiskBlockstore.open(sys.argv[1]) as store:
        start = perf_counter()
        async with Files(store).ls(sys.argv[2]) as entries:
            async for _ in entries:
                first = first or perf_counter() - start
                count += 1
        wall = perf_counter() - start
    print(json.dumps({"count": count, "first": first, "wall": wall, "rss": most_memory()}))

trio.run(main)
"""


def listed(path, count):
    """What listing a directory of *count* entries takes, in a fresh process."""
    from sessionctx.blocks import DiskBlockstore
    from sessionctx.content import Block, PBLink
    from sessionctx.dag import V1_2025, build_directory

    async def make():
        leaf = Block.of(b"x")
        found = [leaf]
        links = [PBLink(leaf.cid, f"entry number {number}", 1) for number in range(count)]
        built = build_directory(V1_2025, found.append, links)
        async with DiskBlockstore.open(path) as store:
            await store.put_many(found)
        return built.cid

    command = [sys.executable, "-c", _LIST, path, str(trio.run(make))]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@bench("ls.million")
def million(quick):
    few, many = (100, 5_000) if quick else (10_000, 1_000_000)
    with tempfile.TemporaryDirectory() as name:
        small, big = (listed(Path(name) / f"{count}.sqlite3", count) for count in (few, many))
    assert big["count"] == many
    yield Row("ls, a million entries", figure=many / big["wall"], unit="entries/s", limit=20_000)
    yield Row("ls, a million entries, the first one", figure=big["first"] * 1000, unit="ms")
    yield Row("ls, a million entries, memory more than for few", figure=big["rss"] - small["rss"], unit="MiB", limit=32)

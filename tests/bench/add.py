"""What adding and exporting cost, beside what the machine itself can do at this moment, all in turns."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import trio

from tests.bench.harness import Row, bench

MB, MIB = 1e6, 1 << 20

_ADD = """
import json, resource, sys, trio
from time import perf_counter
from sessionctx.blocks import DiskBlockstore
from sessionctx.dag import Files
from tests.bench.harness import most_memory

source, store, profile, *target = sys.argv[1:]
took = {}

async def timed(name, call):
    start, before = perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    result = await call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    took[name] = perf_counter() - start
    took[f"{name} cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result

async def main():
    async with DiskBlockstore.open(store) as blocks:
        files = Files(blocks)
        added = await timed("add", lambda: files.add(source, profile=profile))
        took["files"] = added.files

        async def cat():
            async with files.cat(added.cid) as chunks:
                async for _ in chunks:
                    pass

        if target:
            await timed("export", lambda: files.export(added.cid, target[0]))
            if added.files == 1:
                await timed("cat", cat)
    print(json.dumps({**took, "rss": most_memory()}))

trio.run(main)
"""


def add_in_process(source, folder, profile="unixfs-v1-2025", *, export=False):
    """Add *source* to a fresh store in a fresh process, and export it; what that took."""
    store, target = folder / "store", folder / "out"
    store.mkdir()
    command = [sys.executable, "-c", _ADD, source, store / "blocks.sqlite3", profile, *[target] * export]
    try:
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    finally:
        shutil.rmtree(store)


def random_file(path, size):
    with path.open("wb") as file:
        for at in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - at)))
    return path


def seconds(call):
    start = perf_counter()
    call()
    return perf_counter() - start


def hash_all(source):
    whole = hashlib.sha256()
    with source.open("rb", buffering=0) as file:
        while piece := file.read(MIB):
            whole.update(piece)


def dd(source, target):
    """Copy with dd, durable; the target is removed again, and the removal is not timed."""
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync", "status=none"]
    took = seconds(lambda: subprocess.run(command, check=True))
    target.unlink()
    return took


@bench("add.import")
def importing(quick):
    """1 GiB of random bytes beside the larger of sha256 in one thread and dd with fsync; each the fastest of its turns."""
    size, rounds = (MIB, 1) if quick else (1024 * MIB, 5)
    if shutil.which("dd") is None:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = random_file(folder / "in", size)
        hash_all(source)
        for profile in ("unixfs-v1-2025", "unixfs-v0-2015"):
            turns = []
            for _ in range(rounds):
                os.sync()
                hashing = seconds(lambda: hash_all(source))
                writing = dd(source, folder / "copy")
                os.sync()
                turns.append((hashing, writing, add_in_process(source, folder, profile)))
            hashing, writing = min(turn[0] for turn in turns), min(turn[1] for turn in turns)
            took, cores = min((each["add"], each["add cpu"] / each["add"]) for *_, each in turns)
            spread = statistics.median(each["add"] for *_, each in turns) / took - 1
            yield Row(f"sha256 of it, before {profile}", figure=hashing, unit="s")
            yield Row(f"dd of it, before {profile}", figure=writing, unit="s")
            yield Row(f"import, {profile}", figure=took, unit="s", spread=spread)
            yield Row(f"import / the larger, {profile}", figure=took / max(hashing, writing), unit="x", limit=1.35)
            yield Row(f"cores busy, {profile}", figure=cores, unit="cores")
            most = max(each["rss"] for *_, each in turns)
            yield Row(f"most memory, {profile}", figure=most, unit="MiB", limit=200)


@bench("add.big")
def big(quick):
    """2 GiB of random bytes, imported, exported and read in one process: half of a plain copy is the promise."""
    size = MIB if quick else 2048 * MIB
    if shutil.which("dd") is None:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = random_file(folder / "in", size)
        copying = size / MB / dd(source, folder / "copy")
        took = add_in_process(source, folder, export=True)
        yield Row("dd, durable", figure=copying, unit="MB/s")
        yield Row("export, durable", figure=size / MB / took["export"], unit="MB/s", limit=copying / 2)
        yield Row("cat", figure=size / MB / took["cat"], unit="MB/s", limit=500)
        yield Row("most memory", figure=took["rss"], unit="MiB", limit=200)


@bench("add.many")
def many(quick):
    """100,000 files of 1 KiB in 100 folders, imported and exported in a fresh process."""
    count = 20 if quick else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            inner = folder / "in" / str(number % 100)
            inner.mkdir(parents=True, exist_ok=True)
            (inner / str(number)).write_bytes(os.urandom(1024))
        took = add_in_process(folder / "in", folder, export=True)
        assert took["files"] == count
        yield Row("import many small files", figure=count / took["add"], unit="files/s", limit=5000)
        yield Row("cores busy, importing many small files", figure=took["add cpu"] / took["add"], unit="cores")
        yield Row("export many small files, durable", figure=count / took["export"], unit="files/s", limit=1000)
        yield Row("most memory, many small files", figure=took["rss"], unit="MiB", limit=200)


@bench("add.dedup")
def dedup(quick):
    """One byte is inserted into a file that is in the store already: how many bytes of blocks are new."""
    from sessionctx.blocks import DiskBlockstore
    from sessionctx.dag import Files

    size = 2 * MIB if quick else 256 * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = random_file(folder / "in", size)
        changed = folder / "changed"
        content = source.read_bytes()
        changed.write_bytes(content[: size // 3] + b"!" + content[size // 3 :])

        async def main(chunker):
            async with DiskBlockstore.open(folder / f"{chunker}.sqlite3") as store:
                start = perf_counter()
                await Files(store).add(source, chunker=chunker)
                took, before = perf_counter() - start, store.statistics()
                await Files(store).add(changed, chunker=chunker)
                after = store.statistics()
                return took, after.blocks - before.blocks, after.bytes - before.bytes

        for chunker, limit in (("size-1048576", None), ("buzhash", 1024.0), ("rabin", 1024.0)):
            took, blocks, grown = trio.run(main, chunker)
            yield Row(f"import, {chunker}", figure=size / MIB / took, unit="MiB/s")
            yield Row(f"new after one byte, {chunker}", figure=grown / 1024, unit="KiB", limit=limit)
            yield Row(f"new blocks after one byte, {chunker}", figure=blocks, unit="blocks")


@bench("add.walk")
def walking(quick):
    """The walk's own part of a block: everything is in memory, and nothing waits."""
    from sessionctx.blocks import MemoryBlockstore
    from sessionctx.content import DAG_PB, Block, PBLink, PBNode, dagpb, unixfs
    from sessionctx.dag import walk

    count = 20 if quick else 20_000

    async def main():
        store = MemoryBlockstore()
        leaves = [Block.of(b"%d" % number) for number in range(count)]
        links = tuple(PBLink(leaf.cid, str(number), 1) for number, leaf in enumerate(leaves))
        data = unixfs.encode(unixfs.Data(unixfs.Type.DIRECTORY))
        root = Block.of(dagpb.encode(PBNode(links, data)), codec=DAG_PB)
        await store.put_many([root, *leaves])
        start = perf_counter()
        async with walk(store, root.cid) as found:
            async for _ in found:
                pass
        return perf_counter() - start

    yield Row("walk, per block", figure=min(trio.run(main) for _ in range(3)) / count * 1e6, unit="us", limit=100)

"""What importing costs beside hashing the same bytes, and beside a plain durable copy of them, all in turns."""

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

from tests.bench.add import MIB, pieces, random_file, seconds
from tests.bench.harness import Row, bench

_ADD = """
import json, resource, sys, trio
from time import perf_counter
from sessionctx.blocks import DiskBlockstore
from sessionctx.dag import Files
from tests.bench.harness import most_memory

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

async def main():
    async with DiskBlockstore.open(sys.argv[2]) as store:
        start, before = perf_counter(), cpu()
        added = await Files(store).add(sys.argv[1], profile=sys.argv[3])
        wall, used = perf_counter() - start, cpu() - before
    print(json.dumps({"wall": wall, "cpu": used, "rss": most_memory(), "files": added.files, "cid": str(added.cid)}))

trio.run(main)
"""


def add_in_process(source, store, profile="unixfs-v1-2025"):
    """Add *source* to a fresh store in a fresh process; what that took."""
    store.mkdir()
    command = [sys.executable, "-c", _ADD, source, store / "blocks.sqlite3", profile]
    try:
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    finally:
        shutil.rmtree(store)


def hash_all(source):
    whole = hashlib.sha256()
    for piece in pieces(source):
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
                turns.append((hashing, writing, add_in_process(source, folder / "store", profile)))
            hashing, writing = min(turn[0] for turn in turns), min(turn[1] for turn in turns)
            took, cores = min((each["wall"], each["cpu"] / each["wall"]) for *_, each in turns)
            spread = statistics.median(each["wall"] for *_, each in turns) / took - 1
            yield Row(f"sha256 of it, before {profile}", figure=hashing, unit="s")
            yield Row(f"dd of it, before {profile}", figure=writing, unit="s")
            yield Row(f"import, {profile}", figure=took, unit="s", spread=spread)
            yield Row(f"import / the larger, {profile}", figure=took / max(hashing, writing), unit="x", limit=1.35)
            yield Row(f"cores busy, {profile}", figure=cores, unit="cores")
            most = max(each["rss"] for *_, each in turns)
            yield Row(f"most memory, {profile}", figure=most, unit="MiB", limit=200)


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


@bench("add.many")
def many(quick):
    """100,000 files of 1 KiB in 100 folders, in a fresh process."""
    count = 20 if quick else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            inner = folder / "in" / str(number % 100)
            inner.mkdir(parents=True, exist_ok=True)
            (inner / str(number)).write_bytes(os.urandom(1024))
        took = add_in_process(folder / "in", folder / "store")
        assert took["files"] == count
        yield Row("import many small files", figure=count / took["wall"], unit="files/s", limit=5000)
        yield Row("cores busy, many small files", figure=took["cpu"] / took["wall"], unit="cores")
        yield Row("most memory, many small files", figure=took["rss"], unit="MiB", limit=200)

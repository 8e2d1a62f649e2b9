"""Files on this disk, brought in parts, and listed: each beside what a user would pick, in one run.

A ratio is our time over theirs, the median of pairs that were measured one after the other.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

import trio

from tests.bench.harness import Row, bench

_COPY = """
import json, os, subprocess, sys, trio
from pathlib import Path
from time import perf_counter
from tests.bench.harness import most_memory
from sessionctx.storage import LocalStorage

def theirs(folder, sync):
    began = perf_counter()
    subprocess.run(["cp", folder / "source", folder / "theirs"], check=True)
    if sync:
        subprocess.run(["sync", folder / "theirs"], check=True)
    return perf_counter() - began

async def ours(folder, sync):
    storage = LocalStorage(folder, sync=sync)
    began = perf_counter()
    await storage.copy("source", "ours")
    return perf_counter() - began

async def main(folder, rounds, sync):
    pairs = []
    for turn in range(rounds):  # each goes first in every other one: who comes later finds the disk busy
        if turn % 2:
            other = theirs(folder, sync)
            pairs.append((await ours(folder, sync), other))
        else:
            pairs.append((await ours(folder, sync), theirs(folder, sync)))
        assert (folder / "ours").stat().st_size == (folder / "theirs").stat().st_size
        os.unlink(folder / "ours"), os.unlink(folder / "theirs")
    print(json.dumps({"pairs": pairs, "rss": most_memory()}))

trio.run(main, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "sync")
"""

_LIST = """
import json, os, sys, trio
from time import perf_counter
from tests.bench.harness import most_memory
from sessionctx.storage import LocalStorage

def theirs(folder):
    began, count = perf_counter(), 0
    with os.scandir(folder) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
            count += 1
    return perf_counter() - began

async def ours(folder):
    began, count, first = perf_counter(), 0, None
    async with LocalStorage(folder).list() as listing:
        async for _ in listing:
            count += 1
            if count == 10:
                first = perf_counter() - began
    return perf_counter() - began, first, count

async def main(folder):
    before = most_memory()
    rounds = [(await ours(folder), theirs(folder)) for _ in range(3)]
    print(json.dumps({"rounds": rounds, "grown": most_memory() - before}))

trio.run(main, sys.argv[1])
"""


def run(script, *arguments):
    """What *script* measured, in a fresh process."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def middle(pairs):
    """The median of the ratios, and how far the worst lies above it."""
    ratios = [ours / theirs for ours, theirs in pairs]
    ratio = statistics.median(ratios)
    return ratio, max(ratios) / ratio - 1


@bench("storage.local")
def local(quick):
    size, rounds = (4 << 20, 1) if quick else (1 << 30, 7)
    with tempfile.TemporaryDirectory() as name:
        with (Path(name) / "source").open("wb") as file:
            for _ in range(size >> 22):
                file.write(random.randbytes(4 << 20))
        for sync, beside in (("plain", "cp"), ("sync", "cp and sync")):
            found = run(_COPY, name, rounds, sync)
            ratio, spread = middle(found["pairs"])
            yield Row(f"storage local, copy: beside {beside}", ratio, "x", 1 / 0.9, spread)
        yield Row("storage local, copy: most memory", found["rss"], "MiB", 200)


@bench("storage.list")
def listing(quick):
    count = 1000 if quick else 100_000
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            (Path(name) / f"entry number {number}").touch()
        found = run(_LIST, name)
        assert all(ours[2] == count for ours, _ in found["rounds"])
        seconds = min(ours[0] for ours, _ in found["rounds"])
        yield Row("storage list, local", count / seconds, "entries/s")
        yield Row("storage list, local: beside os.scandir and stat", *_ratio(found["rounds"]))
        yield Row("storage list, local: the first ten", min(ours[1] for ours, _ in found["rounds"]) * 1000, "ms", 50)
        yield Row("storage list, local: memory more than before", found["grown"], "MiB", 30)
        yield from _beside_rclone(name, seconds)


def _ratio(rounds):
    ratio, spread = middle([(ours[0], theirs) for ours, theirs in rounds])
    return ratio, "x", None, spread


def _beside_rclone(folder, seconds):
    rclone = shutil.which("rclone")
    if rclone is None:
        return
    command = [rclone, "lsf", "--format", "tsp", folder]
    times = []
    for _ in range(3):
        began = perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(perf_counter() - began)
    yield Row("storage list, local: beside rclone", seconds / min(times), "x", 1.0)


# --- the window


PART, PIECE, AT_ONCE = 1 << 20, 64 << 10, 4


def line(data, seed):
    """A storage whose answers take their time to come: most of them 40 ms, some of them many times as long."""
    from tests.storage.line import Line

    chance = random.Random(seed)
    found = Line(
        latency=lambda: 0.04 * chance.lognormvariate(0, 1),
        pace=partial(float, PIECE / 40e6),
        best_part=PART,
        best_in_flight=AT_ONCE,
    )
    return found, found.write("file", data)


async def in_batches(source, folder, size):
    """Four parts at a time; when all four are here, the next four."""
    with (folder / "batches").open("wb") as file:

        async def bring(offset):
            async with source.read("file", offset=offset, length=PART) as reader:
                at = offset
                async for piece in reader:
                    file.seek(at)
                    at += file.write(piece)

        for first in range(0, size, AT_ONCE * PART):
            async with trio.open_nursery() as nursery:
                for offset in range(first, min(first + AT_ONCE * PART, size), PART):
                    nursery.start_soon(bring, offset)


@bench("storage.window")
def window(quick):
    from sessionctx.storage import LocalStorage, download

    size = (4 if quick else 64) * PART
    data = random.randbytes(size)

    async def pair(seed, folder):
        source, filled = line(data, seed)
        await filled
        began = perf_counter()
        await download(source, "file", LocalStorage(folder, sync=False), "ours")
        ours = perf_counter() - began
        source, filled = line(data, seed)
        await filled
        began = perf_counter()
        await in_batches(source, folder, size)
        theirs = perf_counter() - began
        assert (folder / "ours").read_bytes() == (folder / "batches").read_bytes() == data
        return ours, theirs

    with tempfile.TemporaryDirectory() as name:
        pairs = [trio.run(pair, seed, Path(name)) for seed in range(1 if quick else 5)]
    ratio, spread = middle(pairs)
    yield Row("storage window: beside batches of four", ratio, "x", 1 / 1.4, spread)
    yield Row("storage window", size / min(ours for ours, _ in pairs) / 1e6, "MB/s")

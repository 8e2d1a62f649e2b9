"""What adding and exporting costs, beside what the machine itself can do at this moment."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import trio

from tests.bench.harness import Row, bench

MB, MIB = 1e6, 1 << 20

_RSS = """
import resource, sys, trio
from sessionctx.blocks import DiskBlockstore
from sessionctx.dag import Files
async def main():
    async with DiskBlockstore.open(sys.argv[2]) as store:
        added = await Files(store).add(sys.argv[1])
        if len(sys.argv) > 3:
            await Files(store).export(added.cid, sys.argv[3])
trio.run(main)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def random_file(path, size):
    with path.open("wb") as file:
        for at in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - at)))
    return path


def pieces(path):
    with path.open("rb", buffering=0) as file:
        while piece := file.read(MIB):
            yield piece


def seconds(call):
    start = perf_counter()
    call()
    return perf_counter() - start


def hashed(path):
    for piece in pieces(path):
        hashlib.sha256(piece).digest()


def copied(path, target):
    with target.open("wb", buffering=0) as file:
        for piece in pieces(path):
            file.write(piece)
        os.fsync(file.fileno())


def in_store(folder, call):
    """Seconds that ``await call(files)`` takes, over a store on the disk."""
    from sessionctx.blocks import DiskBlockstore
    from sessionctx.dag import Files

    async def main():
        async with DiskBlockstore.open(folder / "blocks.sqlite3") as store:
            start = perf_counter()
            await call(Files(store))
            return perf_counter() - start

    return trio.run(main)


@bench("add.big")
def big(quick):
    """A file of random bytes, each way once: half of a plain copy is the promise. `add.import` measures with more care."""
    size = MIB if quick else 512 * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = random_file(folder / "in", size)
        hashing = size / MB / seconds(lambda: hashed(source))
        copying = size / MB / seconds(lambda: copied(source, folder / "copy"))
        yield Row("sha256, one thread", figure=hashing, unit="MB/s")
        yield Row("copy, durable", figure=copying, unit="MB/s")
        limit = min(hashing, copying) / 2
        added = {}
        for profile in ("unixfs-v1-2025", "unixfs-v0-2015"):
            (folder / profile).mkdir()

            async def add(files, profile=profile):
                added[profile] = (await files.add(source, profile=profile)).cid

            took = in_store(folder / profile, add)
            yield Row(f"add to the disk, durable, {profile}", figure=size / MB / took, unit="MB/s", limit=limit)

            async def export(files, profile=profile):
                await files.export(added[profile], folder / f"out-{profile}")

            took = in_store(folder / profile, export)
            yield Row(f"export from the disk, durable, {profile}", figure=size / MB / took, unit="MB/s", limit=limit)

            async def cat(files, profile=profile):
                async with files.cat(added[profile]) as chunks:
                    async for _ in chunks:
                        pass

            took = in_store(folder / profile, cat)
            yield Row(f"cat from the disk, {profile}", figure=size / MB / took, unit="MB/s", limit=500)


@bench("add.memory")
def memory(quick):
    """The most memory that a process has which adds one big file, and exports it again."""
    size = MIB if quick else 2048 * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = random_file(folder / "in", size)
        command = [sys.executable, "-c", _RSS, source, folder / "store.sqlite3", folder / "out"]
        peak = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        yield Row(f"memory to add and export {size >> 20} MiB", figure=peak, unit="MiB", limit=200)


@bench("add.small")
def small(quick):
    """Thousands of files of 2 KB."""
    count = 20 if quick else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            inner = folder / "in" / str(number // 100)
            inner.mkdir(parents=True, exist_ok=True)
            (inner / str(number)).write_bytes(os.urandom(2000))
        added = {}

        async def add(files):
            added["cid"] = (await files.add(folder / "in")).cid

        async def export(files):
            await files.export(added["cid"], folder / "out")

        yield Row("add small files", figure=count / in_store(folder, add), unit="files/s", limit=5000)
        yield Row("export small files, durable", figure=count / in_store(folder, export), unit="files/s", limit=1000)


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

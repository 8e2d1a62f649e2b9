"""What is measured, through the public API: one job per process, ``python -m tests.bench.clients JOB``, its arguments as JSON on stdin.

Each begins with a session that knows nobody and a node that has nothing yet, and prints what it took as JSON.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from urllib.request import urlopen

import trio

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID
from tests.bench.prepared import MIB

CACHE = 64 * MIB


async def cat(*, peers, root, digest):
    """Read a whole file and throw it away."""
    found = hashlib.sha256()
    async with Node.open() as node:
        with session.begin(peers=peers) as here:
            began = trio.current_time()
            async with node.files.cat(root) as chunks:
                async for chunk in chunks:
                    found.update(chunk)
            seconds = trio.current_time() - began
    assert found.hexdigest() == digest, "the file is not what was added"
    return {"seconds": seconds, **counts(here)}


async def plain(*, urls):
    """Take these answers at once, by the means of the standard library; says what their rates, in bytes/s, add up to."""
    rates = []

    def drain(url):
        began, size = perf_counter(), 0
        with urlopen(url) as answer:
            while piece := answer.read(MIB):
                size += len(piece)
        rates.append(size / (perf_counter() - began))

    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(trio.to_thread.run_sync, drain, url)
    return {"rate": sum(rates)}


async def first_byte(*, peers, root):
    """Open a file and read until something comes."""
    async with Node.open() as node:
        with session.begin(peers=peers):
            began = trio.current_time()
            async with node.files.cat(root) as chunks:
                async for _ in chunks:
                    seconds = trio.current_time() - began
                    break
    return {"seconds": seconds}


async def export(*, peers, root, target, store=None):
    """Write a file or folder to the disk; *store* is where blocks are kept: a folder, or a cache in memory."""
    async with keeping(store) as node:
        with session.begin(peers=peers) as here:
            began = trio.current_time()
            exported = await node.files.export(root, target)
            seconds = trio.current_time() - began
    return {"seconds": seconds, "bytes": exported.size, "files": exported.files, "memory": peak(), **counts(here)}


@asynccontextmanager
async def keeping(store):
    if store is None:
        yield Node.over(MemoryBlockstore(max_bytes=CACHE))
        return
    async with Node.open(store) as node:
        yield node


async def blocks(*, peers, cids, width):
    """Get blocks by their names, *width* at a time; says how long each took."""
    took = []
    names = iter(cids)

    async def work(node):
        for name in names:
            began = trio.current_time()
            await node.blocks.get(CID.parse(name))
            took.append(trio.current_time() - began)

    async with Node.open() as node:
        with session.begin(peers=peers) as here:
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for _ in range(width):
                    nursery.start_soon(work, node)
            seconds = trio.current_time() - began
    return {"seconds": seconds, "took": took, **counts(here)}


def counts(here):
    known = here.statistics()
    return {"requests": known.requests, "received": known.bytes, "duplicate_bytes": known.duplicate_bytes}


def peak():
    """The most memory that this process ever had, in MiB. (``getrusage`` tells the parent's if that had more.)"""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / MIB if sys.platform == "darwin" else most / 1024


JOBS = {job.__name__: job for job in (cat, plain, first_byte, export, blocks)}


async def main(job, arguments):
    return await JOBS[job](**arguments)


if __name__ == "__main__":
    print(json.dumps(trio.run(main, sys.argv[1], json.load(sys.stdin))))

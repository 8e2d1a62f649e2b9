"""Objects in a service: many small operations beside the public client in eight threads; memory; multipart at length."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time

from tests.bench.harness import Row, bench

MIB = 1024 * 1024

_OURS = """
import json, resource, sys, time, trio
from sessionctx.objects import Delete, Get, Objects, Put
from tests.bench.harness import most_memory

url, count, repeat = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
body, took = bytes(range(256)) * 4, {}

async def run(objects, kind, operations):
    wall, cpu = time.perf_counter(), time.process_time()
    async with objects.many(operations, concurrency=3) as results:
        async for result in results:
            assert result.error is None, result
    took[kind] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

async def main():
    async with Objects.connect(url, usecase="attachments", scope={"org": 42}) as objects:
        await run(objects, "put", (Put(body, str(n)) for n in range(count)))
        before = most_memory()
        for _ in range(repeat):
            await run(objects, "put", (Put(body, str(n)) for n in range(count)))
        await run(objects, "get", (Get(str(n)) for n in range(count)))
        await run(objects, "delete", (Delete(str(n)) for n in range(count)))
        took["growth"] = most_memory() - before
    print(json.dumps(took))

trio.run(main)
"""

_THEIRS = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from objectstore_client import Client, Usecase

url, count = sys.argv[1], int(sys.argv[2])
session = Client(url).session(Usecase("attachments", compression="none"), org=43)
body, took = bytes(range(256)) * 4, {}

def put(n): session.put(body, key=str(n))
def get(n): session.get(str(n)).payload.read()
def delete(n): session.delete(str(n))

with ThreadPoolExecutor(8) as pool:
    for name, work in (("put", put), ("get", get), ("delete", delete)):
        wall, cpu = time.perf_counter(), time.process_time()
        list(pool.map(work, range(count)))
        took[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
print(json.dumps(took))
"""


@contextmanager
def _service() -> Generator[str]:
    """The URL of our service, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["serve", "--objects", f"{folder}/shelf", "--store", f"{folder}/store", "-q"]
        process = subprocess.Popen([sys.executable, "-m", "sessionctx", *words], stdout=subprocess.PIPE, text=True)
        with process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().strip()
            finally:
                process.terminate()


def _run(script: str, *words: object) -> dict:
    command = [sys.executable, "-c", script, *map(str, words)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT).stdout)


_ROOT = Path(__file__).resolve().parents[2]


@bench("objects.many")
def many(quick):
    count, few = (300, 50) if quick else (20_000, 2_000)
    with _service() as url:
        ours = _run(_OURS, url, count, 0)
        theirs = _run(_THEIRS, url, few) if importlib.util.find_spec("objectstore_client") else None
    for kind in ("put", "get", "delete"):
        rate = count / ours[kind]["wall"]
        limit = None if theirs is None else 5 * few / theirs[kind]["wall"]
        yield Row(f"{kind} of 1 KiB (limit: 5 x objectstore-client in eight threads)", rate, "1/s", limit)
        yield Row(f"{kind} of 1 KiB, CPU of the client", ours[kind]["cpu"] / count * 1e6, "us", 40.0)


@bench("objects.memory")
def memory(quick):
    count, repeat = (300, 1) if quick else (20_000, 4)
    with _service() as url:
        took = _run(_OURS, url, count, repeat)
    yield Row(f"{count * (repeat + 2)} operations: growth of RSS", took["growth"], "MiB", 30.0)


@bench("objects.multipart")
def multipart(quick):
    """A part of any length is read at one pace."""
    small, large = (MIB, 4 * MIB) if quick else (4 * MIB, 256 * MIB)
    pace = {size: max(_pace(size) for _ in range(3)) for size in (small, large)}
    yield Row(f"read a part of {small // MIB} MiB", pace[small], "MB/s")
    yield Row(f"read a part of {large // MIB} MiB (limit: 0.9 of that)", pace[large], "MB/s", 0.9 * pace[small])


def _pace(size: int) -> float:
    from sessionctx.objects.multipart import Data, Decoder, Encoder

    encoder, piece, tail = Encoder(), bytes(range(256)) * 256, 0
    decoder = Decoder(encoder.boundary)
    start, cpu = perf_counter(), process_time()
    list(decoder.feed(encoder.head([], first=True)))
    for _ in range(size // len(piece)):
        tail += sum(len(event.data) for event in decoder.feed(piece) if isinstance(event, Data))
    tail += sum(len(event.data) for event in decoder.feed(encoder.tail()) if isinstance(event, Data))
    decoder.close()
    assert tail == size
    assert perf_counter() > start
    return size / (process_time() - cpu) / 1e6

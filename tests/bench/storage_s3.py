"""S3 side by side with what else there is: up, down and verified, and listed, on one server of Ceph.

Each client works in a process of its own, ``python -m tests.bench.storage_s3 JOB``, which prints what it took.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import trio

from tests.bench.harness import Row, bench, most_memory

MIB = 1024 * 1024
SIZE, QUICK_SIZE = 512 * MIB, 20 * MIB
KEYS, QUICK_KEYS = 100_000, 30
BUCKET = "bench-bucket"
PIECE = bytes(range(256)) * (MIB // 256)
CLIENTS = {"ours": "trio", "boto3": "boto3", "obstore": "obstore"}  # and the package that each needs


@bench("storage.s3")
def storage_s3(quick):
    from tests.storage.ceph import ceph

    size, rounds = (QUICK_SIZE, 1) if quick else (SIZE, 3)
    with tempfile.TemporaryDirectory() as folder, ceph(Path(folder), room=16 << 30) as server:
        _job(server, "prepare", keys=0)
        for way in ("up", "down"):
            best: dict[str, dict[str, float]] = {}
            for _ in range(rounds):  # in turn, so that all have the same weather
                for name in _present():
                    took = _job(server, f"{name}_{way}", size=size)
                    if name not in best or took["seconds"] < best[name]["seconds"]:
                        best[name] = took
            yield from _rows(way, size, best)


@bench("storage.s3list")
def storage_s3list(quick):
    from tests.storage.ceph import ceph

    keys = QUICK_KEYS if quick else KEYS
    with tempfile.TemporaryDirectory() as folder, ceph(Path(folder)) as server:
        _job(server, "prepare", keys=keys)
        took = {name: _job(server, f"{name}_list", keys=keys) for name in _present()}
        early = _job(server, "ours_list", keys=keys, stop=10)
    ours = took.pop("ours")
    for name, other in took.items():
        yield Row(f"S3, list {keys:,} keys: {name}", other["seconds"], "s")
    fastest = min((other["seconds"] for other in took.values()), default=None)
    yield Row(f"S3, list {keys:,} keys: ours", ours["seconds"], "s", limit=fastest)
    yield Row("S3, list: ours, CPU", ours["cpu"], "s", limit=1.5)
    yield Row("S3, list: ours, memory it grows by", ours["grown"], "MiB", limit=30)
    yield Row("S3, list: pages for the first 10 keys", early["pages"], "pages", limit=1)


def _rows(way, size, best):
    per_512 = SIZE / size
    ours = best["ours"]
    rates = {name: size / MIB / took["seconds"] for name, took in best.items()}
    for name, rate in rates.items():
        yield Row(f"S3, {way}: {name}", rate, "MiB/s")
        if name != "ours":
            yield Row(f"S3, {way}: {name}, CPU for 512 MiB", best[name]["cpu"] * per_512, "s")
    for name, least in (("boto3", 2.0), ("obstore", 0.7)):
        if name in rates:
            yield Row(f"S3, {way}: ours / {name}", rates["ours"] / rates[name], "x/s", limit=least)
    yield Row(f"S3, {way}: ours, CPU for 512 MiB", ours["cpu"] * per_512, "s", limit=1.0)
    yield Row(f"S3, {way}: ours, memory", ours["memory"], "MiB", limit=120)


def _present() -> list[str]:
    """The clients that are installed: the group ``bench`` has them."""
    return [name for name, package in CLIENTS.items() if importlib.util.find_spec(package)]


def _job(server, job: str, **arguments) -> dict[str, float]:
    where = {"port": server.port, "access_key": server.access_key, "secret_key": server.secret_key}
    done = subprocess.run(
        [sys.executable, "-m", __name__ if __name__ != "__main__" else "tests.bench.storage_s3", job],
        input=json.dumps(where | arguments),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


# --- jobs


class Timed:
    """Measures a block."""

    def __enter__(self):
        self.memory, self.cpu, self.began = most_memory(), self._cpu(), perf_counter()
        return self

    def __exit__(self, *_):
        self.took = {
            "seconds": perf_counter() - self.began,
            "cpu": self._cpu() - self.cpu,
            "memory": most_memory(),
            "grown": most_memory() - self.memory,
        }

    @staticmethod
    def _cpu():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime


class Given:
    """A source of *size* bytes, for whoever reads files, and for whoever iterates, with ``await`` or without."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        size = self.left if size is None or size < 0 else min(size, self.left)
        self.left -= size
        return PIECE[:size] if size <= MIB else PIECE * (size // MIB) + PIECE[: size % MIB]

    def readable(self):
        return True

    def __iter__(self):
        while piece := self.read(MIB):
            yield piece

    def __aiter__(self):
        return self

    async def __anext__(self):
        await trio.lowlevel.checkpoint()
        if not (piece := self.read(MIB)):
            raise StopAsyncIteration
        return piece


def _opened(port, **keys):
    from sessionctx.storage import open_storage

    return open_storage(f"s3://{BUCKET}?endpoint=http://127.0.0.1:{port}&region=us-east-1", **keys)


async def prepare(*, keys, **where):
    from sessionctx.storage.s3.client import Ask

    async with _opened(**where) as storage, trio.open_nursery() as nursery:
        await storage._client.call(Ask(method="PUT"))

        async def fill(first):
            for n in range(first, keys, 16):
                await storage.write(f"keys/{n:07}", b"")

        for first in range(16):
            nursery.start_soon(fill, first)
    return {}


async def ours_up(*, size, **where):
    async with _opened(**where) as storage:
        with Timed() as timed:
            await storage.write("ours", Given(size), size_hint=size)
    return timed.took


async def ours_down(*, size, **where):
    from sessionctx.storage.s3.checksums import Crc

    expected, got = Crc(), Crc()
    for piece in Given(size):
        expected.add(piece)
    async with _opened(**where) as storage:
        with Timed() as timed:
            async with storage.read("ours") as reader:
                async for piece in reader:
                    got.add(piece)
    assert got.text == expected.text
    return timed.took


async def ours_list(*, keys, stop=None, **where):
    from sessionctx import session

    count = 0
    async with _opened(**where) as storage:
        with session.begin() as here, Timed() as timed:
            async with storage.list("keys", recursive=True) as listing:
                async for _ in listing:
                    count += 1
                    if count == stop:
                        break
    assert count == (stop or keys)
    return timed.took | {"pages": here.statistics().requests}


def _boto3(port, access_key, secret_key):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
    )


def boto3_up(*, size, **where):
    client = _boto3(**where)
    with Timed() as timed:
        client.upload_fileobj(Given(size), BUCKET, "boto3")
    return timed.took


class Sink:
    """Takes bytes, and only counts them."""

    size = 0

    def write(self, piece):
        self.size += len(piece)
        return len(piece)


def boto3_down(*, size, **where):
    client, sink = _boto3(**where), Sink()
    with Timed() as timed:
        client.download_fileobj(BUCKET, "ours", sink)
    assert sink.size == size
    return timed.took


def boto3_list(*, keys, **where):
    client = _boto3(**where)
    with Timed() as timed:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="keys/")
        count = sum(len(page["Contents"]) for page in pages)
    assert count == keys
    return timed.took


def _obstore(port, access_key, secret_key):
    from obstore.store import S3Store

    return S3Store(
        BUCKET,
        endpoint=f"http://127.0.0.1:{port}",
        access_key_id=access_key,
        secret_access_key=secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def obstore_up(*, size, **where):
    import obstore

    store = _obstore(**where)
    with Timed() as timed:
        obstore.put(store, "obstore", iter(Given(size)), chunk_size=8 * MIB, max_concurrency=4)
    return timed.took


def obstore_down(*, size, **where):
    import obstore

    store, sink = _obstore(**where), Sink()
    with Timed() as timed:
        for chunk in obstore.get(store, "ours").stream(min_chunk_size=MIB):
            sink.write(memoryview(chunk))
    assert sink.size == size
    return timed.took


def obstore_list(*, keys, **where):
    import obstore

    store = _obstore(**where)
    with Timed() as timed:
        count = sum(len(page) for page in obstore.list(store, "keys/"))
    assert count == keys
    return timed.took


def main() -> None:
    job, arguments = globals()[sys.argv[1]], json.load(sys.stdin)
    result: Any = (
        trio.run(lambda: job(**arguments)) if sys.argv[1].startswith(("ours", "prepare")) else job(**arguments)
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()

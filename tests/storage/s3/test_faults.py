"""Lines that break in the middle, before a real server: nothing is lost, nothing is half there, nothing is left over."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys

import pytest
import trio

from sessionctx.errors import FileChanged, PeerError
from sessionctx.storage.s3 import Patience, Sizes
from sessionctx.storage.s3.client import Ask
from sessionctx.testing.proxy import Fault, open_proxy
from sessionctx.testing.storage import Pieces, content, everything, listed
from sessionctx.transports import HTTP
from tests.storage.s3.conftest import BUCKET, uploads

MIB = 1024 * 1024
DATA = random.Random(7).randbytes(16 * MIB + 11)
SIZES = Sizes(part=5 * MIB, at_once=3, enough=math.inf)
QUICK = {"sizes": SIZES, "patience": Patience(base=0.001), "http": HTTP(idle=0.3, header=1.5)}


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
async def test_a_download_goes_on_where_it_broke(on_ceph, ceph_server, kind):
    async with on_ceph() as direct, open_proxy(ceph_server.port) as proxy:
        await direct.write("x", DATA)
        proxy.arm(Fault(kind, after=3_000_000), Fault(kind, after=1_000_000), None, Fault(kind, after=100))
        async with on_ceph(port=proxy.port, **QUICK) as storage:
            assert await content(storage, "x") == DATA
        assert proxy.down < len(DATA) + 4_000_000, "what had come was asked for again"
        assert proxy.connections >= 3


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
async def test_an_upload_sends_a_part_again_that_broke_in_the_middle(on_ceph, ceph_server, kind):
    async with on_ceph() as direct, open_proxy(ceph_server.port) as proxy:
        proxy.arm(None, Fault(kind, after=3_000_000, direction="up"), Fault(kind, after=1_000_000, direction="up"))
        async with on_ceph(port=proxy.port, **QUICK) as storage:
            await storage.write("x", Pieces([DATA[:1_000_001], DATA[1_000_001:]]))
        assert await content(direct, "x") == DATA
        assert await uploads(direct) == []


async def test_an_upload_that_does_not_come_through_leaves_nothing(on_ceph, ceph_server):
    async with on_ceph() as direct, open_proxy(ceph_server.port) as proxy:
        proxy.always = Fault("reset", after=1_000_000, direction="up")
        async with on_ceph(port=proxy.port, **QUICK) as storage:
            with pytest.raises(PeerError):
                await storage.write("x", DATA)
        assert await uploads(direct) == []
        assert await listed(direct) == {}


async def test_one_reader_has_several_connections_where_each_is_slow(on_ceph, ceph_server):
    rate = 8_000_000.0
    async with on_ceph() as direct, open_proxy(ceph_server.port) as proxy:
        await direct.write("x", DATA)
        proxy.rate = rate
        async with on_ceph(port=proxy.port, sizes=Sizes(part=5 * MIB)) as storage:
            began = trio.current_time()
            assert await content(storage, "x") == DATA
            assert trio.current_time() - began < 0.75 * len(DATA) / rate
        assert proxy.connections == 4


async def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(on_ceph):
    async with on_ceph(sizes=SIZES) as storage:
        await storage.write("x", DATA)
        with pytest.raises(FileChanged):
            async with storage.read("x") as reader:
                await anext(reader)
                await storage.write("x", DATA[::-1])
                await everything(reader)


async def test_an_upload_that_is_interrupted_leaves_nothing(on_ceph, ceph_server):
    """SIGINT ends a program in the middle of a part: nothing is left on the server."""
    program = f"""
import trio, sys
from sessionctx.storage import open_storage

class Source:
    count = 0
    def __aiter__(self):
        return self
    async def __anext__(self):
        await trio.sleep(0.001)
        self.count += 1
        if self.count == 12:
            print("under way", flush=True)
        return bytes(1_000_000)

async def main():
    async with open_storage(sys.argv[1], access_key={ceph_server.access_key!r}, secret_key={ceph_server.secret_key!r}) as s:
        await s.write("x", Source(), size_hint=10 ** 12)

trio.run(main)
"""
    async with on_ceph() as storage:
        url = f"s3://{BUCKET}/{storage._location.prefix}?endpoint={ceph_server.endpoint}&region=us-east-1"
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", program, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert (await process.stdout.receive_some()).startswith(b"under way")
            assert await uploads(storage) == [f"{storage._location.prefix}/x"]
        finally:
            os.kill(process.pid, signal.SIGINT)
        said = b"".join([piece async for piece in process.stderr]).decode()
        await process.wait()
        await process.stdout.aclose()
        await process.stderr.aclose()
        assert "KeyboardInterrupt" in said
        assert await uploads(storage) == []
        assert await listed(storage) == {}


async def test_keys_that_are_no_paths_are_listed_with_what_is_wrong(on_ceph):
    async with on_ceph() as storage:
        for key in ["a//b", "marker/", "sub/../x", "good", "not&<ok>/\u2028"]:
            await storage._client.call(Ask(method="PUT", key=storage._root + key))
        found = await listed(storage, recursive=True)
        assert {path for path, entry in found.items() if entry.problem} == {"a//b", "sub/../x"}
        assert set(found) == {"a//b", "sub/../x", "good", "not&<ok>/\u2028"}
        assert {(path, entry.kind) for path, entry in (await listed(storage)).items()} == {
            ("a", "folder"),
            ("marker", "folder"),
            ("sub", "folder"),
            ("good", "file"),
            ("not&<ok>", "folder"),
        }
        assert await listed(storage, "marker") == {}

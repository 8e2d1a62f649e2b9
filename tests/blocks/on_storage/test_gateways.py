"""Gateways over one storage: one node adds, the other serves it over HTTP, both at once; with the bucket of a real server."""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from random import Random

import pytest
import trio

from sessionctx import Node, serve, session
from sessionctx.blocks import MemoryBlockstore, StorageBlockstore, TieredBlockstore
from sessionctx.errors import BlockNotFound, InvalidLocation, StoreError
from sessionctx.storage import open_storage
from sessionctx.storage.s3.client import Ask
from sessionctx.testing.proxy import Fault, open_proxy
from tests.storage.rclone_s3 import rclone_s3
from tests.storage.s3.conftest import opener

KIB = 1024


@asynccontextmanager
async def gateway(url: str):
    """A node without anything of its own, and the URL at which it serves."""
    async with open_storage(url) as storage, StorageBlockstore.open(storage, refresh=0.0) as home:
        node = Node.over(TieredBlockstore([MemoryBlockstore(max_bytes=4 << 20), home]))
        async with trio.open_nursery() as nursery:
            yield node, await nursery.start(serve.run, serve.gateway(node.store, ahead=16))
            nursery.cancel_scope.cancel()


@pytest.fixture(params=["folder", "ceph"])
def place(request, tmp_path):
    """A storage that several open."""
    return f"file://{tmp_path}/bucket" if request.param == "folder" else request.getfixturevalue("bucket")


async def test_what_one_node_adds_the_other_serves_and_both_at_once(place):
    """Two nodes add to one storage at the same time, and each serves what the other has added, block by block and whole."""
    rng = Random(5)
    files = {n: rng.randbytes([10, 300 * KIB, 3 << 20][n % 3] + n) for n in range(12)}

    async def work(adder: Node, server: str, mine: list[int]) -> None:
        for n in mine:
            added = await adder.files.add(files[n])
            async with Node.open() as reader:
                with session.fork(peers=[server]):
                    assert await reader.files.read_bytes(added.cid) == files[n]

    async with gateway(place) as (one, one_url), gateway(place) as (other, other_url):
        with session.begin():
            async with trio.open_nursery() as nursery:
                for k in range(2):
                    nursery.start_soon(work, one, other_url, [*range(k, 12, 4)])
                    nursery.start_soon(work, other, one_url, [*range(k + 2, 12, 4)])


async def test_a_node_that_is_gone_leaves_what_it_added(place):
    data = Random(6).randbytes(2 << 20)
    async with Node.open(store=place) as node:
        added = await node.files.add(data)
    async with Node.open(store=place) as node:
        assert await node.files.read_bytes(added.cid) == data


async def test_a_folder_is_a_cache_of_what_is_in_the_storage(place, tmp_path):
    data = Random(7).randbytes(2 << 20)
    async with Node.open(store=place) as node:
        added = await node.files.add(data)
    async with Node.open(tmp_path / "cache", store=place, max_bytes=4 << 20) as node:
        assert await node.files.read_bytes(added.cid) == data
    async with Node.open(tmp_path / "cache") as node:
        assert await node.files.read_bytes(added.cid) == data
    async with Node.open(tmp_path / "small", store=place, max_bytes=100) as node:
        more = await node.files.add(data + b"more")
        assert await node.files.read_bytes(more.cid) == data + b"more"


async def test_what_no_node_has_put_is_not_found(place):
    async with Node.open(store=place) as node, Node.open() as elsewhere:
        added = await elsewhere.files.add(b"elsewhere")
        with pytest.raises(BlockNotFound, match="2 stores"):
            await node.store.get(added.cid)


async def test_a_url_that_names_no_storage_is_refused():
    with pytest.raises(InvalidLocation, match="no storage serves"):
        await Node.open(store="nosuch://bucket").__aenter__()


@pytest.mark.parametrize("kind", ["reset", "cut"])
async def test_lines_that_break_lose_nothing(bucket, ceph_server, some_blocks, kind):
    """Every connection to the cluster breaks in the middle of what is sent, then of what is read; then it is well."""
    blocks = some_blocks(400, 5000)
    async with open_proxy(ceph_server.port) as proxy:
        broken = bucket.replace(str(ceph_server.port), str(proxy.port))
        async with open_storage(broken) as storage, StorageBlockstore.open(storage, pack_bytes=1 << 20) as store:
            proxy.arm(*[Fault(kind, after=200_000, direction="up")] * 2)
            await tried(store.put_many, blocks)
            proxy.arm(*[Fault(kind, after=100, direction="down")] * 2)  # written, and the answer is lost
            await tried(store.sync)
            proxy.arm(*[Fault(kind, after=50_000)] * 2)
            await tried(store.gc)
            for block in blocks[::40]:
                assert (await tried(store.get, block.cid)) == block
    async with open_storage(bucket) as storage, StorageBlockstore.open(storage) as store:
        assert await store.has_many([block.cid for block in blocks]) == {block.cid for block in blocks}
        for block in blocks[::20]:
            assert await store.get(block.cid) == block


async def tried(work, *args):
    """Do it again until it is done: nothing of it is lost when it fails, and doing it twice changes nothing."""
    for _ in range(5):
        with suppress(StoreError):
            return await work(*args)
    return await work(*args)


@contextmanager
def program(*words: str):
    """A command line in a process of its own, and the first line that it prints."""
    argv = [sys.executable, "-W", "error", "-m", "sessionctx", *words]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def test_processes_on_one_cluster_serve_what_each_of_them_adds(bucket, tmp_path):
    """Gateways that were there before, in processes without a disk, serve what others add to the cluster."""
    data = Random(8).randbytes(5 << 20)
    (tmp_path / "file").write_bytes(data)
    serving = ("serve", "--quiet", "--while-stdin-is-open", "--store", bucket)
    with program(*serving) as one, program(*serving) as other:
        with program("add", "--quiet", str(tmp_path / "file"), "--store", bucket) as root:
            pass
        for n, url in enumerate((one, other)):
            out = tmp_path / f"got {n}"
            with program("get", root, "-o", str(out), "--peer", url, "--store", str(tmp_path / f"store {n}")):
                pass
            assert out.read_bytes() == data


async def test_a_server_that_heeds_no_conditions_is_refused_before_anything_is_committed(tmp_path, some_blocks):
    """Nodes on it would undo each other's commits, and never know."""
    with rclone_s3(tmp_path) as server:
        async with opener(server, "")() as storage:
            await storage._client.call(Ask(method="PUT"))
        async with opener(server)() as storage:
            with pytest.raises(StoreError, match="heeds no conditions"):
                async with StorageBlockstore.open(storage) as store:
                    await store.put_many(some_blocks(3))
            async with storage.list("log", recursive=True) as listing:
                assert [entry.path async for entry in listing] == []

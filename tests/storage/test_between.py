"""Trees and large files go from this disk to the servers of others, from one to another, and back as they were."""

from __future__ import annotations

import random
import shutil
from contextlib import asynccontextmanager

import pytest

from sessionctx import session
from sessionctx.peers import statistics
from sessionctx.storage import LocalStorage, Location, copy, open_storage
from sessionctx.testing.storage import content, listed

TREE = {"a": b"1", "b/c d": b"22", "b/é/e": b"333", "empty": b"", "large": random.Random(1).randbytes(20_000_001)}


@asynccontextmanager
async def on_s3(folder):
    pytest.importorskip("botocore")
    pytest.importorskip("awscrt")
    from sessionctx.storage.s3.client import Ask
    from tests.storage.ceph import ceph

    with ceph(folder) as server:
        options = {"endpoint": server.endpoint, "access_key": server.access_key, "secret_key": server.secret_key}
        async with open_storage("s3://bucket", style="path", **options) as storage:
            await storage._client.call(Ask(method="PUT"))
            yield storage


@asynccontextmanager
async def on_sftp(folder):
    from tests.storage.sftp.servers import sshd

    (folder / "root").mkdir()
    with sshd(folder) as server:
        async with open_storage(server.url(folder / "root"), **server.options) as storage:
            yield storage


@asynccontextmanager
async def on_smb(folder):
    pytest.importorskip("smbprotocol")
    from tests.storage.smbd import smbd

    with smbd(folder) as server:
        async with open_storage(server.url()) as storage:
            yield storage


SERVERS = {"s3": on_s3, "sftp": on_sftp, "smb": on_smb}


@pytest.fixture
async def here(tmp_path):
    storage = LocalStorage(tmp_path / "here", sync=False)
    for path, data in TREE.items():
        await storage.write(path, data)
    return storage


async def files(storage, prefix=""):
    found = await listed(storage, prefix, recursive=True)
    return {path: await content(storage, path) for path, entry in found.items() if entry.kind == "file"}


@pytest.mark.parametrize("name", SERVERS)
async def test_a_tree_goes_there_and_back(tmp_path, here, name):
    back = LocalStorage(tmp_path / "back", sync=False)
    (tmp_path / "server").mkdir()
    async with SERVERS[name](tmp_path / "server") as there:
        with session.begin() as s:
            summary = await copy(Location(here), Location(there, "to/x"), recursive=True)
            assert (summary.succeeded, summary.failed, summary.failures) == (5, 0, ())
            again = await copy(Location(here), Location(there, "to/x"), recursive=True, resume=True)
            assert (again.succeeded, again.skipped, again.failed) == (0, 5, 0)
            summary = await copy(Location(there, "to/x"), Location(back), recursive=True)
            assert (summary.succeeded, summary.failed, summary.failures) == (5, 0, ())
            again = await copy(Location(there, "to/x"), Location(back), recursive=True, resume=True)
            assert (again.succeeded, again.skipped) == (0, 5)
            (peer,) = statistics(s)
            assert peer.found > 10
            assert peer.in_flight == 0
    assert await files(back) == TREE


async def test_from_one_server_to_another(tmp_path, here):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    async with on_sftp(tmp_path / "one") as one, on_smb(tmp_path / "other") as other:
        await copy(Location(here), Location(one), recursive=True)
        summary = await copy(Location(one), Location(other, "to"), recursive=True)
        assert (summary.succeeded, summary.failed) == (5, 0)
        assert await files(other) == {f"to/{path}": data for path, data in TREE.items()}
        shutil.rmtree(tmp_path / "one/root")

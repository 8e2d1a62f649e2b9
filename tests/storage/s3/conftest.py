"""Servers that speak S3, each started once, and a place of its own in a bucket for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from secrets import token_hex

import pytest
import trio

from sessionctx.errors import NoSuchFile
from sessionctx.storage import open_storage
from sessionctx.storage.s3 import S3Storage
from sessionctx.storage.s3.client import Ask
from tests.storage.ceph import S3Server, ceph
from tests.storage.rclone_s3 import rclone_s3

BUCKET = "test-bucket"
_number = count()

Open = Callable[..., AbstractAsyncContextManager[S3Storage]]


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory):
    with ceph(tmp_path_factory.mktemp("ceph")) as server:
        trio.run(_make_bucket, server)
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory):
    with rclone_s3(tmp_path_factory.mktemp("rclone")) as server:
        trio.run(_make_bucket, server)
        yield server


@pytest.fixture
def on_ceph(ceph_server) -> Open:
    """Opens the same empty place on Ceph, as often as it is wanted."""
    return opener(ceph_server)


@pytest.fixture
def on_rclone(rclone_server) -> Open:
    return opener(rclone_server)


def opener(server: S3Server, prefix: str | None = None) -> Open:
    place = f"{next(_number)}-{token_hex(3)}" if prefix is None else prefix

    @asynccontextmanager
    async def open_it(*, port: int | None = None, below: str = "", **options) -> AsyncIterator[S3Storage]:
        endpoint = server.endpoint if port is None else f"http://127.0.0.1:{port}"
        keys = {"access_key": server.access_key, "secret_key": server.secret_key, "region": "us-east-1"}
        url = f"s3://{BUCKET}/{place}{below}?endpoint={endpoint}"
        async with open_storage(url, **(keys | options)) as storage:
            assert isinstance(storage, S3Storage)
            yield storage

    return open_it


async def _make_bucket(server: S3Server) -> None:
    async with opener(server, "")() as storage:
        await storage._client.call(Ask(method="PUT"))


async def uploads(storage: S3Storage) -> list[str]:
    """Return the keys of the uploads that are under way below the root of *storage*."""
    query = (("prefix", storage._root), ("uploads", ""))
    try:
        answer = await storage._client.call(Ask(method="GET", query=query, unseen=True))
    except NoSuchFile:  # the way of rclone
        return []
    return [record["Key"] for record in answer.document.all("Upload")]

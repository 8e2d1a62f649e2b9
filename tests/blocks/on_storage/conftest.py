"""Places for blocks: a folder, and a bucket on a real Ceph cluster."""

from __future__ import annotations

from secrets import token_hex

import pytest
import trio

from sessionctx.storage.s3.client import Ask
from tests.storage.ceph import ceph
from tests.storage.s3.conftest import BUCKET, opener


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory):
    """A cluster of one monitor, one OSD and a radosgw, with a bucket."""
    pytest.importorskip("botocore")
    with ceph(tmp_path_factory.mktemp("ceph-blocks")) as server:

        async def make_bucket() -> None:
            async with opener(server, "")() as storage:
                await storage._client.call(Ask(method="PUT"))

        trio.run(make_bucket)
        yield server


@pytest.fixture
def bucket(ceph_server, monkeypatch) -> str:
    """The URL of an empty place in the bucket, for which the credentials are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ceph_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph_server.secret_key)
    return f"s3://{BUCKET}/{token_hex(6)}?endpoint={ceph_server.endpoint}&region=us-east-1"

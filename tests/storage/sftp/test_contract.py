"""SFTP keeps the contract of all backends: over sshd, and over sftp-server itself."""

from __future__ import annotations

import pytest

from sessionctx.storage import open_storage
from sessionctx.testing.storage import BackendContract
from tests.storage.sftp.servers import master, sftp_server


class TestServerOnPipes(BackendContract):
    @pytest.fixture
    async def backend(self, tmp_path):
        async with open_storage(f"sftp://localhost{tmp_path}", command=[sftp_server()]) as backend:
            yield backend


@pytest.fixture(scope="module")
def shared(server):
    """Options with which all go through one connection."""
    with master(server) as options:
        yield options


class TestSshd(BackendContract):
    @pytest.fixture
    async def backend(self, tmp_path, server, shared):
        async with open_storage(server.url(tmp_path), **shared) as backend:
            yield backend

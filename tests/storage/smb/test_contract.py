"""A share of a real Samba server keeps the contract of all backends: signed, and encrypted where the server demands it."""

from __future__ import annotations

import secrets

import pytest

from sessionctx.storage import open_storage
from sessionctx.testing.storage import BackendContract
from sessionctx.testing.storage.files import FilesContract
from tests.storage.smbd import smbd


@pytest.fixture(scope="module")
def encrypting(tmp_path_factory):
    with smbd(tmp_path_factory.mktemp("encrypting"), server_smb_encrypt="required") as server:
        yield server


class TestSigned(BackendContract):
    @pytest.fixture
    async def backend(self, server, folder):
        async with open_storage(server.url(folder.name)) as backend:
            yield backend


class TestEncrypted(FilesContract):
    """What is done to messages is the same for all: those that carry most are enough."""

    large = 5 * 1024 * 1024 + 7

    @pytest.fixture
    async def backend(self, encrypting):
        folder = secrets.token_hex(4)
        (encrypting.data / folder).mkdir()
        async with open_storage(encrypting.url(folder)) as backend:
            yield backend

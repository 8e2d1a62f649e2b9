"""The contract of storages, on real servers: Ceph's, and one that is not quite S3."""

from __future__ import annotations

import pytest

from sessionctx.storage import Backend
from sessionctx.testing.storage import BackendContract
from tests.storage.s3.conftest import uploads


class TestCeph(BackendContract):
    @pytest.fixture
    async def backend(self, on_ceph) -> Backend:
        async with on_ceph() as storage:
            yield storage
            assert await uploads(storage) == []


class TestRclone(BackendContract):
    @pytest.fixture
    async def backend(self, on_rclone) -> Backend:
        async with on_rclone(conditional_writes=False) as storage:
            yield storage
            assert await uploads(storage) == []

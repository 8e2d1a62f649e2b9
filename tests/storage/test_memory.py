"""The storage in memory keeps the contract of all backends."""

from __future__ import annotations

import pytest

from sessionctx.storage import MemoryStorage, open_storage
from sessionctx.testing.storage import BackendContract


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self):
        return MemoryStorage()


async def test_it_is_opened_by_its_url():
    async with open_storage("memory://") as backend:
        await backend.write("a", b"x")
        assert (await backend.stat("a")).size == 1

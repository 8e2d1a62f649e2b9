"""A store over a storage is a store: the contract, over each kind of storage, and with each way of keeping blocks."""

from __future__ import annotations

import pytest

from sessionctx.blocks.on_storage import StorageBlockstore
from sessionctx.storage import MemoryStorage
from sessionctx.testing.blockstore import BlockstoreContract


class TestInMemory(BlockstoreContract):
    """Gathered, and written when it is full."""

    @pytest.fixture
    async def store(self):
        async with StorageBlockstore.open(MemoryStorage(), "some/where") as store:
            yield store


class TestWrittenAtOnce(BlockstoreContract):
    """Every batch is full with the first block, and every block is large: all comes from the storage."""

    @pytest.fixture(params=[0, 10**9], ids=["as blocks", "in packs"])
    async def store(self, request):
        async with StorageBlockstore.open(MemoryStorage(), pack_bytes=1, large=request.param) as store:
            yield store

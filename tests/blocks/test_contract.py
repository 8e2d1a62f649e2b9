"""Every store of ours keeps the public contract."""

from __future__ import annotations

import pytest

from sessionctx.blocks import DiskBlockstore, MemoryBlockstore, TieredBlockstore
from sessionctx.content import MAX_BLOCK
from sessionctx.testing.blockstore import BlockstoreContract


class TestMemory(BlockstoreContract):
    @pytest.fixture
    def store(self):
        return MemoryBlockstore()


class TestBoundedMemory(BlockstoreContract):
    @pytest.fixture
    def store(self):
        return MemoryBlockstore(max_bytes=MAX_BLOCK)


class TestDisk(BlockstoreContract):
    @pytest.fixture
    async def store(self, path):
        async with DiskBlockstore.open(path) as store:
            yield store


class TestTiered(BlockstoreContract):
    @pytest.fixture
    async def store(self, path):
        async with DiskBlockstore.open(path) as home:
            yield TieredBlockstore([MemoryBlockstore(max_bytes=MAX_BLOCK), home])


def test_the_contract_asks_for_its_fixture():
    with pytest.raises(NotImplementedError, match="override the fixture"):
        BlockstoreContract.store.__wrapped__(BlockstoreContract())

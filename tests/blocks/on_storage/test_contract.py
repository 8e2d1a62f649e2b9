"""A store over a storage is a store: the contract, over each kind of storage, and with each way of keeping blocks."""

from __future__ import annotations

import pytest

from sessionctx.blocks import DiskBlockstore, StorageBlockstore, TieredBlockstore
from sessionctx.storage import MemoryStorage, open_storage
from sessionctx.testing.blockstore import BlockstoreContract


class TestInMemory(BlockstoreContract):
    """Gathered, and written when it is full."""

    @pytest.fixture
    async def store(self):
        async with StorageBlockstore.open(MemoryStorage(), "some/where") as store:
            yield store


class TestWrittenAtOnce(BlockstoreContract):
    """Batches are full with few blocks: most of them come from the storage."""

    @pytest.fixture(params=[0, 10**9], ids=["as blocks", "in packs"])
    async def store(self, request):
        async with StorageBlockstore.open(MemoryStorage(), pack_bytes=2000, large=request.param) as store:
            yield store


class TestInAFolder(BlockstoreContract):
    """A folder of this machine, which does not list in order."""

    @pytest.fixture
    async def store(self, tmp_path):
        async with (
            open_storage(f"file://{tmp_path}/made") as storage,
            StorageBlockstore.open(storage, "blocks", pack_bytes=5000, large=2000) as store,
        ):
            yield store


class TestOnCeph(BlockstoreContract):
    """A bucket of a real cluster."""

    @pytest.fixture
    async def store(self, bucket):
        async with (
            open_storage(bucket) as storage,
            StorageBlockstore.open(storage, "blocks", pack_bytes=50_000, large=20_000) as store,
        ):
            yield store


class TestBehindACache(BlockstoreContract):
    """With a cache in front that holds little."""

    @pytest.fixture
    async def store(self, tmp_path):
        async with (
            DiskBlockstore.open(tmp_path / "cache", max_bytes=100_000) as cache,
            StorageBlockstore.open(MemoryStorage()) as home,
        ):
            yield TieredBlockstore([cache, home])

"""Several stores as one."""

from __future__ import annotations

import pytest
import trio

from sessionctx.blocks import DiskBlockstore, MemoryBlockstore, TieredBlockstore
from sessionctx.blocks.base import BATCH_BLOCKS
from sessionctx.errors import BlockNotFound, StoreError, StoreFull


class Full(MemoryBlockstore):
    """A store that has no room."""

    async def put(self, block):
        await trio.lowlevel.checkpoint()
        raise StoreFull("no room")


class Broken(MemoryBlockstore):
    """A store that cannot be read."""

    async def get(self, cid):
        await trio.lowlevel.checkpoint()
        raise StoreError("broken")


@pytest.fixture
def block(some_blocks):
    return some_blocks(1)[0]


async def test_what_is_found_below_is_copied_to_the_top(block):
    top, middle, home = tiers = [MemoryBlockstore() for _ in range(3)]
    await home.put(block)
    assert await TieredBlockstore(tiers).get(block.cid) == block
    assert await top.has(block.cid)
    assert not await middle.has(block.cid)


async def test_the_first_that_has_it_is_the_last_that_is_asked(block):
    top = MemoryBlockstore()
    await top.put(block)
    assert await TieredBlockstore([top, Broken()]).get(block.cid) == block


async def test_a_top_without_room_does_not_hide_what_is_below(block):
    home = MemoryBlockstore()
    await home.put(block)
    assert await TieredBlockstore([Full(), home]).get(block.cid) == block


async def test_a_broken_store_is_not_taken_for_an_empty_one(block):
    home = MemoryBlockstore()
    await home.put(block)
    with pytest.raises(StoreError, match="broken"):
        await TieredBlockstore([Broken(), home]).get(block.cid)


async def test_asking_does_not_copy(block):
    top, home = MemoryBlockstore(), MemoryBlockstore()
    await home.put(block)
    assert await TieredBlockstore([top, home]).has(block.cid)
    assert not await top.has(block.cid)


async def test_every_store_gets_what_is_put_and_loses_what_is_deleted(some_blocks):
    tiers = [MemoryBlockstore() for _ in range(3)]
    store = TieredBlockstore(tiers)
    one, *more = some_blocks(BATCH_BLOCKS + 10, 10)
    await store.put(one)
    await store.put_many(iter(more))
    assert {tier.statistics().blocks for tier in tiers} == {BATCH_BLOCKS + 10}
    await store.delete(one.cid)
    assert [await tier.has(one.cid) for tier in tiers] == [False] * 3


async def test_a_home_without_room_is_an_error(block):
    top = MemoryBlockstore()
    with pytest.raises(StoreFull):
        await TieredBlockstore([top, Full()]).put(block)
    assert not await top.has(block.cid)


async def test_a_miss_says_how_many_were_asked(block):
    with pytest.raises(BlockNotFound, match="2 stores"):
        await TieredBlockstore([MemoryBlockstore(), MemoryBlockstore()]).get(block.cid)


def test_no_stores_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        TieredBlockstore([])


async def test_copies_stay_copies_in_every_tier(tmp_path, some_blocks):
    """A tier with little room lets a copy go for the next one, which it would not do for what was put there."""
    first, second = some_blocks(2)
    room = max(len(first.data), len(second.data))
    home = MemoryBlockstore()
    async with DiskBlockstore.open(tmp_path / "store", max_bytes=room) as top:
        tiers = TieredBlockstore([top, home])
        await tiers.cache([first])
        await tiers.cache([second])
        assert [await top.has(each.cid) for each in (first, second)] == [False, True]
        assert await tiers.get(first.cid) == first  # from home, and copied up again
        assert [await top.has(each.cid) for each in (first, second)] == [True, False]
        await tiers.put(second)
        await tiers.put_many([first])
        assert [await top.has(each.cid) for each in (first, second)] == [True, False]


async def test_a_cache_that_may_hold_no_more_is_no_error_and_home_has_it(tmp_path, some_blocks):
    first, second = some_blocks(2)
    home = MemoryBlockstore()
    async with DiskBlockstore.open(tmp_path / "store", max_bytes=len(first.data)) as top:
        await top.put(first)  # in its care, so it stays
        tiers = TieredBlockstore([top, home])
        await tiers.put(second)
        await tiers.put_many([first, second])
        assert await top.has(first.cid)
        assert not await top.has(second.cid)
        assert home.statistics().blocks == 2

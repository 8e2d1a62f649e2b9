"""Garbage: what goes, what stays, what is written again; and that nodes may go on meanwhile."""

from __future__ import annotations

from unittest import mock

import attrs
import pytest
import trio

from sessionctx.blocks import StorageBlockstore
from sessionctx.blocks.on_storage import forms
from sessionctx.content import Block
from sessionctx.errors import BlockNotFound, StoreCorrupt, StoreError
from sessionctx.storage import MemoryStorage
from tests.blocks.on_storage.faulty import Faulty
from tests.blocks.on_storage.test_store import damage, paths

HOUR = 3600.0


@pytest.fixture
def storage():
    return MemoryStorage()


async def all_there(storage, blocks):
    async with StorageBlockstore.open(storage) as store:
        for block in blocks:
            assert await store.get(block.cid) == block
    return True


async def test_what_was_deleted_goes_after_the_grace_and_the_rest_stays(storage, some_blocks):
    small, large = some_blocks(10, 100), some_blocks(10, 2000)
    async with StorageBlockstore.open(storage, large=1000) as store:
        await store.put_many(small + large)
        await store.sync()
        for block in [*small, large[0]]:
            await store.delete(block.cid)
        cleared = await store.gc(grace=HOUR)
        assert (cleared.blocks, cleared.objects) == (9, 0)
        cleared = await store.gc(grace=0.0)
        assert cleared.objects == 1 + 1 + 1  # the pack, the large block, the first entry of the log
        assert cleared.bytes > 3000
        assert await store.has_many([block.cid for block in small + large]) == {block.cid for block in large[1:]}
    assert len(await paths(storage, folder="packs/")) == 0
    assert await all_there(storage, large[1:])


async def test_what_was_never_committed_goes(storage, some_blocks):
    line = Faulty(storage)
    try:
        async with StorageBlockstore.open(line) as store:
            await store.put_many(some_blocks(3))
            line.fails_in = 1
            await store.sync()
    except StoreError:
        pass
    [orphan] = await paths(storage)
    async with StorageBlockstore.open(storage) as store:
        assert (await store.gc(grace=0.0)).objects == 0  # a store without a log: one that has lost it looks the same
        await store.put_many(some_blocks(3, seed=1))
        assert (await store.gc(grace=HOUR)).objects == 0
        assert (await store.gc(grace=0.0)).objects == 1
    assert orphan not in await paths(storage)
    assert await all_there(storage, some_blocks(3, seed=1))


@pytest.mark.parametrize("lost", ["log", "base", "all"])
async def test_where_the_log_is_lost_nothing_passes_for_garbage(storage, some_blocks, lost):
    """Somebody deletes what is old in the bucket, and not what the index says: the blocks stay."""
    async with StorageBlockstore.open(storage) as store:
        for seed in range(3):
            await store.put_many(some_blocks(3, seed=seed))
            await store.sync()
            await store.gc(grace=0.0)
    packs = await paths(storage, folder="packs/")
    for path in [*await paths(storage, folder="log/"), *await paths(storage, folder="base/")]:
        if path.startswith(lost) or lost == "all":
            await storage.delete(path)
    if lost == "all":
        async with StorageBlockstore.open(storage) as store:
            assert (await store.gc(grace=0.0)).objects == 0
    else:
        with pytest.raises(StoreCorrupt, match="is missing"):
            async with StorageBlockstore.open(storage) as store:
                await store.gc(grace=0.0)
    assert await paths(storage, folder="packs/") == packs


async def test_objects_of_others_below_the_prefix_are_left_alone(storage, some_blocks):
    others = ["packs/ab/notes.txt", "blocks/readme", "log/old", "base/note", "rows/x/y", "elsewhere"]
    for path in others:
        await storage.write(path, b"mine")
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(some_blocks(3))
        await store.sync()
        await store.gc(grace=0.0)
        await store.gc(grace=0.0)
    assert set(others) <= set(await paths(storage))
    assert await all_there(storage, some_blocks(3))


async def test_small_packs_become_one(storage, some_blocks):
    blocks = some_blocks(30)
    async with StorageBlockstore.open(storage) as store:
        for block in blocks:
            await store.put(block)
            await store.sync()
        assert len(await paths(storage, folder="packs/")) == 30
        assert (await store.gc(grace=0.0)).moved == 30
        assert (await store.gc(grace=0.0)).moved == 0
    assert len(await paths(storage, folder="packs/")) == 1
    assert len(await paths(storage, folder="log/")) == 1  # the last that was summed up stays
    assert await all_there(storage, blocks)


async def test_a_pack_of_holes_is_written_again_and_a_full_one_is_not(storage, some_blocks):
    full, holes = some_blocks(100, 100, seed=1), some_blocks(100, 100, seed=2)
    async with StorageBlockstore.open(storage, pack_bytes=10_000) as store:
        await store.put_many(full)
        await store.put_many(holes)
        await store.sync()
        for block in holes[:70]:
            await store.delete(block.cid)
        before = set(await paths(storage, folder="packs/"))
        assert (await store.gc(grace=0.0)).moved == 30
        assert (await store.gc(grace=0.0)).moved == 0
        assert len(before & set(await paths(storage, folder="packs/"))) == 1
    assert await all_there(storage, full + holes[70:])


async def test_a_damaged_pack_is_reported_and_the_others_are_seen_to(storage, some_blocks):
    blocks = some_blocks(4)
    async with StorageBlockstore.open(storage) as store:
        for block in blocks[:2]:
            await store.put(block)
            await store.sync()
        [first, second] = await paths(storage, folder="packs/")
        await damage(storage, first, b"no CAR")
        for block in blocks[2:]:
            await store.put(block)
            await store.sync()
        cleared = await store.gc(grace=0.0)
        assert cleared.damaged == [first]
        assert cleared.moved == 3
        assert second != first


async def test_a_node_that_holds_to_what_is_gone_looks_again(storage, some_blocks):
    """Another node collected garbage, without any grace: packs, rows and log that this one knows of are gone."""
    blocks = some_blocks(20)
    async with StorageBlockstore.open(storage) as one, StorageBlockstore.open(storage, refresh=1e9) as slow:
        for block in blocks:
            await one.put(block)
            await one.sync()
        assert not await slow.has(blocks[0].cid)
        await slow._index.refresh()
        await one.gc(grace=0.0)
        await one.gc(grace=0.0)
        for block in blocks:
            assert await slow.get(block.cid) == block
        await one.delete(blocks[0].cid)
        for block in blocks[1:15]:
            await one.delete(block.cid)
        await one.gc(grace=0.0)
        await one.gc(grace=0.0)
        with pytest.raises(BlockNotFound):
            await slow.get(blocks[0].cid)
        assert await slow.get(blocks[19].cid) == blocks[19]


async def test_a_node_that_slept_through_it_all_sees_that_it_has_to_begin_anew(storage, some_blocks):
    first, *more = some_blocks(10)
    async with (
        StorageBlockstore.open(storage, refresh=0.0) as one,
        StorageBlockstore.open(storage, refresh=0.0) as other,
    ):
        for block in more:
            await one.put(block)
            await one.sync()
        await one.gc(grace=0.0)
        assert len(await paths(storage, folder="log/")) == 2  # the last summed up, and the move
        assert await other.get(more[0].cid) == more[0]
        await other.put(first)
        await other.sync()
        assert await one.get(first.cid) == first
    assert await all_there(storage, [first, *more])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 12, 13, 40])
async def test_bases_of_any_size_are_summed_up_and_found_again(storage, count):
    """Pages of two rows, shards of two pages: with each commit between, all that was put is found."""
    blocks = [Block.of(n.to_bytes(2)) for n in range(count)]
    with mock.patch.multiple(forms, PAGE_ROWS=2, PAGE=96, SHARD_PAGES=2):
        async with StorageBlockstore.open(storage) as store:
            for n in range(0, count, 4):
                await store.put_many(blocks[n : n + 4])
                await store.sync()
                await store.gc(grace=HOUR)
                await store.delete(blocks[n].cid)
            cleared = await store.gc(grace=HOUR)
            left = [block for n, block in enumerate(blocks) if n % 4]
            assert cleared.blocks == len(left)
            assert await store.has_many([block.cid for block in blocks]) == {block.cid for block in left}
            assert await all_there(storage, left)


async def test_a_collection_may_be_cancelled_at_any_time(storage, some_blocks):
    blocks = some_blocks(12)
    async with StorageBlockstore.open(storage) as store:
        for block in blocks:
            await store.put(block)
            await store.sync()
        for turns in range(20):

            async def cancel(scope, turns=turns):
                for _ in range(turns * 6):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cancel, scope)
                    await store.gc(grace=0.0)
                    nursery.cancel_scope.cancel()
            assert await all_there(storage, blocks)


async def test_a_storage_without_times_cannot_tell_garbage(storage):
    class Timeless(Faulty):
        async def stat(self, path=""):
            entry = await self._storage.stat(path)
            return attrs.evolve(entry, modified=None)

    async with StorageBlockstore.open(Timeless(storage)) as store:
        with pytest.raises(StoreError, match="does not tell when"):
            await store.gc()


async def test_many_small_packs_become_several_that_are_full(storage, some_blocks):
    blocks = some_blocks(30)
    async with StorageBlockstore.open(storage, pack_bytes=10_000) as store:
        for block in blocks:
            await store.put(block)
            await store.sync()
        assert (await store.gc(grace=0.0)).moved == 30
        await store.gc(grace=0.0)
    assert len(await paths(storage, folder="packs/")) == 3
    assert await all_there(storage, blocks)

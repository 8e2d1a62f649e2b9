"""What a store over a storage asks of it, shows to others, and says when something is wrong."""

from __future__ import annotations

import time
from contextlib import aclosing, asynccontextmanager
from unittest import mock

import attrs
import pytest
import trio

from sessionctx.blocks import StorageBlockstore
from sessionctx.blocks.on_storage import forms, names
from sessionctx.blocks.on_storage.writer import USE_WITHIN
from sessionctx.content import CID, Block, multibase
from sessionctx.errors import (
    BlockNotFound,
    CannotDo,
    InvalidLocation,
    NoRoom,
    NotInTrio,
    PeerFailed,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFull,
)
from sessionctx.storage import MemoryStorage
from tests.blocks.on_storage.faulty import Faulty

HOUR = 3600.0


@pytest.fixture
def storage():
    return MemoryStorage()


async def paths(storage, prefix="", folder=""):
    async with storage.list(prefix, recursive=True) as listing:
        return [entry.path async for entry in listing if entry.kind == "file" and entry.path.startswith(folder)]


@asynccontextmanager
async def unsynced(*args, **kwargs):
    """A store that is left by an exception, so that it does not sync."""
    try:
        async with StorageBlockstore.open(*args, **kwargs) as store:
            yield store
            raise InterruptedError
    except InterruptedError:
        pass


async def test_many_small_blocks_are_few_objects(storage, some_blocks):
    blocks = some_blocks(2000, 100)
    async with StorageBlockstore.open(storage, pack_bytes=50_000) as store:
        await store.put_many(iter(blocks))
    found = await paths(storage)
    assert len([path for path in found if path.startswith("packs/")]) == 4
    assert len(found) == 8
    async with StorageBlockstore.open(storage) as store:
        assert await store.has_many({block.cid for block in blocks}) == {block.cid for block in blocks}
        for block in blocks[::100]:
            assert await store.get(block.cid) == block


async def test_a_large_block_is_an_object_of_its_own_and_the_object_is_its_bytes(storage, some_blocks):
    small, large = some_blocks(1, 1000)[0], some_blocks(1, 1001)[0]
    async with StorageBlockstore.open(storage, "at", large=1000) as store:
        await store.put_many([small, large])
    [path] = await paths(storage, folder="at/blocks/")
    assert f"/{multibase.encode('base32', large.cid.multihash)[1:]}." in path
    async with storage.read(path) as reader:
        assert b"".join([bytes(piece) async for piece in reader]) == large.data
    assert len(await paths(storage, folder="at/packs/")) == 1


async def test_neighbours_in_a_pack_are_read_in_one_request(storage, some_blocks):
    blocks = some_blocks(40, 1000)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
    line = Faulty(storage)
    async with StorageBlockstore.open(line) as store:
        before = line.asked["read"]
        found = {}

        async def get(block):
            found[block.cid] = await store.get(block.cid)

        async with trio.open_nursery() as nursery:
            for block in blocks:
                nursery.start_soon(get, block)
        assert line.asked["read"] - before == 1
        assert [found[block.cid] for block in blocks] == blocks
        await store.get(blocks[7].cid)
        assert line.asked["read"] - before == 2


async def test_a_reader_that_gives_up_takes_nothing_from_the_others(storage, some_blocks):
    blocks = some_blocks(10, 1000)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
    async with StorageBlockstore.open(storage) as store:
        got = []

        async def get(block, scope):
            with scope:
                got.append(await store.get(block.cid))

        scopes = [trio.CancelScope() for _ in blocks]
        async with trio.open_nursery() as nursery:
            for block, scope in zip(blocks, scopes, strict=True):
                nursery.start_soon(get, block, scope)
            await trio.testing.wait_all_tasks_blocked(0)
            for scope in scopes[::2]:
                scope.cancel()
        assert {block.cid for block in got} >= {block.cid for block in blocks[1::2]}


async def test_what_is_kept_already_is_not_written_again(storage, some_blocks):
    blocks = some_blocks(20)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
    before = await paths(storage)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
    assert await paths(storage) == before
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
        await store.delete(blocks[0].cid)
        await store.put(blocks[0])
    assert await paths(storage) == before


async def test_another_node_sees_what_was_synced_once_it_looks(storage, some_blocks, autojump_clock):
    first, second = some_blocks(2)
    async with StorageBlockstore.open(storage) as one, StorageBlockstore.open(storage, refresh=5.0) as other:
        await trio.sleep(6)
        await one.put(first)
        assert not await other.has(first.cid)
        await one.sync()
        await trio.sleep(6)
        assert await other.get(first.cid) == first
        await one.put(second)
        await one.sync()
        assert not await other.has(second.cid)  # it has just looked
        await trio.sleep(5)
        assert await other.has(second.cid)
        await one.delete(second.cid)
        await one.sync()
        await other.sync()
        await other.has(CID.of(b"something else"))
        await trio.sleep(6)
        await other.has(CID.of(b"something else"))
        assert not await other.has(second.cid)


async def test_misses_ask_the_storage_once_in_a_while(storage, autojump_clock):
    line = Faulty(storage)
    async with StorageBlockstore.open(line, refresh=5.0) as store:
        before = line.asked["list"]
        for n in range(100):
            assert not await store.has(CID.of(bytes([n])))
            await trio.sleep(0.1)
        assert line.asked["list"] - before <= 2


async def test_many_are_looked_up_without_asking_for_any_block(storage, some_blocks):
    blocks = some_blocks(5000, 10)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
        await store.gc()
    line = Faulty(storage)
    async with StorageBlockstore.open(line) as store:
        before = line.asked["read"]
        assert len(await store.has_many([block.cid for block in blocks])) == 5000
        assert line.asked["read"] - before == 4  # pages of the base
        await store.has_many([block.cid for block in blocks])
        assert line.asked["read"] - before == 4


async def test_pages_in_memory_are_bounded(storage, some_blocks):
    blocks = some_blocks(5000, 10)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
        await store.gc()
    async with StorageBlockstore.open(storage, index_memory=2 * forms.PAGE) as store:
        await store.has_many([block.cid for block in blocks])
        assert len(store._index._pages) == 2


# --- damage


async def damage(storage, path, data=None):
    async with storage.read(path) as reader:
        was = b"".join([bytes(piece) async for piece in reader])
    await storage.write(path, was[:-1] + bytes([was[-1] ^ 1]) if data is None else data)


@pytest.mark.parametrize("large", [0, 10**6], ids=["an object of its own", "in a pack"])
async def test_a_damaged_block_is_named_and_can_be_put_again(storage, some_blocks, large):
    [block] = some_blocks(1)
    async with StorageBlockstore.open(storage, large=large) as store:
        await store.put(block)
    [path] = await paths(storage, folder="packs/") + await paths(storage, folder="blocks/")
    await damage(storage, path, b"x" * 2000)
    async with StorageBlockstore.open(storage, large=large) as store:
        with pytest.raises(StoreCorrupt, match=f"{path} is damaged .*{block.cid}: delete that block, sync"):
            await store.get(block.cid)
        await damage(storage, path, b"")  # cut off
        with pytest.raises(StoreCorrupt, match="is damaged"):
            await store.get(block.cid)
        await storage.delete(path)
        with pytest.raises(StoreCorrupt, match=f"{path} is missing"):
            await store.get(block.cid)
        await store.delete(block.cid)
        await store.sync()
        await store.put(block)
        await store.sync()
        async with StorageBlockstore.open(storage) as other:
            assert await other.get(block.cid) == block


async def test_a_damaged_index_is_named(storage, some_blocks):
    async with StorageBlockstore.open(storage, "at") as store:
        await store.put_many(some_blocks(10))
        await store.sync()
        await store.gc()
        state = store._index.state
    shard, base = names.rows(state.base.shards[0]), names.rows(state.number)
    await damage(storage, f"at/{shard}")
    async with StorageBlockstore.open(storage, "at") as store:
        with pytest.raises(StoreCorrupt, match=f"{shard} does not match"):
            await store.get(some_blocks(10)[3].cid)
        with pytest.raises(StoreCorrupt, match=f"{shard} does not match"):
            await store.gc()
        await storage.delete(f"at/{shard}")
        with pytest.raises(StoreCorrupt, match=r"rows.* is missing"):
            await store.has(some_blocks(10)[3].cid)
    for path in (base, "base/000000000001"):
        await damage(storage, f"at/{path}")
        with pytest.raises(StoreCorrupt, match=rf"{path}: it does not match its checksum.*packs are CARs"):
            await StorageBlockstore.open(storage, "at").__aenter__()
    await storage.write("at/base/000000000001", forms.encode_pointer(99))
    with pytest.raises(StoreCorrupt, match=r"rows/63/0000000000000063 is missing"):
        await StorageBlockstore.open(storage, "at").__aenter__()


async def test_a_damaged_or_missing_entry_of_the_log_is_named(storage, some_blocks):
    async with StorageBlockstore.open(storage) as store:
        for block in some_blocks(3):
            await store.put(block)
            await store.sync()
    await damage(storage, "log/000000000002")
    with pytest.raises(StoreCorrupt, match="log/000000000002: it does not match"):
        await StorageBlockstore.open(storage).__aenter__()
    await storage.delete("log/000000000002")
    with pytest.raises(StoreCorrupt, match="the entry 2 of its log is missing"):
        await StorageBlockstore.open(storage).__aenter__()


async def test_an_index_object_that_is_huge_is_not_read_into_memory(storage):
    @attrs.define(eq=False)
    class Endless(MemoryStorage):
        """A storage in which one object has no end, and which heeds no ranges."""

        given: int = 0

        @asynccontextmanager
        async def read(self, path, *, offset=0, length=None, version=None):
            async def pieces():
                while True:
                    await trio.lowlevel.checkpoint()
                    self.given += 2**20
                    yield bytes(2**20)

            async with aclosing(pieces()) as endless:
                yield endless

    storage = Endless()
    await storage.write("log/000000000001", b"")
    with pytest.raises(StoreCorrupt, match="more comes of it"):
        await StorageBlockstore.open(storage).__aenter__()
    assert storage.given < 2 * forms.MAX_ENTRY


# --- failing


async def test_what_could_not_be_written_stays_to_be_written(storage, some_blocks):
    block = some_blocks(1)[0]
    line = Faulty(storage)
    async with StorageBlockstore.open(line) as store:
        for fails_in in (0, 1):
            await store.put(block)
            line.fails_in = fails_in
            with pytest.raises(StoreError, match="the line broke") as caught:
                await store.sync()
            assert isinstance(caught.value.__cause__, PeerFailed)
            assert await store.get(block.cid) == block
        await store.sync()
        async with StorageBlockstore.open(storage) as other:
            assert await other.get(block.cid) == block
    assert len(await paths(storage, folder="packs/")) == 1  # it was not uploaded again


async def test_a_cancelled_sync_is_finished_by_the_next(storage, some_blocks):
    blocks = some_blocks(5)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.sync()
        with trio.move_on_after(0) as scope:
            await store.sync()
        await store.sync()
        async with StorageBlockstore.open(storage) as other:
            assert len(await other.has_many([block.cid for block in blocks])) == 5


async def test_a_lost_answer_does_not_undo_what_another_did(storage, some_blocks):
    """A commit was written, its answer lost, and the request repeated: the writer knows its own entry again."""
    block = some_blocks(1)[0]

    class Repeating(Faulty):
        async def write(self, path, *args, **kwargs):
            if "log/" in path:
                await self._storage.write(path, *args, **kwargs)
            return await self._storage.write(path, *args, **kwargs)

    async with StorageBlockstore.open(Repeating(storage)) as store:
        await store.put(block)
    assert await paths(storage, folder="log/") == ["log/000000000001"]


async def test_a_full_storage_is_a_full_store(storage, some_blocks):
    class Full(Faulty):
        async def write(self, *_args, **_kwargs):
            await trio.lowlevel.checkpoint()
            raise NoRoom("the quota is used up")

    async with unsynced(Full(storage)) as store:
        await store.put(some_blocks(1)[0])
        with pytest.raises(StoreFull, match="quota"):
            await store.sync()


async def test_puts_wait_for_the_storage_and_memory_is_bounded(storage, some_blocks):
    """Whoever puts while nothing can be written fails, and what was taken before is not lost."""
    line = Faulty(storage)
    blocks = some_blocks(20)

    class Down(Faulty):
        down = True

        async def _change(self, *args, **kwargs):
            if self.down:
                await trio.lowlevel.checkpoint()
                raise PeerFailed("down")
            return await super()._change(*args, **kwargs)

    line = Down(storage)
    taken = []
    async with StorageBlockstore.open(line, pack_bytes=2000) as store:
        for block in blocks:
            try:
                await store.put(block)
                taken.append(block)
            except StoreError:
                pass
        assert 4 <= len(taken) <= 7
        line.down = False
        await store.put_many(blocks)
    async with StorageBlockstore.open(storage) as store:
        assert len(await store.has_many([block.cid for block in blocks])) == 20


async def test_what_was_uploaded_long_ago_is_uploaded_again(storage, some_blocks):
    """It may have been taken for garbage meanwhile, and here it was."""
    block = some_blocks(1)[0]
    line = Faulty(storage)
    async with StorageBlockstore.open(line) as store:
        await store.put(block)
        line.fails_in = 1
        with pytest.raises(StoreError):
            await store.sync()
        [path] = await paths(storage, folder="packs/")
        await storage.delete(path)
        long_after = time.time() + USE_WITHIN + 1
        with mock.patch("time.time", return_value=long_after):
            await store.sync()
    async with StorageBlockstore.open(storage) as store:
        assert await store.get(block.cid) == block


async def test_who_slept_while_committing_looks_whether_it_counted(storage, some_blocks):
    """A commit to a part of the log that was summed up and deleted meanwhile is seen by nobody; it is made again."""
    first, second = some_blocks(2)
    async with StorageBlockstore.open(storage) as one, StorageBlockstore.open(storage) as other:
        asleep = trio.Event()
        real, now = storage.write, [1000.0]

        class Asleep(Faulty):
            async def write(self, path, *args, **kwargs):
                if path == "log/000000000001" and not asleep.is_set():
                    asleep.set()
                    for n in range(3):
                        await one.put(Block.of(bytes([n])))
                        await one.sync()
                    await one.put(first)
                    await one.sync()
                    with mock.patch("time.time", return_value=9e9):
                        await one.gc(grace=HOUR)
                    now[0] += 2 * HOUR
                return await real(path, *args, **kwargs)

        async with StorageBlockstore.open(Asleep(storage)) as late:
            await late.put(second)
            with mock.patch("sessionctx.blocks.on_storage.index.time.time", lambda: now[0]):  # noqa: PT008  # it moves
                await late.sync()
            assert await late.has(first.cid)
        assert asleep.is_set()
        del other
    async with StorageBlockstore.open(storage) as store:
        assert await store.get(second.cid) == second
        assert await store.get(first.cid) == first


async def test_a_log_that_is_too_long_says_to_sum_it_up_and_that_helps(storage, some_blocks):
    blocks = some_blocks(60, 10)
    async with StorageBlockstore.open(storage) as store:
        for n in range(0, 60, 10):
            await store.put_many(blocks[n : n + 10])
            await store.sync()
    async with unsynced(storage, index_memory=25 * 48) as store:
        with pytest.raises(StoreError, match=r"call gc\(\)"):
            await store.has(CID.of(b"nowhere"))
        await store.put(Block.of(b"one more"))
        with pytest.raises(StoreError, match=r"call gc\(\)"):
            await store.sync()
    async with StorageBlockstore.open(storage, index_memory=25 * 48) as store:
        await store.gc()
        assert len(await store.has_many([block.cid for block in blocks])) == 60
        await store.put(Block.of(b"one more"))
        await store.sync()


# --- opening


async def test_a_storage_that_cannot_keep_two_from_writing_the_same_is_refused(storage):
    storage.can = attrs.evolve(storage.can, if_absent=False)
    with pytest.raises(CannotDo, match="only where nothing is"):
        await StorageBlockstore.open(storage).__aenter__()


async def test_a_prefix_is_a_path(storage):
    with pytest.raises(InvalidLocation):
        await StorageBlockstore.open(storage, "../above").__aenter__()


async def test_two_prefixes_are_two_stores(storage, some_blocks):
    block = some_blocks(1)[0]
    async with StorageBlockstore.open(storage, "one") as one, StorageBlockstore.open(storage, "two") as two:
        await one.put(block)
        await one.sync()
        await two.gc(grace=0)
        assert not await two.has(block.cid)
        assert await one.get(block.cid) == block


async def test_leaving_syncs_and_what_is_left_is_closed(storage, some_blocks):
    block = some_blocks(1)[0]
    async with StorageBlockstore.open(storage) as store:
        await store.put(block)
    with pytest.raises(StoreClosed, match="open it again"):
        await store.get(block.cid)
    async with StorageBlockstore.open(storage) as other:
        assert await other.has(block.cid)


async def test_leaving_by_an_exception_does_not_sync(storage, some_blocks):
    block = some_blocks(1)[0]
    async with unsynced(storage) as store:
        await store.put(block)
    assert await paths(storage) == []


def test_it_wants_trio(storage):
    opening = StorageBlockstore.open(storage).__aenter__()
    with pytest.raises(NotInTrio):
        opening.send(None)


async def test_a_miss_names_the_storage(storage):
    async with StorageBlockstore.open(storage, "at/this") as store:
        with pytest.raises(BlockNotFound, match=r"is not in memory:/?at/this"):
            await store.get(CID.of(b"nowhere"))


async def test_when_the_storage_fails_all_who_read_are_told_and_it_is_asked_once(storage, some_blocks):
    blocks = some_blocks(20)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)

    class Down(Faulty):
        def read(self, *args, **kwargs):
            self.asked["read"] += 1
            if self.done:
                raise PeerFailed("down")
            return self._storage.read(*args, **kwargs)

    line = Down(storage)
    async with StorageBlockstore.open(line) as store:
        line.done, before = True, line.asked["read"]
        errors = []

        async def get(block):
            with pytest.raises(StoreError, match="down") as caught:
                await store.get(block.cid)
            errors.append(caught.value)

        async with trio.open_nursery() as nursery:
            for block in blocks:
                nursery.start_soon(get, block)
        assert line.asked["read"] - before == 1
        assert len(set(map(id, errors))) == 20


async def test_what_a_reader_leads_and_gives_up_is_read_by_another(storage, some_blocks, autojump_clock):
    """However the readers of one pack are cancelled, those that are left get their blocks."""
    blocks = some_blocks(12)
    async with StorageBlockstore.open(storage) as store:
        await store.put_many(blocks)

    class Slow(Faulty):
        @asynccontextmanager
        async def read(self, *args, **kwargs):
            await trio.sleep(1)
            async with self._storage.read(*args, **kwargs) as reader:
                yield reader

    async with StorageBlockstore.open(Slow(storage)) as store:
        got = []

        async def get(block, patience):
            with trio.move_on_after(patience):
                got.append(await store.get(block.cid))

        async with trio.open_nursery() as nursery:
            for n, block in enumerate(blocks):
                nursery.start_soon(get, block, [0.3, 0.6, 1.2, 60][n % 4])
        assert {block.cid for block in got} >= {block.cid for block in blocks[3::4]}

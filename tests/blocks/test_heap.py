"""Large blocks, which a store on the disk keeps in a file of their own."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import tempfile
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from sessionctx.blocks import DiskBlockstore, heap, schema
from sessionctx.blocks.heap import LARGE, data_file
from sessionctx.content import Block
from sessionctx.errors import BlockNotFound, StoreCorrupt, StoreError, StoreFull

BLOCKS = [Block.of(random.Random(n).randbytes(LARGE + n * 10_000)) for n in range(12)]


class Killed(Exception):
    """Leaves a store as a process that is killed does."""


def rows(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def map_of(path):
    """All places and holes of the data file, in order, and where it ends."""
    places = rows(path, "SELECT at, size FROM blocks WHERE at IS NOT NULL")
    holes = rows(path, "SELECT at, size FROM holes")
    return sorted(places + holes), rows(path, "SELECT tail FROM totals")[0][0]


async def test_only_large_blocks_are_in_the_data_file(path):
    """And their bytes are in no other."""
    small, large = Block.of(os.urandom(LARGE - 1)), Block.of(os.urandom(LARGE))
    async with DiskBlockstore.open(path) as store:
        await store.put(small)
        assert not data_file(path).exists()
        await store.put_many([large, small, large])
        assert await store.get(large.cid) == large
        assert store.statistics().bytes == 2 * LARGE - 1
        assert store.statistics().file_bytes > 2 * LARGE
    assert data_file(path).read_bytes() == large.data
    assert large.data[:100] not in path.read_bytes()


@pytest.fixture(scope="module")
def in_memory():
    """A folder in memory where that can be: many small examples, each with syncs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


steps = st.lists(st.tuples(st.sampled_from(["put", "put", "delete", "sync"]), st.integers(0, 11)), max_size=30)


@given(todo=steps)
def test_what_is_kept_is_whole_and_all_room_is_accounted_for(in_memory, todo):
    """However blocks come and go: places and holes never overlap, and leave nothing out; holes do not adjoin."""
    path = Path(tempfile.mkdtemp(dir=in_memory)) / "blocks.sqlite3"

    async def main():
        kept = set()
        async with DiskBlockstore.open(path) as store:
            for what, number in todo:
                block = BLOCKS[number]
                if what == "put":
                    await store.put(block)
                    kept.add(block)
                elif what == "delete":
                    await store.delete(block.cid)
                    kept.discard(block)
                else:
                    await store.sync()
            assert {block for block in BLOCKS if await store.has(block.cid)} == kept
            for block in kept:
                assert await store.get(block.cid) == block
            assert store.statistics().bytes == sum(len(block) for block in kept)

    trio.run(main)
    parts, tail = map_of(path)
    ends = [at + size for at, size in parts]
    assert [at for at, _ in parts] == [0, *ends][: len(parts)]
    assert tail == (ends[-1] if ends else 0)
    holes = rows(path, "SELECT at, size FROM holes")
    assert not {at for at, _ in holes} & {at + size for at, size in holes}


async def test_room_is_used_again_once_the_deletion_is_durable(path):
    """Before that, a loss of power could bring the deleted row back, and its bytes would be gone."""
    first, second, third = (Block.of(os.urandom(LARGE)) for _ in range(3))
    async with DiskBlockstore.open(path) as store:
        await store.put(first)
        await store.delete(first.cid)
        await store.put(second)
        assert data_file(path).stat().st_size == 2 * LARGE
        await store.sync()
        await store.put(third)
        assert data_file(path).stat().st_size == 2 * LARGE
        assert await store.get(second.cid) == second
        assert await store.get(third.cid) == third


async def test_on_a_full_disk_room_that_was_made_is_found(path, monkeypatch):
    def pwritev(fd, run, at):
        if at >= LARGE:
            raise OSError(28, "no room")
        return written(fd, run, at)

    written = os.pwritev
    first, second = (Block.of(os.urandom(LARGE)) for _ in range(2))
    async with DiskBlockstore.open(path) as store:
        await store.put(first)
        monkeypatch.setattr(os, "pwritev", pwritev)
        with pytest.raises(StoreFull, match="make room"):
            await store.put(second)
        await store.delete(first.cid)
        await store.put(second)
        assert await store.get(second.cid) == second


async def test_a_loss_of_power_costs_what_was_not_durable_and_nothing_is_wrong(path):
    """The log came to the disk, of the data only what was synced: as a file system may do it."""
    sure, lost, there = BLOCKS[:3]
    with pytest.raises(Killed):
        async with DiskBlockstore.open(path) as store:
            await store.put(sure)
            await store.sync()
            await store.put_many([lost, there])
            raise Killed
    content = data_file(path).read_bytes()
    data_file(path).write_bytes(content.replace(lost.data, bytes(len(lost))))
    async with DiskBlockstore.open(path) as store:
        assert await store.get(sure.cid) == sure
        assert await store.get(there.cid) == there
        assert not await store.has(lost.cid)
        assert store.statistics().blocks == 2
        assert store.statistics().bytes == len(sure) + len(there)
        assert [bad async for bad in store.verify()] == []
        await store.put(lost)
        assert await store.get(lost.cid) == lost


class Disk:
    """What a disk holds of a store after a loss of power: at best all, at worst what was synced."""

    def __init__(self, path):
        self.path = path
        self.files = [path, path.with_name(f"{path.name}-wal"), data_file(path)]
        self.synced = {}

    def note(self):
        """All is synced now."""
        self.synced = {file: file.read_bytes() for file in self.files if file.exists()}

    def lose(self, *files):
        """Bring the files back to what they were when all was synced."""
        for file in files:
            file.write_bytes(self.synced.get(file, b""))


few = st.lists(st.tuples(st.sampled_from(["put", "delete"]), st.integers(0, 2)), min_size=1, max_size=5)


@pytest.mark.parametrize("loses", ["the data", "the log"])
@given(todo=st.lists(few, min_size=2, max_size=3).map(lambda parts: [*parts[0], ("sync", 0), *chain(*parts[1:])]))
@example(todo=[("put", 2), ("sync", 0), ("delete", 2), ("put", 1)])
def test_whatever_a_loss_of_power_leaves_what_was_synced_is_there(in_memory, loses, todo):
    """Of what came later, some of it may be there, and that is right, too."""
    path = Path(tempfile.mkdtemp(dir=in_memory)) / "blocks.sqlite3"
    disk, kept, touched = Disk(path), set(), set()

    async def use():
        async with DiskBlockstore.open(path) as store:
            await store.sync()
            disk.note()
            for what, number in todo:
                block = BLOCKS[number]
                if what == "sync":
                    await store.sync()
                    disk.note()
                    kept.difference_update(touched)
                    kept.update({block for block in touched if await store.has(block.cid)})
                    touched.clear()
                    continue
                touched.add(block)
                await (store.put(block) if what == "put" else store.delete(block.cid))
            raise Killed

    async def look():
        async with DiskBlockstore.open(path) as store:
            there = {block for block in BLOCKS if await store.has(block.cid)}
            assert there >= kept - touched
            if loses == "the log":
                assert there == kept
            for block in there:
                assert await store.get(block.cid) == block
            assert [bad async for bad in store.verify()] == []
            assert store.statistics().bytes == sum(len(block) for block in there)

    with pytest.raises(Killed):
        trio.run(use)
    disk.lose(*([data_file(path)] if loses == "the data" else disk.files[:2]))
    trio.run(look)


async def test_damage_to_what_is_durable_is_no_loss_of_power(path):
    with pytest.raises(Killed):
        async with DiskBlockstore.open(path) as store:
            await store.put(BLOCKS[0])
            await store.sync()
            raise Killed
    data_file(path).write_bytes(bytes(len(BLOCKS[0])))
    async with DiskBlockstore.open(path) as store:
        with pytest.raises(StoreCorrupt, match="does not match"):
            await store.get(BLOCKS[0].cid)


async def test_a_row_that_takes_the_number_of_a_durable_one_is_not_sure(path):
    """SQLite gives the number of the last row again, once that is deleted."""
    with pytest.raises(Killed):
        async with DiskBlockstore.open(path) as store:
            await store.put(BLOCKS[0])
            await store.sync()
            await store.delete(BLOCKS[0].cid)
            await store.put(BLOCKS[1])
            raise Killed
    data_file(path).write_bytes(data_file(path).read_bytes()[: len(BLOCKS[0])])
    async with DiskBlockstore.open(path) as store:
        with pytest.raises(BlockNotFound):
            await store.get(BLOCKS[1].cid)


async def test_leaving_in_order_makes_all_durable(path):
    async with DiskBlockstore.open(path) as store:
        await store.put(BLOCKS[0])
    assert rows(path, "SELECT sure FROM totals") == rows(path, "SELECT max(id) FROM blocks")


async def test_much_is_made_durable_as_it_comes(path, monkeypatch):
    monkeypatch.setattr(heap, "SURE_EVERY", 3 * LARGE)
    with pytest.raises(Killed):
        async with DiskBlockstore.open(path) as store:
            for block in BLOCKS[:5]:
                await store.put(block)
            raise Killed
    assert rows(path, "SELECT sure FROM totals") == [(4,)]


async def test_a_store_of_the_first_format_is_brought_up(path):
    old = Block.of(os.urandom(2 * LARGE))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA page_size = {schema.PAGE}")
        other.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        other.execute("PRAGMA user_version = 1")
        for statement in schema._TABLES:
            other.execute(statement)
        other.execute("INSERT INTO blocks (multihash, data) VALUES (?, ?)", (old.cid.multihash, old.data))
        other.execute("UPDATE totals SET blocks = 1, bytes = ?", (len(old),))
    for _ in range(2):
        async with DiskBlockstore.open(path) as store:
            assert await store.get(old.cid) == old
            await store.put(BLOCKS[0])
            assert await store.get(BLOCKS[0].cid) == BLOCKS[0]
            assert store.statistics().bytes == len(old) + len(BLOCKS[0])
    async with DiskBlockstore.open(path) as store:
        await store.delete(old.cid)
        assert store.statistics().bytes == len(BLOCKS[0])


async def test_without_its_data_file_it_says_so(path):
    async with DiskBlockstore.open(path) as store:
        await store.put(BLOCKS[0])
    data_file(path).unlink()
    async with DiskBlockstore.open(path) as store:
        with pytest.raises(StoreCorrupt, match="is gone, which holds the large blocks"):
            await store.get(BLOCKS[0].cid)
        (bad,) = [bad async for bad in store.verify()]
        assert "is gone" in bad.why


async def test_a_data_file_without_its_store_is_not_written_over(path):
    data_file(path).write_bytes(b"somebody's blocks")
    with pytest.raises(StoreCorrupt, match="its data is there"):
        async with DiskBlockstore.open(path):
            pass
    assert data_file(path).read_bytes() == b"somebody's blocks"


async def test_a_block_whose_room_is_used_again_while_it_is_read_is_not_found(path, monkeypatch):
    """The row was read, then the block was deleted and another took its place: no damage."""
    gone, other = (Block.of(os.urandom(LARGE)) for _ in range(2))
    async with DiskBlockstore.open(path) as store:
        await store.put(gone)
        read = store._read

        async def slow(query, cid):
            row = await read(query, cid)
            monkeypatch.setattr(store, "_read", read)
            await store.delete(cid)
            await store.sync()
            await store.put(other)
            return row

        monkeypatch.setattr(store, "_read", slow)
        with pytest.raises(BlockNotFound):
            await store.get(gone.cid)
        assert await store.get(other.cid) == other


async def test_a_system_that_writes_less_than_asked_is_asked_again(path, monkeypatch):
    def pwritev(fd, run, at):
        return written(fd, [b"".join(run)[:50_001]], at)

    written = os.pwritev
    monkeypatch.setattr(os, "pwritev", pwritev)
    async with DiskBlockstore.open(path) as store:
        await store.put_many(BLOCKS)
        assert [await store.get(block.cid) for block in BLOCKS] == BLOCKS


async def test_what_a_disk_has_lost_is_never_called_durable(path, monkeypatch):
    """A system says once that it could not write; whoever syncs again is told that all is well."""

    def failing(fd):
        monkeypatch.undo()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with DiskBlockstore.open(path) as store:
        await store.put(BLOCKS[0])
        monkeypatch.setattr(os, "fdatasync", failing)
        for _ in range(2):
            with pytest.raises(StoreError, match="refused to write"):
                await store.sync()
        assert await store.get(BLOCKS[0].cid) == BLOCKS[0]
    assert rows(path, "SELECT sure FROM totals") == [(0,)]


async def test_a_data_file_that_cannot_be_used_is_an_error_with_its_name(path):
    async with DiskBlockstore.open(path) as store:
        data_file(path).mkdir()
        with pytest.raises(StoreError, match=r"blocks.sqlite3-data: the disk refused"):
            await store.put(BLOCKS[0])
        data_file(path).rmdir()
        await store.put(BLOCKS[0])
    data_file(path).unlink()
    data_file(path).mkdir()
    async with DiskBlockstore.open(path) as store:
        with pytest.raises(StoreCorrupt, match=r"blocks.sqlite3-data cannot be read"):
            await store.get(BLOCKS[0].cid)


async def test_one_process_makes_durable_what_another_has_put(path):
    async with DiskBlockstore.open(path) as one, DiskBlockstore.open(path) as other:
        await one.put(BLOCKS[0])
        assert rows(path, "SELECT sure FROM totals") == [(0,)]
        await other.sync()
        assert rows(path, "SELECT sure FROM totals") == [(1,)]
        assert await other.get(BLOCKS[0].cid) == BLOCKS[0]

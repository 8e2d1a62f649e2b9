"""The store on the disk, in fair weather."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sqlite3
import threading
import time

import attrs
import pytest
import trio

from sessionctx.blocks import DiskBlockstore, StoreStatistics, schema, writer
from sessionctx.blocks.base import BATCH_BLOCKS, BATCH_BYTES
from sessionctx.content import BLAKE3, CID, IDENTITY, RAW, Block
from sessionctx.errors import NotInTrio, StoreClosed, StoreError


def beside(path):
    return sorted(entry.name for entry in path.parent.iterdir())


async def test_what_was_put_is_there_after_opening_again(path, some_blocks):
    blocks = some_blocks(20, 50_000)
    async with DiskBlockstore.open(path) as store:
        await store.put_many(blocks)
    async with DiskBlockstore.open(str(path)) as store:
        for block in blocks:
            assert await store.get(block.cid) == block


async def test_leaving_in_good_order_leaves_one_file(path, some_blocks):
    async with DiskBlockstore.open(path) as store:
        await store.put_many(some_blocks(20))
    assert beside(path) == [path.name]


async def test_leaving_by_an_error_is_quick_and_loses_nothing(path, some_blocks):
    """The log is left as it is, and used when the store is opened again."""
    blocks = some_blocks(20)
    with pytest.raises(ZeroDivisionError):
        async with DiskBlockstore.open(path) as store:
            await store.put_many(blocks)
            raise ZeroDivisionError
    assert f"{path.name}-wal" in beside(path)
    async with DiskBlockstore.open(path) as store:
        assert [await store.get(block.cid) for block in blocks] == blocks
    assert beside(path) == [path.name]


async def test_folders_above_are_made(tmp_path):
    path = tmp_path / "a" / "b ü %41?#" / "blocks.sqlite3"
    async with DiskBlockstore.open(path) as store:
        assert store.statistics().blocks == 0
    assert beside(path) == [path.name]


async def test_a_path_may_be_relative_and_its_names_any_bytes(tmp_path, monkeypatch, some_blocks):
    monkeypatch.chdir(tmp_path)
    (block,) = some_blocks(1)
    name = os.fsdecode(b"no utf-8 \xff")
    async with DiskBlockstore.open(name) as store:
        await store.put(block)
        assert await store.has(block.cid)
    assert [os.fsencode(entry.name) for entry in tmp_path.iterdir()] == [b"no utf-8 \xff"]


async def test_the_file_can_be_told_from_other_databases(path):
    async with DiskBlockstore.open(path):
        pass
    header = path.read_bytes()[:100]
    assert header[:16] == b"SQLite format 3\0"
    assert header[68:72] == b"sctx"
    assert int.from_bytes(header[16:18], "big") == schema.PAGE


async def test_statistics_count_each_block_once(disk, some_blocks):
    blocks = some_blocks(3, 1000)
    await disk.put_many(blocks)
    await disk.put_many([*blocks, Block.of(b"inline", hash=IDENTITY)])
    await disk.put(Block(CID.new(1, 0x70, blocks[0].cid.multihash), blocks[0].data))
    seen = disk.statistics()
    assert attrs.evolve(seen, file_bytes=0) == StoreStatistics(blocks=3, bytes=3000)
    assert seen.file_bytes >= schema.PAGE
    await disk.delete(blocks[0].cid)
    await disk.delete(blocks[0].cid)
    assert attrs.evolve(disk.statistics(), file_bytes=0) == StoreStatistics(blocks=2, bytes=2000)


async def test_room_of_deleted_blocks_is_used_again(path, some_blocks):
    async def fill_and_empty(seed):
        async with DiskBlockstore.open(path) as store:
            blocks = some_blocks(40, 100_000, seed=seed)
            await store.put_many(blocks)
            for block in blocks:
                await store.delete(block.cid)
        return path.stat().st_size

    first = await fill_and_empty(1)
    assert [await fill_and_empty(seed) for seed in (2, 3)] == [first, first]


async def test_sync_makes_sqlite_sync(disk, some_blocks):
    """There is always a change to write, because SQLite syncs nothing when there is none."""
    statements = []
    disk._connection.set_trace_callback(statements.append)
    log = disk.path.with_name(disk.path.name + "-wal")
    for _ in range(3):
        before = log.stat().st_size
        await disk.sync()
        assert log.stat().st_size > before
    await disk.put(some_blocks(1)[0])
    levels = [text.split()[-1] for text in statements if "synchronous" in text]
    assert levels == ["FULL"] * 3 + ["NORMAL"]


async def test_an_iterator_over_more_than_memory_is_taken_bit_by_bit(disk):
    """put_many never holds more than a few batches of what it is given."""
    size = BATCH_BYTES // 8
    alive = peak = 0

    class Counted(bytes):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def endless():
        nonlocal alive, peak
        for n in range(48):
            data = Counted(n.to_bytes(4, "big") * (size // 4))
            alive += 1
            peak = max(peak, alive)
            yield Block.of(data)

    await disk.put_many(endless())
    assert peak <= 8 * 4  # eight make a batch
    await trio.testing.wait_all_tasks_blocked(0.01)
    gc.collect()
    assert alive == 0


async def test_putters_at_the_same_time_share_commits(disk, some_blocks):
    blocks = some_blocks(300)
    statements = []
    disk._connection.set_trace_callback(statements.append)
    async with trio.open_nursery() as nursery:
        for block in blocks:
            nursery.start_soon(disk.put, block)
    commits = statements.count("COMMIT")
    assert 1 <= commits <= len(blocks) // 3
    assert disk.statistics().blocks == len(blocks)


async def test_memory_of_what_waits_is_bounded(disk, some_blocks):
    """However many putters come, the queue takes so much and lets the others wait, and all are served in the end."""
    blocks = some_blocks(writer.QUEUE_BLOCKS + 500, 20)
    most = 0
    with sqlite3.connect(disk.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # nothing can be written for now
        async with trio.open_nursery() as nursery:
            for block in blocks:
                nursery.start_soon(disk.put, block)
            await trio.testing.wait_all_tasks_blocked(0.05)
            most = disk._writer._blocks
            assert len(disk._writer._waiting) == len(blocks) - most
            other.execute("ROLLBACK")
    other.close()
    assert most == writer.QUEUE_BLOCKS
    assert disk.statistics().blocks == len(blocks)
    assert disk._writer._blocks == disk._writer._bytes == 0


async def test_large_blocks_are_bounded_by_their_bytes(disk):
    blocks = [Block.of(n.to_bytes(4, "big") * (256 * 1024)) for n in range(60)]
    with sqlite3.connect(disk.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        async with trio.open_nursery() as nursery:
            for block in blocks:
                nursery.start_soon(disk.put, block)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert writer.QUEUE_BYTES <= disk._writer._bytes <= writer.QUEUE_BYTES + BATCH_BYTES
            other.execute("ROLLBACK")
    other.close()
    assert disk.statistics().blocks == len(blocks)


async def test_one_after_another_keep_their_order(disk, some_blocks):
    """What a task does is done in its order, though much of it is committed together."""
    (block,) = some_blocks(1)
    for _ in range(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.put_many, some_blocks(BATCH_BLOCKS // 4, 10))
            await disk.put(block)
            await disk.delete(block.cid)
            assert not await disk.has(block.cid)


async def test_nothing_is_left_running_or_open(path, some_blocks):
    threads = set(threading.enumerate())
    async with DiskBlockstore.open(path) as store:
        assert len([t for t in threading.enumerate() if t.name.startswith("writer of blocks")]) == 1
        await store.put_many(some_blocks(10))
    assert not [t for t in set(threading.enumerate()) - threads if t.name.startswith("writer of")]
    del store
    gc.collect()  # an unclosed connection would warn here, and warnings are errors


async def test_after_closing_every_use_says_so(path, some_blocks):
    (block,) = some_blocks(1)
    async with DiskBlockstore.open(path) as store:
        await store.put(block)
        cids, audit = store.cids(), store.verify()
    for use in (
        lambda: store.get(block.cid),
        lambda: store.has(block.cid),
        lambda: store.put(block),
        lambda: store.put_many([]),
        lambda: store.delete(block.cid),
        store.sync,
        cids.__anext__,
        audit.__anext__,
    ):
        with pytest.raises(StoreClosed, match="closed"):
            await use()
    with pytest.raises(StoreClosed):
        store.statistics()


async def test_closing_again_is_fine(path):
    async with DiskBlockstore.open(path) as store:
        await store.aclose()
        await store.aclose(hurry=True)


async def test_closing_keeps_what_it_was_given_and_refuses_the_rest(path, some_blocks):
    """A put which returns was kept, although the store was being closed; the others say that they were not."""
    blocks = some_blocks(writer.QUEUE_BLOCKS + 300, 100)
    kept, refused = [], []

    async def put(store, block):
        try:
            await store.put(block)
            kept.append(block)
        except StoreClosed:
            refused.append(block)

    async with trio.open_nursery() as nursery:
        async with DiskBlockstore.open(path) as store:
            with sqlite3.connect(path, isolation_level=None) as other:
                other.execute("BEGIN IMMEDIATE")
                for block in blocks:
                    nursery.start_soon(put, store, block)
                await trio.testing.wait_all_tasks_blocked(0.02)
            other.close()
    assert len(kept) == writer.QUEUE_BLOCKS
    assert len(refused) == 300
    async with DiskBlockstore.open(path) as store:
        assert all([await store.has(block.cid) for block in kept])
        assert store.statistics().blocks == len(kept)


async def test_who_gives_up_is_not_waited_for(path, some_blocks):
    """While another process keeps us from writing, putters can leave at once, and so can the whole store."""
    async with DiskBlockstore.open(path) as store:
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            start = time.perf_counter()
            with trio.move_on_after(0.05) as scope:
                async with trio.open_nursery() as nursery:
                    for block in some_blocks(4 * BATCH_BLOCKS, 10):
                        nursery.start_soon(store.put, block)
            assert scope.cancelled_caught
            await store.aclose()
            assert time.perf_counter() - start < 2
            other.execute("ROLLBACK")
        other.close()
    async with DiskBlockstore.open(path) as store:
        assert store.statistics().blocks == 0


async def test_leaving_by_an_error_does_not_wait_for_other_processes(path, some_blocks):
    """Not even for blocks that somebody waits for: they are told that they were not kept."""
    told = []

    async def put(store):
        with pytest.raises(StoreError, match="another process") as caught:
            await store.put_many(some_blocks(5))
        told.append(caught.value)

    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        with pytest.raises(ZeroDivisionError):
            async with DiskBlockstore.open(path) as store:
                other = sqlite3.connect(path, isolation_level=None)
                other.execute("BEGIN IMMEDIATE")
                nursery.start_soon(put, store)
                await trio.testing.wait_all_tasks_blocked(0.01)
                raise ZeroDivisionError
    other.close()
    assert len(told) == 1
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("seed", range(4))
async def test_a_storm_of_cancellations_takes_nothing_from_others(disk, some_blocks, seed):
    """Whoever gives up and when: what a put, put_many or delete has done when it returns stays done."""
    rng = random.Random(seed)
    blocks = some_blocks(400, 3000, seed=seed)
    done = {}

    async def act(mine):
        with trio.move_on_after(rng.choice([0, 0.0005, 0.002, 0.01, 60])):
            match rng.randrange(3):
                case 0:
                    await disk.put_many(mine)
                    done.update(dict.fromkeys(mine, True))
                case 1:
                    for block in mine:
                        await disk.put(block)
                        done[block] = True
                case 2:
                    await disk.put_many(mine)
                    done.update(dict.fromkeys(mine, True))
                    del done[mine[0]]
                    await disk.delete(mine[0].cid)
                    done[mine[0]] = False

    async with trio.open_nursery() as nursery:
        for at in range(0, len(blocks), 4):
            nursery.start_soon(act, blocks[at : at + 4])
            if rng.random() < 0.2:
                await trio.sleep(0.0005)
    assert done
    assert {block: await disk.has(block.cid) for block in done} == done
    assert [bad async for bad in disk.verify()] == []


async def test_two_stores_on_one_file_see_each_others_blocks(path, some_blocks):
    one, two = some_blocks(2)
    async with DiskBlockstore.open(path) as left, DiskBlockstore.open(path) as right:
        await left.put(one)
        assert await right.get(one.cid) == one
        await right.put_many([one, two])
        assert await left.has(two.cid)
        assert left.statistics() == right.statistics()
        await right.delete(one.cid)
        assert not await left.has(one.cid)


async def test_reads_do_not_wait_for_writers(disk, some_blocks):
    one, two = some_blocks(2)
    await disk.put(one)
    with sqlite3.connect(disk.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.put, two)
            with trio.fail_after(1):
                for _ in range(50):
                    assert await disk.get(one.cid) == one
            assert not await disk.has(two.cid)
            other.execute("ROLLBACK")
    other.close()
    assert await disk.has(two.cid)


def test_many_processes_write_at_once(path, run_script):
    """Two processes put blocks, half of them the same: nothing is lost, nothing is counted twice."""
    script = """
        import json, random, sys, threading, trio
        from sessionctx.blocks import DiskBlockstore
        from sessionctx.content import Block

        async def main(path, offset):
            blocks = [Block.of(n.to_bytes(4, "big") * 500) for n in range(offset, offset + 400)]
            async with DiskBlockstore.open(path) as store:
                async with trio.open_nursery() as nursery:
                    for at in range(0, 400, 8):
                        nursery.start_soon(store.put_many, blocks[at : at + 8])
                        await trio.sleep(0)
                for block in blocks:
                    assert await store.get(block.cid) == block
            print(json.dumps("done"))

        trio.run(main, sys.argv[1], int(sys.argv[2]))
        """
    said = []
    threads = [threading.Thread(target=lambda n=n: said.extend(run_script(script, path, n))) for n in (0, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == ["done", "done"]

    async def look():
        async with DiskBlockstore.open(path) as store:
            audit = store.verify()
            assert [bad async for bad in audit] == []
            assert audit.blocks == store.statistics().blocks == 600

    trio.run(look)


def test_under_asyncio_opening_says_so(path):
    async def main():
        async with DiskBlockstore.open(path):
            pass

    with pytest.raises(NotInTrio, match=r"DiskBlockstore.open.*trio.run"):
        asyncio.run(main())
    assert not path.exists()


def test_ctrl_c_leaves_a_good_store(path, some_blocks):
    blocks = some_blocks(50)

    async def main():
        async with DiskBlockstore.open(path) as store:
            await store.put_many(blocks)
            signal.raise_signal(signal.SIGINT)
            await trio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)

    async def look():
        async with DiskBlockstore.open(path) as store:
            assert all([await store.has(block.cid) for block in blocks])

    trio.run(look)
    assert not [t for t in threading.enumerate() if t.name.startswith("writer of")]


# --- going through it


async def test_cids_are_all_names_once_in_order(disk, some_blocks):
    blocks = some_blocks(5000, 20)
    await disk.put_many(blocks)
    seen = [cid async for cid in disk.cids()]
    assert seen == sorted({block.cid for block in blocks})
    assert {cid.codec for cid in seen} == {RAW}


async def test_cids_of_nothing_are_none(disk):
    assert [cid async for cid in disk.cids()] == []
    assert [bad async for bad in disk.verify()] == []


async def test_going_through_bears_changes_meanwhile(disk, some_blocks):
    """What was there before and after is listed, whatever is put and deleted meanwhile."""
    blocks, others = some_blocks(6000, 20), some_blocks(500, 21, seed=9)
    await disk.put_many(blocks)
    seen = set()
    async for cid in disk.cids():
        seen.add(cid)
        if len(seen) == 10:
            await disk.put_many(others)
            for block in blocks[:50]:
                await disk.delete(block.cid)
    assert {block.cid for block in blocks[50:]} <= seen
    assert seen <= {block.cid for block in [*blocks, *others]}


async def test_going_through_is_a_checkpoint_at_each_step(disk, some_blocks):
    await disk.put_many(some_blocks(3))
    cids, audit = disk.cids(), disk.verify()
    for _ in range(3):
        with trio.testing.assert_checkpoints():
            await anext(cids)
    with trio.testing.assert_checkpoints(), pytest.raises(StopAsyncIteration):
        await anext(cids)
    with trio.testing.assert_checkpoints(), pytest.raises(StopAsyncIteration):
        await anext(audit)
    with trio.testing.assert_checkpoints(), pytest.raises(StopAsyncIteration):
        await anext(audit)


async def test_verifying_reads_every_byte(disk, some_blocks):
    blocks = [*some_blocks(300, 100), *some_blocks(20, 1_000_000, seed=1), Block.of(b"b3" * 50, hash=BLAKE3)]
    await disk.put_many(blocks)
    audit = disk.verify()
    assert [bad async for bad in audit] == []
    assert (audit.blocks, audit.bytes) == (len(blocks), sum(map(len, blocks)))

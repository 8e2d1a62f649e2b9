"""A store that keeps below a size: against a dull model, full of what has to stay, beside others, killed, from before."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node
from sessionctx.blocks import Collected, DiskBlockstore, marks, schema, sweep, uses, work
from sessionctx.blocks.heap import LARGE, data_file
from sessionctx.content import DAG_CBOR, RAW, Block, encode
from sessionctx.errors import BlockNotFound, StoreCorrupt, StoreFull
from tests.profiles import examples

KB = 1000


def node(*children: Block, size: int = KB) -> Block:
    empty = len(encode(DAG_CBOR, {"to": [child.cid for child in children], "fill": b"x" * 300}))
    fill = b"x" * (size - empty + 300)
    return Block.of(encode(DAG_CBOR, {"to": [child.cid for child in children], "fill": fill}), codec=DAG_CBOR)


def leaf(number: int, size: int = KB) -> Block:
    return Block.of(number.to_bytes(8, "big") + bytes(size - 8))


async def held(store: DiskBlockstore, blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if await store.has(block.cid)]


class Clock:
    """The time of all modules that note or compare when a block was used."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1e9
        for module in (work, uses, sweep):
            patch.setattr(module, "time", SimpleNamespace(time=lambda: self.now, monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


# --- the law

LEAVES = [leaf(number) for number in range(8)]
ROOTS = [node(*LEAVES[:2]), node(*LEAVES[2:5])]
ALL = LEAVES + ROOTS
BELOW = {block.cid: [each for each in ALL if each.cid in block.links()] for block in ALL}


class Model:
    """What may be in the store, and when it was used last; what a pin keeps."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.used: dict[Block, float] = {}
        self.pins: set[Block] = set()

    def kept(self) -> set[Block]:
        roots = self.pins & set(self.used)
        return roots | {child for root in roots for child in BELOW[root.cid] if child in self.used}

    def size(self) -> int:
        return sum(len(block.data) for block in self.used)

    def after_a_put(self, block: Block, there: set[Block], *, refused: bool) -> None:
        """Check what is *there* now against the law."""
        before, kept = dict(self.used), self.kept()
        gone = set(before) - there
        assert kept <= there
        assert there <= set(before) | {block}
        if refused:
            assert block not in there
            assert sum(len(each.data) for each in kept | {block}) > self.room
        else:
            assert block in there
            assert sum(len(each.data) for each in there) <= max(self.room, self.size())
        if gone - {block}:
            assert self.size() + len(block.data) > self.room
        for one in gone:
            for other in there - kept - {block}:
                assert before[one] <= before[other] + uses.RESOLUTION


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "cache", "get", "get", "pin", "unpin", "gc", "open"]),
        st.sampled_from(ALL),
        st.sampled_from([1, 25, 50, 100]),
    ),
    min_size=5,
    max_size=30,
)


@examples(60)
@given(steps=STEPS, room=st.integers(1, 8))
def test_it_never_holds_more_and_keeps_what_is_pinned_and_what_is_used(steps, room):
    """Whatever comes: what pins lead to stays, the rest stays by its last use, and there is never more than the room."""

    async def main(path: Path, clock: Clock) -> None:
        model = Model(room * KB)
        todo = list(steps)
        while todo:
            async with DiskBlockstore.open(path, max_bytes=room * KB, grace=0) as store:
                while todo:
                    what, block, later = todo.pop(0)
                    clock.now += later
                    if what == "open":
                        break
                    await step(store, model, what, block, clock)
                    assert set(await held(store, ALL)) == set(model.used)
                    assert store.statistics().bytes == model.size() <= model.room

    async def step(store: DiskBlockstore, model: Model, what: str, block: Block, clock: Clock) -> None:
        if what in ("put", "cache"):
            refused = False
            try:
                await (store.put(block) if what == "put" else store.cache([block]))
            except StoreFull:
                refused = True
            there = set(await held(store, ALL))
            model.after_a_put(block, there, refused=refused)
            model.used = {each: when for each, when in model.used.items() if each in there}
            if not refused:
                model.used[block] = clock.now
        elif what == "get":
            if block in model.used:
                assert await store.get(block.cid) == block
                model.used[block] = clock.now
        elif what == "pin":
            await store.pins.add(block.cid)
            model.pins.add(block)
        elif what == "unpin":
            await store.pins.remove(block.cid)
            model.pins.discard(block)
        else:
            await store.gc(grace=0, everything=True)
            model.used = {each: model.used[each] for each in model.kept()}

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        trio.run(main, Path(folder) / "blocks.sqlite3", Clock(patch))


async def test_what_was_read_stays_and_a_tenth_is_left_free(path, clock):
    blocks = [leaf(number) for number in range(101)]
    async with DiskBlockstore.open(path, max_bytes=100 * KB, grace=0) as store:
        for block in blocks[:100]:
            await store.put(block)
            clock.now += 1
        clock.now += uses.RESOLUTION
        assert await store.get(blocks[3].cid) == blocks[3]
        assert await store.put(blocks[100]) is None
        assert await held(store, blocks) == [blocks[3], *blocks[12:]]
        assert store.statistics().bytes == 90 * KB


async def test_what_was_put_again_stays_though_its_turn_had_come(path, clock):
    """Its place in line is corrected when its turn comes, and not when it is put: nothing is lost by that."""
    blocks = [leaf(number) for number in range(12)]
    async with DiskBlockstore.open(path, max_bytes=10 * KB, grace=0) as store:
        for block in blocks[:11]:
            await store.put(block)  # the last one finds no room: what is there stands in line from now on
            clock.now += 1
        assert await held(store, blocks) == blocks[2:11]
        await store.put(blocks[2])
        clock.now += 1
        await store.put_many([blocks[11], leaf(20)])
        assert await held(store, blocks) == [blocks[2], *blocks[5:]]


async def test_what_another_process_read_stays(path, clock):
    blocks = [leaf(number) for number in range(11)]
    async with DiskBlockstore.open(path, max_bytes=10 * KB, grace=0) as store:
        async with DiskBlockstore.open(path) as reader:
            await reader.put_many(blocks[:10])
            clock.now += 100
            await reader.get(blocks[0].cid)
        await store.put(blocks[10])
        assert await held(store, blocks) == [blocks[0], *blocks[3:]]


async def test_reading_writes_next_to_nothing(path, clock):
    """A block that is read over and over costs one row, and one now and then."""
    block = leaf(1)
    async with DiskBlockstore.open(path) as store:
        await store.put(block)
        with closing(sqlite3.connect(path)) as other:
            for _ in range(20):
                for _ in range(10):
                    await store.get(block.cid)
                    clock.now += 1
                await store.sync()
            [(noted,)] = other.execute("SELECT at FROM uses").fetchall()
            assert clock.now - uses.RESOLUTION <= noted <= clock.now
            assert other.execute("SELECT count(*) FROM uses").fetchone() == (1,)


# --- what has to stay


async def test_when_all_is_pinned_a_put_says_so_and_changes_nothing(path):
    pinned = [leaf(number) for number in range(5)]
    root = node(*pinned)
    async with DiskBlockstore.open(path, max_bytes=8 * KB, grace=0) as store:
        await store.put_many([*pinned, root])
        await store.pins.add(root.cid, "mine")
        with pytest.raises(StoreFull, match=r"may hold 8000\. .* 1 pins") as caught:
            await store.put_many([leaf(10), leaf(11), leaf(12)])
        assert caught.value.max_bytes == 8 * KB
        assert store.statistics().blocks == 6
        await store.put_many([leaf(10), leaf(11)])
        await store.put(leaf(12))
        assert await held(store, [*pinned, root]) == [*pinned, root]
        assert await store.pins.remove(root.cid)
        await store.put_many([leaf(number) for number in range(20, 28)])
        assert store.statistics().bytes == 8 * KB
        assert await held(store, [*pinned, root]) == []
    with pytest.raises(ValueError, match="less than nothing"):
        DiskBlockstore.open(path, max_bytes=-1)


async def test_tasks_that_put_at_once_are_refused_one_by_one(path):
    async with DiskBlockstore.open(path, max_bytes=8 * KB) as store:
        refused = []

        async def put(number: int) -> None:
            try:
                await store.put(leaf(number))
            except StoreFull:
                refused.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(put, number)
        assert len(refused) == 4
        assert store.statistics().bytes == 8 * KB
        assert await store.pins.remove(leaf(0).cid) is False


async def test_what_was_put_lately_or_during_a_hold_stays_but_not_what_was_fetched(path, clock):
    mine, fetched = [leaf(number) for number in range(4)], [leaf(number) for number in range(10, 16)]
    async with DiskBlockstore.open(path, max_bytes=10 * KB, grace=500) as store:
        await store.put_many(mine[:2])
        await store.cache(fetched[:5])
        clock.now += 100
        async with store.pins.hold():
            with closing(sqlite3.connect(path)) as other, other:
                other.execute("UPDATE holds SET since = ?, until = ?", (clock.now, clock.now + 10_000))
            await store.put_many(mine[2:])
            clock.now += 1000
            await store.cache(fetched[5:])
            await store.put_many(
                [leaf(20), leaf(21)]
            )  # what is neither young nor held goes: mine before fetched, by age
            assert await held(store, mine) == mine[2:]
            clock.now += 1000
            await store.put_many([leaf(number) for number in range(30, 36)])
            with pytest.raises(StoreFull, match="work under way"):
                await store.put(leaf(40))
            assert await held(store, mine) == mine[2:]
        clock.now += 1
        await store.put(leaf(40))
        assert await held(store, mine) == []


async def test_putting_what_was_fetched_makes_it_ones_own(path, clock):
    async with DiskBlockstore.open(path, max_bytes=3 * KB, grace=500) as store:
        await store.cache([leaf(1), leaf(2)])
        clock.now += 1
        await store.put(leaf(1))
        await store.cache([leaf(3)])
        await store.cache([leaf(4)])
        assert await held(store, [leaf(number) for number in range(1, 5)]) == [leaf(1), leaf(4)]


async def test_what_is_missed_below_a_pin_stays_when_it_comes(path, clock):
    below = [leaf(number) for number in range(3)]
    middle = node(*below)
    root = node(middle)
    async with DiskBlockstore.open(path, max_bytes=8 * KB, grace=0) as store:
        await store.pins.add(root.cid)
        await store.put(leaf(9))
        for number in range(20, 30):
            clock.now += 1
            await store.cache([leaf(number)])
        for each in (*below, root, middle):
            clock.now += 1
            await store.cache([each])
        for number in range(30, 50):
            clock.now += 1
            await store.cache([leaf(number)])
        assert await held(store, [*below, middle, root]) == [*below, middle, root]


async def test_a_block_that_takes_the_row_of_a_deleted_one_is_seen(path, clock):
    async with DiskBlockstore.open(path, max_bytes=3 * KB, grace=0) as store:
        for number in range(4):
            clock.now += 1
            await store.cache([leaf(number)])
        await store.delete(leaf(3).cid)
        await store.pins.add(leaf(4).cid)
        clock.now += 1
        await store.cache([leaf(4)])
        for number in range(5, 12):
            clock.now += 1
            await store.cache([leaf(number)])
        assert await store.has(leaf(4).cid)
        assert store.statistics().bytes <= 3 * KB


async def test_a_damaged_pinned_block_leaves_all_as_it_is(path):
    root = node(leaf(1))
    async with DiskBlockstore.open(path, max_bytes=3 * KB, grace=0) as store:
        await store.put_many([root, leaf(1), leaf(2)])
        await store.pins.add(root.cid)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE blocks SET data = x'00' WHERE multihash = ?", (root.cid.multihash,))
        with pytest.raises(StoreFull, match=r"no room can be made: .* does not match") as caught:
            await store.put(leaf(3))
        assert isinstance(caught.value.__cause__, StoreCorrupt)
        assert await held(store, [leaf(1), leaf(2)]) == [leaf(1), leaf(2)]


async def test_what_pins_lead_to_is_walked_once(path, monkeypatch):
    """However often room is made; and again after a pin was removed."""
    followed = []
    links = marks._links
    monkeypatch.setattr(marks, "_links", lambda *args: followed.append(args[-1]) or links(*args))
    leaves = [leaf(number, 100) for number in range(300)]
    middle = [node(*leaves[at : at + 30], size=2 * KB) for at in range(0, 300, 30)]
    root = node(*middle)
    async with DiskBlockstore.open(path, max_bytes=60 * KB, grace=0) as store:
        await store.put_many([*leaves, *middle, root])
        await store.pins.add(root.cid)
        for number in range(1000, 1100):
            await store.cache([leaf(number)])
        assert len(followed) == 11
        await store.pins.add(middle[0].cid)
        for number in range(1100, 1200):
            await store.cache([leaf(number)])
        assert len(followed) == 11
        assert await store.pins.remove(root.cid)
        for number in range(1200, 1300):
            await store.cache([leaf(number)])
        assert len(followed) == 12
        assert await held(store, [*leaves, *middle, root]) == [*leaves[:30], middle[0]]


# --- the files, other processes, and earlier versions


async def test_the_data_file_stays_small_too(path):
    block = os.urandom(2 * LARGE)
    async with DiskBlockstore.open(path, max_bytes=64 * LARGE, grace=0) as store:
        for number in range(400):
            await store.cache([Block.of(number.to_bytes(8, "big") + block)])
        assert 50 * LARGE <= store.statistics().bytes <= 64 * LARGE
        assert [bad async for bad in store.verify()] == []
    assert data_file(path).stat().st_size <= 64 * LARGE + 64 * 1024 * 1024


async def test_a_reader_beside_it_finds_good_blocks_or_none(path):
    """Large blocks, whose places are used again while they are read."""
    blocks = [Block.of(number.to_bytes(8, "big") + os.urandom(LARGE)) for number in range(60)]
    found = missed = 0
    async with (
        DiskBlockstore.open(path, max_bytes=20 * LARGE) as store,
        DiskBlockstore.open(path) as reader,
        trio.open_nursery() as nursery,
    ):

        async def read() -> None:
            nonlocal found, missed
            while True:
                for block in blocks:
                    try:
                        assert await reader.get(block.cid) == block
                        found += 1
                    except BlockNotFound:
                        missed += 1

        nursery.start_soon(read)
        for _ in range(3):
            for block in blocks:
                await store.cache([block])
            await store.sync()
        nursery.cancel_scope.cancel()
    assert found
    assert missed


async def test_two_that_make_room_at_once_keep_below_the_smaller_one(path):
    async with (
        DiskBlockstore.open(path, max_bytes=20 * KB) as one,
        DiskBlockstore.open(path, max_bytes=10 * KB) as other,
    ):

        async def fill(store: DiskBlockstore, begin: int) -> None:
            for number in range(begin, begin + 60):
                await store.cache([leaf(number)])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill, one, 0)
            nursery.start_soon(fill, other, 1000)
        assert one.statistics().bytes <= 20 * KB
        await other.cache([leaf(2000)])
        assert one.statistics().bytes <= 10 * KB


def test_killed_at_any_moment_it_is_in_order(path):
    """What it said to be pinned is there, it is within its room, and its numbers are right."""
    script = """
import sys, trio
from sessionctx.blocks import DiskBlockstore
from sessionctx.content import Block

async def main():
    async with DiskBlockstore.open(sys.argv[1], max_bytes=200_000, grace=0) as store:
        for turn in range(int(sys.argv[2]), 1_000_000):
            blocks = [Block.of(b"%d %d" % (turn, each) + bytes(900)) for each in range(20)]
            await store.put_many(blocks)
            if turn % 50 == 0:
                await store.pins.add(blocks[0].cid)
                print(blocks[0].cid, flush=True)
            await store.get(blocks[5].cid)

trio.run(main)
"""
    pinned = set()
    for attempt, wait in enumerate((0.05, 0.11, 0.23)):
        command = [sys.executable, "-c", script, str(path), str(attempt * 100_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            pinned.add(process.stdout.readline().strip())
            time.sleep(wait)
            process.kill()
            pinned |= set(process.stdout.read().split())
        trio.run(_is_in_order, path, pinned)


async def _is_in_order(path, pinned):
    async with DiskBlockstore.open(path, max_bytes=200_000, grace=0) as store:
        assert pinned <= {str(cid) async for cid in store.cids()}
        assert store.statistics().bytes <= 200_000
        with closing(sqlite3.connect(path)) as other:
            counted = other.execute("SELECT count(*), sum(length(data)) FROM blocks").fetchone()
            assert counted == (store.statistics().blocks, store.statistics().bytes)
            orphans = "SELECT count(*) FROM uses WHERE id NOT IN (SELECT id FROM blocks)"
            assert other.execute(orphans).fetchone() == (0,)
        for number in range(300):
            await store.put(leaf(number))
        assert store.statistics().bytes <= 200_000
        assert pinned <= {str(cid) async for cid in store.cids()}


async def test_a_store_of_the_third_format_opens_and_makes_room(path):
    blocks = [leaf(number) for number in range(8)]
    root = node(blocks[0])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        other.execute("PRAGMA user_version = 3")
        for statement in schema._TABLES + schema._UPGRADE + schema._KEEPING:
            other.execute(statement)
        for each in [*blocks, root]:
            other.execute("INSERT INTO blocks (multihash, data) VALUES (?, ?)", (each.cid.multihash, each.data))
        other.execute("INSERT INTO recent SELECT id, ? FROM blocks WHERE id = 2", (time.time() - 10,))
        other.execute("INSERT INTO pins (cid, name) VALUES (?, '')", (bytes(root.cid),))
        other.execute("UPDATE totals SET blocks = 9, bytes = 9000")
    async with DiskBlockstore.open(path, max_bytes=6 * KB, grace=0) as store:
        assert store.statistics().blocks == 9
        await store.put(leaf(100))
        assert await held(store, [*blocks, root]) == [blocks[0], blocks[1], blocks[7], root]
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (schema.FORMAT,)


async def test_gc_takes_what_was_used_least_recently(path, clock):
    blocks = [leaf(number) for number in range(10)]
    async with DiskBlockstore.open(path) as store:
        for block in blocks:
            await store.put(block)
            clock.now += 1
        clock.now += 100
        await store.get(blocks[0].cid)
        clock.now += 100
        await store.put(blocks[1])
        clock.now += 100
        for dry_run in (True, False):
            assert await store.gc(grace=0, max_bytes=4 * KB, dry_run=dry_run) == Collected(6, 6 * KB)
        assert await held(store, blocks) == [*blocks[:2], *blocks[8:]]


async def test_gc_leaves_what_was_fetched_lately(path, clock):
    async with DiskBlockstore.open(path) as store:
        await store.cache([leaf(1)])
        clock.now += 100
        assert await store.gc(grace=200, everything=True) == Collected(0, 0)
        assert await store.gc(grace=50, everything=True) == Collected(1, KB)


# --- a node


async def test_a_fetch_does_not_fail_because_the_store_is_full_but_a_put_does(path, monkeypatch):
    wanted = [leaf(number) for number in range(100, 120)]
    data = {each.cid: each.data for each in wanted}

    async def fetch(_, cid, *, near=None):
        await trio.lowlevel.checkpoint()
        return data[cid]

    monkeypatch.setattr("sessionctx.blocks.network.fetch", fetch)
    async with Node.open(path.parent / "node", max_bytes=6 * KB) as here:
        for number in range(5):
            await here.dag.put(leaf(number).data, codec=RAW)
            await here.pins.add(leaf(number).cid)
        for each in wanted:
            assert await here.blocks.get(each.cid) == each
        assert await here.store.has(wanted[-1].cid)
        assert not await here.store.has(wanted[-2].cid)
        assert await here.dag.put(leaf(5).data, codec=RAW)
        assert not await here.store.has(wanted[-1].cid)
        assert await here.blocks.get(wanted[-1].cid) == wanted[-1]
        assert not await here.store.has(wanted[-1].cid)
        with pytest.raises(StoreFull):
            await here.dag.put(leaf(6).data, codec=RAW)
        (path.parent / "file").write_bytes(os.urandom(50 * KB))
        with pytest.raises(StoreFull):
            await here.files.add(path.parent / "file")
        assert here.store.statistics().bytes == 6 * KB
    with pytest.raises(ValueError, match="name a folder"):
        Node.open(max_bytes=1)

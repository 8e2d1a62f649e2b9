"""Collecting garbage: the law, against a dull model, beside other tasks and beside another process."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node
from sessionctx.blocks import Collected, DiskBlockstore, Pin, marks, schema
from sessionctx.blocks.heap import LARGE, data_file
from sessionctx.content import CID, DAG_CBOR, Block, encode
from sessionctx.errors import NothingPinned, StoreCorrupt, StoreError
from tests.profiles import examples


def node(*children: Block, salt: object = 0) -> Block:
    return Block.of(encode(DAG_CBOR, {"to": [child.cid for child in children], "salt": salt}), codec=DAG_CBOR)


LEAVES = [Block.of(b"%d" % number) for number in range(4)]
MIDDLE = [node(LEAVES[0], LEAVES[1]), node(LEAVES[1], LEAVES[2]), node()]
TOP = [node(MIDDLE[0], LEAVES[3]), node(MIDDLE[0], MIDDLE[1], MIDDLE[2])]
ALL = LEAVES + MIDDLE + TOP
CHILDREN = {block: [ALL[[each.cid for each in ALL].index(cid)] for cid in block.links()] for block in ALL}


def reachable(roots: set[Block], stored: set[Block]) -> set[Block]:
    found: set[Block] = set()
    todo = list(roots & stored)
    while todo:
        block = todo.pop()
        if block not in found:
            found.add(block)
            todo += [child for child in CHILDREN[block] if child in stored]
    return found


async def kept(store: DiskBlockstore) -> set[Block]:
    return {block for block in ALL if await store.has(block.cid)}


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "pin", "unpin", "gc", "dry", "hold", "grace"]), st.sampled_from(ALL)),
    max_size=30,
)


@examples(40)
@given(STEPS)
def test_it_does_what_a_dull_model_does(steps):
    async def main(path: Path) -> None:
        stored: set[Block] = set()
        pinned: set[Block] = set()
        async with DiskBlockstore.open(path) as store:
            for what, block in steps:
                if what == "put":
                    await store.put(block)
                    stored.add(block)
                elif what == "delete":
                    await store.delete(block.cid)
                    stored.discard(block)
                elif what == "pin":
                    await store.pins.add(block.cid, "x")
                    pinned.add(block)
                elif what == "unpin":
                    assert await store.pins.remove(block.cid) is (block in pinned)
                    pinned.discard(block)
                elif what == "grace":
                    assert (await store.gc(everything=True)).blocks == 0
                else:
                    live = reachable(pinned, stored)
                    if what == "hold":
                        async with store.pins.hold():
                            await store.put(block)
                            stored.add(block)
                            live = reachable(pinned, stored) | {block}
                            await store.gc(grace=0, everything=True)
                    else:
                        gone = stored - live
                        expected = Collected(len(gone), sum(len(each) for each in gone))
                        assert await store.gc(grace=0, everything=True, dry_run=what == "dry") == expected
                    stored = stored if what == "dry" else live
                assert await kept(store) == stored
                assert store.statistics().blocks == len(stored)
                assert {pin.cid for pin in await store.pins.list()} == {each.cid for each in pinned}

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder) / "blocks.sqlite3")


async def test_what_is_pinned_put_or_completed_while_it_runs_stays(path, monkeypatch):
    """One block a step, and between any two steps something happens."""
    monkeypatch.setattr(marks, "STEP_BLOCKS", 1)
    for moment in range(14):
        file = path.with_name(f"{moment}.sqlite3")
        async with DiskBlockstore.open(file) as store, trio.open_nursery() as nursery:
            await store.put_many(block for block in ALL if block != MIDDLE[1])
            await store.pins.add(TOP[1].cid)
            steps = 0
            begun, go_on = trio.Event(), trio.Event()
            do = store._writer.do

            async def pausing(work, do=do, begun=begun, go_on=go_on, moment=moment, **how):
                nonlocal steps
                await do(work, **how)
                steps += 1
                if steps == moment + 1:
                    begun.set()
                    await go_on.wait()

            monkeypatch.setattr(store._writer, "do", pausing)
            ended = trio.Event()

            async def collect(store=store, ended=ended):
                await store.gc(grace=0, everything=True)
                ended.set()

            nursery.start_soon(collect)
            await begun.wait()
            monkeypatch.setattr(store._writer, "do", do)
            before = await kept(store)
            await store.put(MIDDLE[1])
            await store.pins.add(TOP[0].cid)
            go_on.set()
            await ended.wait()
            after = await kept(store)
        promised = reachable({TOP[0], TOP[1]}, before | {MIDDLE[1]})
        assert promised <= after, moment


async def test_room_is_given_back(path):
    blocks = [Block.of(os.urandom(2 * LARGE)) for _ in range(8)]
    async with DiskBlockstore.open(path) as store:
        await store.put_many(blocks)
        await store.pins.add(blocks[2].cid, "kept")
        assert await store.pins.list() == [Pin(blocks[2].cid, "kept")]
        before = data_file(path).stat().st_size
        assert await store.gc(grace=0, everything=True) == Collected(7, 7 * 2 * LARGE)
        assert data_file(path).stat().st_size == 3 * 2 * LARGE < before
        await store.put_many(blocks)
        assert [bad async for bad in store.verify()] == []
        assert data_file(path).stat().st_size == before
        assert [await store.get(block.cid) for block in blocks] == blocks


async def test_with_room_only_the_oldest_go(path):
    blocks = [Block.of(os.urandom(1000)) for _ in range(10)]
    async with DiskBlockstore.open(path) as store:
        await store.put_many(blocks)
        await store.pins.add(blocks[0].cid)
        for dry_run in (True, False):
            assert await store.gc(grace=0, max_bytes=6500, dry_run=dry_run) == Collected(4, 4000)
        assert [await store.has(block.cid) for block in blocks] == [True] + [False] * 4 + [True] * 5
        assert await store.gc(grace=0, max_bytes=6500) == Collected(0, 0)
        assert await store.gc(grace=0, max_bytes=1) == Collected(
            5, 5000
        )  # what is pinned stays, whatever room it takes


async def test_a_damaged_pinned_block_stops_it(path):
    async with DiskBlockstore.open(path) as store:
        await store.put_many(ALL)
        await store.pins.add(TOP[0].cid)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE blocks SET data = x'00' WHERE multihash = ?", (TOP[0].cid.multihash,))
        with pytest.raises(StoreCorrupt, match="nothing more is deleted"):
            await store.gc(grace=0, everything=True)
        assert await kept(store) == set(ALL)


async def test_a_store_of_the_second_format_keeps_its_blocks_and_learns_to_pin(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        other.execute("PRAGMA user_version = 2")
        for statement in schema._TABLES + schema._UPGRADE:
            other.execute(statement)
        for block in ALL:
            other.execute("INSERT INTO blocks (multihash, data) VALUES (?, ?)", (block.cid.multihash, block.data))
        other.execute("UPDATE totals SET blocks = ?, bytes = ?", (len(ALL), sum(map(len, ALL))))
    async with DiskBlockstore.open(path) as store:
        await store.pins.add(TOP[0].cid)
        await store.put(LEAVES[2])
        await store.gc(everything=True)
        assert await kept(store) == reachable({TOP[0]}, set(ALL)) | {LEAVES[2]}


async def test_beside_a_process_that_imports_nothing_acknowledged_is_lost(path):
    """The other one puts leaves first, and pins their root at the end; it says what was acknowledged."""
    script = """
import sys, trio
from sessionctx.blocks import DiskBlockstore
from sessionctx.content import Block, DAG_CBOR, encode

async def main():
    async with DiskBlockstore.open(sys.argv[1]) as store:
        for turn in range(8):
            async with store.pins.hold():
                leaves = [Block.of(b"%d %d" % (turn, each)) for each in range(20)]
                for leaf in leaves:
                    await store.put(leaf)
                root = Block.of(encode(DAG_CBOR, [leaf.cid for leaf in leaves]), codec=DAG_CBOR)
                await store.put(root)
                await store.pins.add(root.cid)
            print(root.cid, flush=True)

trio.run(main)
"""
    async with DiskBlockstore.open(path) as store, trio.open_nursery() as nursery:
        command = [sys.executable, "-c", script, str(path)]
        process = await nursery.start(partial(trio.run_process, command, stdout=subprocess.PIPE))
        out = b""
        while process.returncode is None:
            await store.put(Block.of(os.urandom(8)))  # something to collect
            await store.gc(grace=0, everything=True)
            with trio.move_on_after(0.001):
                out += await process.stdout.receive_some()
            process.poll()
        async for piece in process.stdout:
            out += piece
        roots = [CID.parse(line) for line in out.decode().split()]
        assert len(roots) == 8
        for root in roots:
            for link in (await store.get(root)).links():
                assert await store.has(link)
        await store.gc(grace=0, everything=True)
        assert store.statistics().blocks == 8 * 21


async def test_drop_deletes_what_is_bad_still_and_nothing_that_is_good_again(path):
    async with DiskBlockstore.open(path) as store:
        await store.put_many([*ALL, Block.of(os.urandom(LARGE))])
        size = store.statistics().bytes
        with closing(sqlite3.connect(path)) as other, other:
            for block in LEAVES[:2]:
                other.execute("UPDATE blocks SET data = x'00' WHERE multihash = ?", (block.cid.multihash,))
        bad = {each.cid: each async for each in store.verify()}
        assert set(bad) == {block.cid for block in LEAVES[:2]}
        await store.delete(LEAVES[0].cid)
        await store.put(LEAVES[0])
        for each in bad.values():
            await store.drop(each)
        assert await kept(store) == set(ALL) - {LEAVES[1]}
        await store.put(LEAVES[1])
        assert [each async for each in store.verify()] == []
        assert store.statistics().bytes == size


async def test_a_cancelled_collection_leaves_a_store_that_can_be_collected(path):
    async with DiskBlockstore.open(path) as store:
        await store.put_many(ALL)
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.gc(grace=0, everything=True)
        assert scope.cancelled_caught
        assert await store.gc(grace=0, everything=True) == Collected(len(ALL), sum(map(len, ALL)))


async def test_a_hold_that_is_cancelled_or_fails_is_let_go(path):
    async with DiskBlockstore.open(path) as store:
        with trio.CancelScope() as scope:
            async with store.pins.hold():
                await store.put_many(ALL)
                assert (await store.gc(grace=0, everything=True)).blocks == 0
                scope.cancel()
                await trio.sleep_forever()
        with pytest.raises(ZeroDivisionError):
            async with store.pins.hold():
                raise ZeroDivisionError
        assert (await store.gc(grace=0, everything=True)).blocks == len(ALL)


async def test_a_node_keeps_in_order_what_is_on_the_disk(path):
    async with Node.open(path.parent / "node") as node:
        await node.store.put_many(ALL)
        await node.pins.add(TOP[0].cid)
        assert (await node.gc()).blocks == 0
        assert [bad async for bad in node.verify()] == []
    async with Node.open() as node:
        with pytest.raises(StoreError, match="open the node with a folder"):
            await node.gc()


async def test_a_store_in_which_nothing_is_pinned_is_not_emptied_by_mistake(path):
    async with DiskBlockstore.open(path) as store:
        assert (await store.gc(grace=0)).blocks == 0  # there is nothing to lose
        await store.put_many(ALL)
        with pytest.raises(NothingPinned, match="nothing is pinned"):
            await store.gc(grace=0)
        assert (await store.gc(grace=0, dry_run=True)).blocks == store.statistics().blocks == len(ALL)
        assert (await store.gc(grace=0, max_bytes=sum(map(len, ALL)) - 1)).blocks == 1
        await store.pins.add(TOP[0].cid)
        await store.gc(grace=0)
        assert await store.has(TOP[0].cid)
        await store.pins.remove(TOP[0].cid)
        with pytest.raises(NothingPinned):
            await store.gc()
        assert (await store.gc(grace=0, everything=True)).blocks
        assert store.statistics().blocks == 0


async def test_a_pin_keeps_its_name_unless_it_is_given_another(tmp_path):
    root = Block.of(b"root")
    async with DiskBlockstore.open(tmp_path / "store") as store:
        for name, called in ((None, ""), ("mine", "mine"), (None, "mine"), ("", "")):
            await store.pins.add(root.cid, name)
            assert [pin.name for pin in await store.pins.list()] == [called]


async def test_a_text_is_no_cid(tmp_path):
    text = str(Block.of(b"root").cid)
    async with DiskBlockstore.open(tmp_path / "store") as store:
        for wrong in (store.pins.add, store.pins.remove, store.get):
            with pytest.raises(TypeError, match=r"CID\.parse"):
                await wrong(text)

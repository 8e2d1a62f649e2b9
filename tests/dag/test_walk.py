"""Walks: the order, how far ahead, how much in memory, and where errors come out."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID, DAG_CBOR, IDENTITY, Block, dagcbor
from sessionctx.dag import Dag, Fetched, Files, Walk, walk
from sessionctx.dag.frontier import Ahead, Frontier
from sessionctx.errors import BlockNotFound, DagTooDeep, DecodeError, NotInTrio, Unsupported
from sessionctx.testing.network import lone_peer

KIB = 1024


def data_block(value):
    return Block.of(dagcbor.encode(value), codec=DAG_CBOR)


@st.composite
def dags(draw, most=20):
    """Blocks in which each links only to earlier ones, with repeats; the last is the root."""
    blocks = []
    for number in range(draw(st.integers(1, most))):
        chosen = draw(st.lists(st.sampled_from(blocks), max_size=5)) if blocks else []
        blocks.append(data_block([number, *[block.cid for block in chosen]]))
    return blocks


def in_order(blocks, *, dups):
    """The dullest depth-first walk."""
    held = {block.cid: block for block in blocks}
    seen = set()
    left = [blocks[-1].cid]
    while left:
        cid = left.pop(0)
        if dups or cid not in seen:
            seen.add(cid)
            yield cid
            left[:0] = held[cid].links()


async def cids(found):
    return [block.cid async for block in found]


@given(blocks=dags(most=8), ahead=st.integers(1, 5), dups=st.booleans(), data=st.data())
def test_a_walk_is_depth_first_whatever_arrives_first(blocks, ahead, dups, data, slow):
    """Blocks come out in depth-first order, at most *ahead* are got at a time, however long each takes."""
    room = data.draw(st.sampled_from([1, 3000, 1 << 25]))
    delays = {block.cid: data.draw(st.integers(0, 3)) for block in blocks}
    eager = data.draw(st.sampled_from([0, 1]))

    async def main():
        store = slow(lambda block: delays[block.cid])
        await store.put_many(blocks)
        found = []
        async with walk(store, blocks[-1].cid, ahead=ahead, dups=dups, ahead_bytes=room) as walking:
            async for block in walking:
                found.append(block.cid)
                await trio.sleep(eager)
        assert found == list(in_order(blocks, dups=dups))
        assert store.most <= ahead
        if not dups:
            assert len(store.asked) <= 2 * len(set(store.asked)) + ahead

    trio.run(main, clock=MockClock(autojump_threshold=0))


@given(blocks=dags(), ahead=st.integers(1, 9), given_root=st.booleans(), data=st.data())
def test_a_narrow_walk_widens_with_what_is_handed_out(blocks, ahead, given_root, data, slow):
    """It is depth first, too; one block at a time until the first leaf is out, then four, and one more with each."""
    delays = {block.cid: data.draw(st.integers(0, 3)) for block in blocks}

    def visit(block, _):
        return block, [(cid, None) for cid in block.links()]

    async def main():
        store = slow(lambda block: delays[block.cid])
        await store.put_many(blocks)
        first = blocks[-1] if given_root else None
        found = []
        width = 1
        walking = Walk(store, Frontier(blocks[-1].cid, None, visit, Ahead(ahead, narrow=True), dups=False), first=first)
        async with walking:
            async for block in walking:
                assert store.most <= width
                found.append(block.cid)
                if not block.links():
                    width = min(max(width + 1, 4), ahead)
                await trio.sleep(data.draw(st.integers(0, 1)))
        assert found == list(in_order(blocks, dups=False))
        assert (blocks[-1].cid in store.asked) != given_root

    trio.run(main, clock=MockClock(autojump_threshold=0))


@given(blocks=dags(), missing=st.data(), ahead=st.integers(1, 5))
def test_an_error_comes_out_at_its_place(blocks, missing, ahead, slow):
    """All blocks before a missing one are handed out, then its plain error, and nothing more."""
    gone = missing.draw(st.sampled_from([block.cid for block in blocks]))

    async def main():
        store = slow(0)
        await store.put_many([block for block in blocks if block.cid != gone])
        found = []
        expected = list(in_order(blocks, dups=False))
        async with walk(store, blocks[-1].cid, ahead=ahead) as walking:
            if gone in expected:
                with pytest.raises(BlockNotFound, match=str(gone)):
                    async for block in walking:
                        found.append(block.cid)
                expected = expected[: expected.index(gone)]
            found += await cids(walking)
        assert found == expected

    trio.run(main, clock=MockClock(autojump_threshold=0))


def leaves(count, size=10, seed=0):
    return [Block.of(f"{seed} {number} ".encode().ljust(size, b"x")) for number in range(count)]


async def walk_slowly(store, root, **options):
    async with walk(store, root.cid, **options) as walking:
        return await cids(walking)


async def test_a_folder_of_many_small_files_keeps_all_gets_in_flight(slow, autojump_clock, folder):
    store = slow(1)
    files = leaves(640)
    root = folder({f"{number:04}": block for number, block in enumerate(files)})
    await store.put_many([root, *files])
    assert len(await walk_slowly(store, root, ahead=32)) == 641
    assert store.most == 32
    assert trio.current_time() <= 1 + 640 / 32 + 1


async def test_many_files_of_a_few_blocks_keep_all_gets_in_flight(slow, autojump_clock, folder, file):
    """The first blocks of later files, got early, do not hold up the parts of the first one."""
    store = slow(1)
    parts = [leaves(32, seed=number) for number in range(40)]
    files = [file(some) for some in parts]
    root = folder({f"{number:04}": block for number, block in enumerate(files)})
    await store.put_many([root, *files, *itertools.chain(*parts)])
    assert len(await walk_slowly(store, root, ahead=16)) == 1 + 40 + 40 * 32
    assert trio.current_time() <= 1.3 * (40 + 40 * 32) / 16


async def test_leaves_got_too_early_give_way_to_those_needed_before(slow, autojump_clock, folder, file):
    """A big file in front of small ones: while its first block was under way, the small ones filled the window."""
    store = slow(lambda block: 1)
    parts = leaves(160, seed="part")
    small = leaves(100)
    root = folder({"a": file(parts), **{f"b{number}": block for number, block in enumerate(small)}})
    await store.put_many([root, file(parts), *parts, *small])
    found = await walk_slowly(store, root, ahead=16)
    assert len(found) == len(set(found)) == 1 + 1 + 160 + 100
    assert trio.current_time() <= 1.5 * 262 / 16 + 3
    assert len(store.asked) <= len(found) + 2 * 16


async def test_a_narrow_walk_keeps_leaves_it_got_too_early(slow, autojump_clock, file):
    """The second part of three is late, and leaves of the third fill the window: they wait, nothing is got twice."""
    parts = [leaves(8, seed=number) for number in range(3)]
    inner = [file(some) for some in parts]
    root = file(inner, sizes=[80, 80, 80])
    store = slow(lambda block: 30 if block == inner[1] else 1)
    await store.put_many([root, *inner, *itertools.chain(*parts)])
    async with Files(store).cat(root.cid) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"".join(leaf.data for leaf in itertools.chain(*parts))
    assert len(store.asked) == len(set(store.asked)) == 1 + 3 + 24


async def test_what_waits_is_bounded_by_bytes_and_by_number(slow, autojump_clock, folder):
    files = leaves(200, 10 * KIB)
    root = folder({f"{number:04}": block for number, block in enumerate(files)})
    for options, most in (({"ahead": 8}, 8 + 8), ({"ahead": 64, "ahead_bytes": 110 * KIB}, 12)):
        store = slow(1)
        await store.put_many([root, *files])
        async with walk(store, root.cid, **options) as walking:
            for taken in range(1, 50):
                await anext(walking)
                await trio.sleep(100)
                assert len(store.asked) - taken <= most + 1


async def test_a_block_larger_than_the_bound_is_got_all_the_same(slow, autojump_clock, folder):
    files = leaves(20, 10 * KIB)
    root = folder({f"{number}": block for number, block in enumerate(files)})
    store = slow(1)
    await store.put_many([root, *files])
    assert len(await walk_slowly(store, root, ahead_bytes=1)) == 21
    assert store.most == 1


async def test_leaving_cancels_what_is_under_way(slow, autojump_clock, folder):
    files = leaves(50)
    root = folder({f"{number}": block for number, block in enumerate(files)})
    store = slow(lambda block: 0 if block == root else 1000)
    await store.put_many([root, *files])
    async with walk(store, root.cid) as walking:
        assert await anext(walking) == root
        await trio.sleep(1)
        assert store.running == 32
    assert store.running == 0
    assert trio.current_time() == 1


async def test_a_walk_can_be_cancelled_while_it_waits_and_go_on(slow, autojump_clock, folder):
    files = leaves(3)
    root = folder({f"{number}": block for number, block in enumerate(files)})
    store = slow(10)
    await store.put_many([root, *files])
    found = []
    async with walk(store, root.cid) as walking:
        while len(found) < 4:
            with trio.move_on_after(3):
                found.append((await anext(walking)).cid)
        with pytest.raises(StopAsyncIteration):
            await anext(walking)
    assert found == [root.cid, *[block.cid for block in files]]
    assert trio.current_time() < 25


async def test_errors_of_the_block_come_out_as_they_are(slow, autojump_clock):
    store = slow(5)
    await store.put_many(leaves(1))
    with pytest.raises(KeyError):
        async with walk(store, leaves(1)[0].cid):
            raise KeyError
    with trio.CancelScope() as scope:
        with pytest.raises(KeyError):
            async with walk(store, leaves(1)[0].cid) as walking:
                with trio.move_on_after(1):
                    await anext(walking)
                scope.cancel()
                raise KeyError
    with trio.move_on_after(1) as scope:
        async with walk(store, leaves(1)[0].cid):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    with trio.CancelScope() as scope:
        async with walk(store, leaves(1)[0].cid) as walking:
            with trio.move_on_after(1):
                await anext(walking)
            scope.cancel()
    assert scope.cancelled_caught


async def test_what_is_got_ahead_belongs_to_the_session_of_the_walk(slow, autojump_clock, folder):
    files = leaves(100)
    root = folder({f"{number}": block for number, block in enumerate(files)})
    store = slow(1)
    await store.put_many([root, *files])
    with session.begin() as outer:
        async with walk(store, root.cid, ahead=2) as walking:
            with session.fork():
                async for _ in walking:
                    pass
            assert session.current() is outer
    assert store.sessions == {outer}


async def test_a_walk_has_a_session_for_its_own_length(slow, autojump_clock):
    store = slow(0)
    await store.put_many(leaves(1))
    async with walk(store, leaves(1)[0].cid) as walking:
        here = session.current()
        await cids(walking)
    assert store.sessions == {here}
    assert session.current(None) is None
    assert here.ended is not None


def chain(length):
    blocks = [data_block([])]
    for _ in range(length):
        blocks.append(data_block([blocks[-1].cid]))
    return blocks


async def test_depth_is_bounded(store):
    blocks = chain(1025)
    await store.put_many(blocks)
    assert len(await walk_slowly(store, blocks[1024])) == 1025
    with pytest.raises(DagTooDeep, match=str(blocks[0].cid)):
        await walk_slowly(store, blocks[1025])
    assert len(await walk_slowly(store, blocks[1025], max_depth=1025)) == 1026


async def test_names_that_hold_their_own_data_are_walked_and_end(store):
    """A link cannot contain itself, not even where a name holds the data: each level is longer, and 128 bytes the end."""
    cid = CID.of(dagcbor.encode([]), codec=DAG_CBOR, hash=IDENTITY)
    found = [cid]
    while len(bytes(cid)) < 80:
        cid = CID.of(dagcbor.encode([cid]), codec=DAG_CBOR, hash=IDENTITY)
        found.insert(0, cid)
    async with Dag(store).walk(cid) as walking:
        assert await cids(walking) == found
    assert len(found) > 3


async def test_a_dag_of_few_blocks_and_endless_paths_is_walked_once(store):
    blocks = [data_block([])]
    for _ in range(60):
        blocks.append(data_block([blocks[-1].cid] * 4))
    await store.put_many(blocks)
    assert await walk_slowly(store, blocks[-1]) == [block.cid for block in reversed(blocks)]
    async with walk(store, blocks[-1].cid, dups=True) as walking:
        for _ in range(1000):
            await anext(walking)


async def test_blocks_that_cannot_be_read_end_the_walk_in_their_place(store, cbor):
    broken = Block.of(b"\xff", codec=DAG_CBOR)
    foreign = Block.of(b"{}", codec=0x78)
    good = Block.of(b"good")
    for bad, error in ((broken, DecodeError), (foreign, Unsupported)):
        root = cbor([good.cid, bad.cid, good.cid])
        await store.put_many([root, good, bad])
        async with walk(store, root.cid) as walking:
            assert [await anext(walking), await anext(walking)] == [root, good]
            with pytest.raises(error):
                await anext(walking)
            assert await cids(walking) == []


async def test_the_caller_says_what_to_follow(store, cbor):
    one, two, three = leaves(3)
    root = cbor([one.cid, two.cid, three.cid])
    await store.put_many([root, one, two, three])

    def some(block):
        if block == root:
            yield three.cid
            yield one.cid
            raise DecodeError("enough")

    async with walk(store, root.cid, links=some) as walking:
        assert [await anext(walking) for _ in range(3)] == [root, three, one]
        with pytest.raises(DecodeError, match="enough"):
            await anext(walking)


async def test_a_walk_is_used_inside_its_block(store):
    walking = walk(store, leaves(1)[0].cid)
    with pytest.raises(RuntimeError, match="async with"):
        await anext(walking)
    async with walk(store, leaves(1)[0].cid) as walking:
        pass
    assert await cids(walking) == []
    with pytest.raises(ValueError, match="ahead"):
        walk(store, leaves(1)[0].cid, ahead=0)


def test_under_asyncio_a_walk_says_so(store):
    async def main():
        async with walk(store, leaves(1)[0].cid):
            pass

    with pytest.raises(NotInTrio, match="asyncio"):
        asyncio.run(main())


# --- fetch


@given(blocks=dags())
def test_fetch_brings_all_below_a_path_into_the_store(blocks):
    """All that a walk of the end of the path finds is in the store afterwards, and counted once; nothing else is."""
    above = data_block({"a": {"b": blocks[-1].cid}, "else": data_block("else").cid})

    async def main():
        synced = []

        class Store(MemoryBlockstore):
            async def sync(self):
                await super().sync()
                synced.append(self.statistics())

        store = Store()
        node = Node.over(store)
        peer = lone_peer("fake://a", [above, *blocks, data_block("else")])
        with session.begin(peers=[peer]):
            fetched = await node.dag.fetch(above.cid, path="a/b")
            assert await node.dag.fetch(f"{above.cid}/a/b") == fetched
        wanted = {block.cid: block for block in blocks if block.cid in set(in_order(blocks, dups=False))}
        assert fetched == Fetched(blocks[-1].cid, len(wanted), sum(len(block.data) for block in wanted.values()))
        assert [await store.get(cid) for cid in wanted] == list(wanted.values())
        assert store.statistics().blocks == len(wanted) + 1
        assert sorted(peer.asked) == sorted([above.cid, *wanted]), "nothing twice"
        assert synced == [store.statistics()] * 2

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_fetch_says_what_is_missing_and_keeps_the_rest(autojump_clock):
    leaf, gone = data_block("leaf"), data_block("gone")
    root = data_block([leaf.cid, gone.cid])
    node = Node.over(MemoryBlockstore())
    with session.begin(peers=[lone_peer("fake://a", [root, leaf])]), pytest.raises(BlockNotFound) as caught:
        await node.dag.fetch(root.cid)
    assert str(gone.cid) in str(caught.value)
    assert await node.store.has(root.cid)
    assert await node.store.has(leaf.cid)


async def test_a_walk_may_begin_at_the_end_of_a_path(store):
    leaf = data_block("leaf")
    middle = data_block([leaf.cid])
    root = data_block({"a": middle.cid})
    await store.put_many([leaf, middle, root])
    async with Dag(store).walk(f"{root.cid}/a") as walking:
        assert await cids(walking) == [middle.cid, leaf.cid]
    async with Dag(store).walk(root.cid, path="a/0") as walking:
        assert await cids(walking) == [leaf.cid]
    with pytest.raises(ValueError, match="ahead"):
        Dag(store).walk(root.cid, ahead=0)

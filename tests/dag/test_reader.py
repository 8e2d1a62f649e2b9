"""Files that are open: bytes and positions as `io.BytesIO` has them, few gets, bounded memory, and how it ends."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from contextlib import AsyncExitStack

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.content import Block
from sessionctx.dag import V0_2015, Files
from sessionctx.dag.unixfs import Profile, open_node
from sessionctx.errors import (
    BlockNotFound,
    FetchFailed,
    InvalidDag,
    NotADirectory,
    NotAFile,
    NotInTrio,
    PathNotFound,
    SessionEnded,
)

TEN = Profile("ten", 1, 10, 4, True, 8, 100, "block")
"""Chunks of ten bytes, four links a node."""
WIDE = Profile("wide", 1, 10, 1000, True, 8, 100, "block")
"""Chunks of ten bytes, all below the root."""


def text(count):
    """So many bytes, of which no two chunks of ten are alike."""
    return b"".join(b"%09d " % number for number in range(-(-count // 10)))[:count]


# --- any file, and any use of it

leaves = st.sampled_from([b"", b"a", b"bc", b"def", b"ghijk"])
trees = st.recursive(
    st.tuples(st.sampled_from(["raw", "pb"]), leaves),
    lambda inner: st.tuples(leaves, st.lists(inner, min_size=1, max_size=4)),
    max_leaves=12,
)
steps = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 12)),
    st.tuples(st.just("seek"), st.integers(-12, 30), st.integers(0, 2)),
    st.tuples(st.just("read_at"), st.integers(0, 30), st.integers(0, 12)),
    st.tuples(st.just("chunk")),
    st.tuples(st.just("sleep"), st.integers(0, 3)),
)


@pytest.fixture(scope="session")
def plan(file, pb):
    """``plan(tree)``: its blocks, the root last, and the bytes of the file."""

    def build(tree):
        first, second = tree
        if first == "raw":
            return [Block.of(second)], second
        if first == "pb":
            return [file(data=second)], second
        below = [build(inner) for inner in second]
        root = file([blocks[-1] for blocks, _ in below], sizes=[len(data) for _, data in below], data=first)
        return [*(block for blocks, _ in below for block in blocks), root], first + b"".join(data for _, data in below)

    return build


class Flaky:
    """A store that is slow, and fails a few times for each block."""

    def __init__(self, store, failures):
        self.store = store
        self.failures = failures

    async def get(self, cid):
        block = await self.store.get(cid)
        if self.failures[cid] > 0:
            self.failures[cid] -= 1
            raise FetchFailed(f"{cid} is late")
        return block


async def tried(f, call, patience):
    """What *call* gives at last; whenever it fails or is cancelled, the cursor is where it was."""
    while True:
        before = f.tell()
        try:
            with trio.move_on_after(patience):
                return await call()
        except FetchFailed:
            pass
        assert f.tell() == before
        patience += 1


async def do(step, f, model, patience):
    match step:
        case "read", n:
            assert await tried(f, lambda: f.read(n), patience) == model.read(n)
        case "seek", offset, whence:
            position = offset + (0, model.tell(), len(model.getvalue()))[whence]
            if position < 0:
                with pytest.raises(ValueError, match="before the start"):
                    f.seek(offset, whence)
            else:
                assert f.seek(offset, whence) == model.seek(position)
        case "read_at", offset, n:
            assert await tried(f, lambda: f.read_at(offset, n), patience) == model.getvalue()[offset : offset + n]
        case ("chunk",):
            chunk = await tried(f, lambda: anext(f, b""), patience)
            assert chunk == model.read(len(chunk))
            assert chunk or not model.read(1)
        case "sleep", seconds:
            await trio.sleep(seconds)


@given(tree=trees, todo=st.lists(steps, max_size=10), data=st.data())
def test_an_open_file_does_what_a_bytesio_does(tree, todo, data, plan, slow, play):
    """Any use of any file or range gives the bytes and positions of a BytesIO, though blocks are late, fail, and calls
    are cancelled at any time."""
    blocks, content = plan(tree)
    offset = data.draw(st.integers(0, len(content) + 2))
    length = data.draw(st.one_of(st.none(), st.integers(0, len(content) + 2)))
    delays = {block.cid: data.draw(st.integers(0, 2)) for block in blocks}
    failures = Counter({block.cid: data.draw(st.integers(0, 2)) for block in blocks[:-1]})
    patience = data.draw(st.sampled_from([0, 1, 2, 100]))
    options = {"ahead": data.draw(st.integers(1, 5)), "ahead_bytes": data.draw(st.sampled_from([1, 3000, 1 << 25]))}

    async def main():
        store = slow(lambda block: delays[block.cid])
        await store.put_many(blocks)
        failures[blocks[-1].cid] = 0
        files = Files(Flaky(store, failures))
        async with files.open(blocks[-1].cid, offset=offset, length=length, **options) as f:
            model = io.BytesIO(content[offset : None if length is None else offset + length])
            assert (f.size, f.cid, f.tell()) == (len(model.getvalue()), blocks[-1].cid, 0)
            for step in todo:
                await do(step, f, model, patience)
                assert f.tell() == model.tell()
        assert store.running == 0

    play(main)


@given(
    readers=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 90), st.integers(0, 30), st.integers(0, 8), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    delay=st.integers(0, 2),
    leave=st.integers(0, 9),
    way=st.sampled_from(["leave", "cancel", "raise"]),
    begun=st.booleans(),
)
def test_however_a_file_is_left_nothing_is_left_of_it(readers, delay, leave, way, begun, slow, play):
    """Tasks read here and there and give up at any time, the file is closed at any time, in any way: each read gives
    the right bytes, or one clear error, and when the block is left nothing runs any more."""
    content = text(90)

    async def reads(f, start, at, n, patience, cursor):
        await trio.sleep(start)
        with trio.move_on_after(patience):
            try:
                if cursor:
                    f.seek(at)
                    assert await f.read(n) == content[at : at + n]
                    assert f.tell() == at + n if at + n <= 90 else f.tell() in (at, 90)
                else:
                    assert await f.read_at(at, n) == content[at : at + n]
            except (trio.ClosedResourceError, trio.BusyResourceError, SessionEnded):
                pass

    async def main():
        store = slow(delay)
        cid = (await Files(store).add(content, profile=TEN)).cid
        async with AsyncExitStack() as stack:
            if begun:
                stack.enter_context(session.begin())
            outer = await stack.enter_async_context(trio.open_nursery())
            try:
                with trio.CancelScope() as scope:
                    async with Files(store).open(cid) as f:
                        for reader in readers:
                            outer.start_soon(reads, f, *reader)
                        await trio.sleep(leave)
                        if way == "cancel":
                            scope.cancel()
                        if way == "raise":
                            raise KeyError
            except KeyError:
                assert way == "raise"
            await trio.testing.wait_all_tasks_blocked()
            assert store.running == 0
            with pytest.raises(trio.ClosedResourceError):
                await f.read(1)
        assert session.current(None) is None

    play(main)


# --- how much is got


async def needed(store, cid, begin, end, start=0):
    """The dullest search for the nodes of a file that hold, or lead to, the bytes from *begin* up to *end*."""
    found = [cid]
    node = open_node(await store.get(cid))
    for link, size in zip(node.links, node.fields.blocksizes if node.fields else (), strict=True):
        if start < end and start + size > begin:
            found += await needed(store, link.cid, begin, end, start)
        start += size
    return found


@given(size=st.integers(1, 300), data=st.data())
def test_a_range_gets_its_own_blocks_and_no_other(size, data, slow, play):
    """Read at a position, or as a range of its own, it asks for the leaves in it and the nodes above them, each once."""
    content = text(size)
    at = data.draw(st.integers(0, size - 1))
    n = data.draw(st.integers(1, size - at))

    async def main():
        store = slow(0)
        cid = (await Files(store).add(content, profile=TEN)).cid
        expected = Counter(await needed(store, cid, at, at + n))
        store.asked.clear()
        async with Files(store).open(cid, offset=at, length=n) as f:
            assert await f.read() == content[at : at + n]
        assert Counter(store.asked) == expected
        store.asked.clear()
        async with Files(store).open(cid) as f:
            assert await f.read_at(at, n) == content[at : at + n]
        assert Counter(store.asked) == expected

    play(main)


@pytest.mark.parametrize(("size", "depth"), [(10, 0), (40, 1), (160, 2), (640, 3), (2560, 4)])
async def test_the_first_byte_takes_one_block_of_each_level(size, depth, slow, autojump_clock):
    for at in (0, size // 2, size - 1):
        store = slow(1)
        cid = (await Files(store).add(text(size), profile=TEN)).cid
        start = trio.current_time()
        async with Files(store).open(cid) as f:
            f.seek(at)
            assert await f.read(1) == text(size)[at : at + 1]
            assert len(store.asked) == depth + 1
            assert store.most == 1
            assert trio.current_time() - start == depth + 1


async def test_it_begins_narrow_and_widens_as_it_is_read(slow, autojump_clock):
    """The same for a file that is open and for cat: few blocks ahead of a reader that has read little."""
    content = text(10 * 640)
    for way in ("open", "cat"):
        store = slow(1)
        cid = (await Files(store).add(content, profile=WIDE)).cid
        async with getattr(Files(store), way)(cid) as chunks:
            got = 0
            for taken, most in ((1, 8), (2, 10), (10, 26), (100, 64)):
                for _ in range(got, taken):
                    await anext(chunks)
                got = taken
                await trio.sleep(100)
                assert taken < len(store.asked) - 1 <= taken + most
            assert store.most == 32
            start = trio.current_time()
            assert sum([1 async for _ in chunks]) == 540
            assert trio.current_time() - start <= 540 / 32 + 1


async def test_a_whole_file_read_at_once_is_hardly_slower_for_it(slow, autojump_clock):
    store = slow(1)
    cid = (await Files(store).add(text(10 * 640), profile=WIDE)).cid
    start = trio.current_time()
    async with Files(store).open(cid) as f:
        assert await f.read() == text(10 * 640)
        assert trio.current_time() - start <= 1 + 640 / 32 + 5
        start = trio.current_time()
        assert await f.read_at(0, 10 * 640) == text(10 * 640)
        assert trio.current_time() - start == 640 / 32
    assert store.most == 32


async def test_what_is_held_is_bounded_however_slowly_it_is_read(slow, autojump_clock):
    content = text(10 * 300)
    for options, most in (({"ahead": 5}, 10), ({"ahead_bytes": 5 * 1100}, 5), ({"ahead": 1}, 2)):
        store = slow(1)
        cid = (await Files(store).add(content, profile=WIDE)).cid
        async with Files(store).open(cid, **options) as f:
            for at in range(0, 10 * 60, 5):
                assert await f.read(5) == content[at : at + 5]
                await trio.sleep(20)
                assert len(store.asked) - 1 - at // 10 <= most + 1


async def test_a_big_read_that_is_given_up_is_not_kept(slow, autojump_clock):
    store = slow(1)
    content = text(10 * 300)
    cid = (await Files(store).add(content, profile=WIDE)).cid
    async with Files(store).open(cid, ahead_bytes=200) as f:
        for patience, again in ((3, 0), (50, 2)):
            f.seek(0)
            with trio.move_on_after(patience):
                await f.read()
            assert f.tell() == 0
            store.asked.clear()
            assert await f.read(20) == content[:20]
            assert (
                len([cid for cid in store.asked if cid in {Block.of(content[:10]).cid, Block.of(content[10:20]).cid}])
                == again
            )


# --- seeking


async def test_a_seek_within_what_is_here_or_on_its_way_gets_nothing_twice(slow, autojump_clock):
    content = text(10 * 200)
    store = slow(lambda block: 1)
    cid = (await Files(store).add(content, profile=WIDE)).cid
    async with Files(store).open(cid) as f:
        assert await f.read(100) == content[:100]
        await trio.lowlevel.checkpoint()
        for offset in (-3, 2, -6, 30, 45):  # back in the block, and on to blocks that are under way
            at = f.seek(offset, io.SEEK_CUR)
            assert await f.read(3) == content[at : at + 3]
        assert max(Counter(store.asked).values()) == 1
        f.seek(0, io.SEEK_END)
        assert await f.read() == b""
        f.seek(at)
        assert await f.read(30) == content[at : at + 30]  # the idiom that asks for the size costs nothing
        assert max(Counter(store.asked).values()) == 1


@pytest.mark.parametrize("profile", [WIDE, Profile("pb", 0, 10, 1000, False, 8, 100, "links")])
async def test_a_seek_to_elsewhere_leaves_what_was_under_way(profile, slow, autojump_clock):
    content = text(10 * 200)
    store = slow(lambda block: 1 if len(block.data) > 100 or b"000001000" not in block.data else 0)
    cid = (await Files(store).add(content, profile=profile)).cid
    async with Files(store).open(cid) as f:
        await f.read(100)
        await trio.lowlevel.checkpoint()
        assert store.running > 5
        f.seek(1500)
        assert await f.read(10) == content[1500:1510]
        await trio.testing.wait_all_tasks_blocked()
        assert store.running <= 4
        f.seek(20)
        assert await f.read(10) == content[20:30]


async def test_what_is_on_its_way_behind_an_unknown_part_is_not_near(slow, autojump_clock, file):
    """The last leaf is got already, but between it and the cursor is a node whose leaves nobody knows yet."""
    near, far, last = file(data=b"near"), [Block.of(b"%04d" % number) for number in range(50)], Block.of(b"last")
    inner = [file([near], sizes=[4]), file(far)]
    root = file([*inner, last], sizes=[4, 200, 4])
    store = slow(lambda block: 30 if block == inner[1] else 1)
    await store.put_many([near, *far, last, *inner, root])
    async with Files(store).open(root.cid) as f:
        assert await f.read(4) == b"near"
        await trio.sleep(5)
        assert last.cid in store.asked
        f.seek(-4, io.SEEK_END)
        assert await f.read() == b"last"
        assert not {block.cid for block in far} & set(store.asked)
        assert trio.current_time() < 20


async def test_a_storm_of_seeks_keeps_one_pass_at_a_time(slow, autojump_clock):
    content = text(10 * 500)
    store = slow(1)
    cid = (await Files(store).add(content, profile=WIDE)).cid
    async with Files(store).open(cid) as f:
        for number in range(200):
            at = f.seek(number * 7919 % 4990)
            with trio.move_on_after(number % 3):
                assert await f.read(3) == content[at : at + 3]
            assert store.running <= 5
        await trio.testing.wait_all_tasks_blocked()
        assert store.most <= 5


async def test_a_pass_waits_until_the_one_before_has_stopped(slow, autojump_clock):
    """A store whose gets cannot be cancelled, as those of a disk, does not end up with many at a time."""

    class Stubborn(slow):
        async def get(self, cid):
            with trio.CancelScope(shield=True):
                return await super().get(cid)

    store = Stubborn(1)
    content = text(10 * 500)
    cid = (await Files(store).add(content, profile=WIDE)).cid
    async with Files(store).open(cid) as f:
        for at in (0, 1000, 2000, 3000, 4000):
            f.seek(at)
            assert await f.read(20) == content[at : at + 20]
        assert store.most <= 5
    assert store.running == 0


async def test_what_is_skipped_need_not_be_there(slow, autojump_clock):
    """A block between the cursor and where it was moved is missing: only who reads it learns of it."""
    content = text(100)
    store = slow(1)
    cid = (await Files(store).add(content, profile=WIDE)).cid
    await store.delete(Block.of(content[20:30]).cid)
    async with Files(store).open(cid) as f:
        assert await f.read(10) == content[:10]
        f.seek(45)
        assert await f.read(10) == content[45:55]
        f.seek(15)
        assert await f.read(5) == content[15:20]
        for _ in range(2):
            with pytest.raises(BlockNotFound):
                await f.read(1)
            with pytest.raises(BlockNotFound):
                await anext(f)
        assert f.tell() == 20
        await store.put(Block.of(content[20:30]))
        assert await f.read() == content[20:]


# --- whose it is, and when it ends


async def test_errors_come_out_on_entering(store, folder, symlink, file):
    leaf = Block.of(b"leaf")
    root = folder({"a": leaf, "gone": Block.of(b"gone"), "link": symlink(b"a"), "bad": file([leaf], filesize=9)})
    await store.put_many([root, leaf, symlink(b"a"), file([leaf], filesize=9)])
    for path, error in (
        ("b", PathNotFound),
        ("gone", BlockNotFound),
        ("", NotAFile),
        ("link", NotAFile),
        ("a/b", NotADirectory),
        ("bad", InvalidDag),
    ):
        with pytest.raises(error):
            async with Files(store).open(root.cid, path=path):
                pass
    async with Files(store).open(f"{root.cid}/a") as f:
        assert await f.read() == b"leaf"
    for wrong in ({"offset": -1}, {"length": -1}, {"ahead": 0}):
        with pytest.raises(ValueError, match="must"):
            Files(store).open(leaf.cid, **wrong)
    async with Files(store).open(leaf.cid) as f:
        for call in (lambda: f.read_at(-1, 1), lambda: f.read_at(1, -1)):
            with pytest.raises(ValueError, match="negative"):
                await call()
        with pytest.raises(ValueError, match="whence"):
            f.seek(0, 3)


async def test_a_part_that_lies_about_its_size_is_noticed_where_it_is_read(store, file):
    leaf = Block.of(b"leaf")
    root = file([leaf, file([leaf], sizes=[5])], sizes=[4, 5])
    await store.put_many([leaf, root, file([leaf], sizes=[5])])
    async with Files(store).open(root.cid) as f:
        assert f.size == 9
        assert await f.read(4) == b"leaf"
        for call in (lambda: f.read(1), lambda: f.read_at(5, 1), lambda: anext(f)):
            with pytest.raises(InvalidDag, match="the node above it says"):
                await call()


async def test_one_task_at_a_time_has_the_cursor(slow, autojump_clock):
    store = slow(1)
    content = text(100)
    cid = (await Files(store).add(content, profile=TEN)).cid
    async with Files(store).open(cid) as f, trio.open_nursery() as nursery:
        nursery.start_soon(f.read)
        await trio.testing.wait_all_tasks_blocked()
        for call in (lambda: f.read(1), lambda: anext(f)):
            with pytest.raises(trio.BusyResourceError, match="read_at"):
                await call()
        with pytest.raises(trio.BusyResourceError):
            f.seek(0)
        assert f.tell() == 0
        assert await f.read_at(50, 3) == content[50:53]


async def test_two_files_and_many_tasks_read_at_once(slow, autojump_clock):
    store = slow(1)
    content = text(1000)
    cid = (await Files(store).add(content, profile=TEN)).cid
    found = {}

    async def read_at(f, at):
        found[at] = await f.read_at(at, 25)

    async with Files(store).open(cid) as f, Files(store).open(cid, offset=500) as g, trio.open_nursery() as nursery:
        for at in range(0, 1000, 25):
            nursery.start_soon(read_at, f, at)
        for at in range(0, 500, 25):
            assert await f.read(25) == content[at : at + 25]
            assert await g.read(25) == content[500 + at : 525 + at]
    assert b"".join(found[at] for at in sorted(found)) == content


async def test_what_is_read_belongs_to_the_session_it_was_opened_in(slow, autojump_clock):
    store = slow(1)
    content = text(1000)
    cid = (await Files(store).add(content, profile=TEN)).cid

    async def elsewhere(f):
        with session.fork(), session.leave():
            f.seek(700)
            await f.read(50)
            await f.read_at(300, 50)
            assert session.current(None) is None

    with session.begin() as outer:
        async with Files(store).open(cid) as f:
            await f.read(10)
            await elsewhere(f)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(elsewhere, f)
            assert session.current() is outer
        assert outer.ended is None
    assert store.sessions == {outer}


async def test_it_has_a_session_for_its_own_length(slow, autojump_clock):
    store = slow(0)
    cid = (await Files(store).add(text(1000), profile=TEN)).cid
    async with Files(store).open(cid) as f:
        here = session.current()
        await f.read(100)
    assert here.ended is not None
    assert store.sessions == {here}


async def test_when_the_session_ends_reads_say_so(slow, autojump_clock):
    store = slow(0)
    cid = (await Files(store).add(text(1000), profile=TEN)).cid
    with session.begin() as s:
        async with Files(store).open(cid) as f:
            await f.read(10)
            s.cancel("enough")
            f.seek(500)
            for call in (lambda: f.read(1), lambda: f.read_at(700, 1)):
                with pytest.raises(SessionEnded, match="enough"):
                    await call()


async def test_leaving_cancels_what_is_got_ahead_at_once(slow, autojump_clock):
    store = slow(lambda block: 1000 if b"000000050" in block.data[:10] else 1)
    cid = (await Files(store).add(text(1000), profile=WIDE)).cid
    async with Files(store).open(cid) as f:
        async for _ in f:
            if f.tell() == 490:
                break
        await trio.sleep(10)
        assert store.running == 1
        start = trio.current_time()
    assert store.running == 0
    assert trio.current_time() == start


async def test_a_read_in_another_task_ends_with_a_clear_error(slow, autojump_clock):
    store = slow(lambda block: 0 if len(block.data) > 100 else 1000)
    cid = (await Files(store).add(text(1000), profile=WIDE)).cid
    raised = []

    async def reads(call):
        with pytest.raises(trio.ClosedResourceError, match="while it was read"):
            await call()
        raised.append(trio.current_time())

    async with session.begin(), trio.open_nursery() as nursery:
        async with Files(store).open(cid) as f:
            nursery.start_soon(reads, f.read)
            nursery.start_soon(reads, lambda: f.read_at(5, 5))
            await trio.sleep(3)
        for call in (f.read, lambda: f.read_at(0, 1), lambda: anext(f)):
            with pytest.raises(trio.ClosedResourceError, match="inside its"):
                await call()
        with pytest.raises(trio.ClosedResourceError):
            f.seek(0)
    assert raised == [3, 3]


async def test_each_call_is_a_checkpoint(store):
    cid = (await Files(store).add(text(100), profile=V0_2015)).cid
    async with Files(store).open(cid) as f:
        await f.read(1)
        for call in (lambda: f.read(1), lambda: f.read(0), lambda: f.read_at(0, 0), lambda: anext(f)):
            with trio.testing.assert_checkpoints():
                await call()
        f.seek(0, io.SEEK_END)
        with trio.testing.assert_checkpoints():
            assert await f.read() == b""
        with trio.testing.assert_checkpoints():
            assert await anext(f, None) is None


def test_under_asyncio_it_says_so(store):
    async def main():
        async with Files(store).open(Block.of(b"").cid):
            pass

    with pytest.raises(NotInTrio, match="asyncio"):
        asyncio.run(main())

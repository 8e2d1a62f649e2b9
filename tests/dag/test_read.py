"""Reading: cat, ls, stat; and DAGs that contradict themselves."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID, DAG_PB, IDENTITY, Block, PBLink, PBNode, dagpb, unixfs
from sessionctx.dag import V0_2015, V1_2025, Files, Stat
from sessionctx.dag.unixfs import Profile, build_directory
from sessionctx.errors import (
    BlockNotFound,
    DagTooDeep,
    InvalidCID,
    InvalidDag,
    NotADirectory,
    NotAFile,
    NotInTrio,
    PathNotFound,
    Unsupported,
)

LEAF = Block.of(b"leaf")


async def cat(store, ref, **options):
    async with Files(store).cat(ref, **options) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def ls(store, ref, **options):
    async with Files(store).ls(ref, **options) as entries:
        return [entry async for entry in entries]


# --- bytes


@given(
    content=st.binary(max_size=200),
    chunk=st.integers(1, 20),
    width=st.integers(2, 4),
    raw=st.booleans(),
    data=st.data(),
)
def test_cat_gives_what_was_added_and_ranges_are_slices(content, chunk, width, raw, data, play):
    """Any bytes cut in any way are read back; a range of them is the slice, and no block outside it is asked for."""
    offset = data.draw(st.integers(0, len(content) + 5))
    length = data.draw(st.one_of(st.none(), st.integers(0, len(content) + 5)))

    async def main():
        store = MemoryBlockstore()
        profile = Profile("any", 1, chunk, width, raw, 8, 100, "block")
        added = await Files(store).add(content, profile=profile)
        assert added.size == len(content)
        assert await cat(store, added.cid) == content
        stop = None if length is None else offset + length
        assert await cat(store, added.cid, offset=offset, length=length) == content[offset:stop]

    play(main)


async def test_a_range_asks_for_no_block_outside_of_it(slow, autojump_clock):
    store = slow(0)
    profile = Profile("any", 1, 10, 3, True, 8, 100, "block")
    added = await Files(store).add(bytes(range(250)), profile=profile)
    assert await cat(store, added.cid, offset=101, length=3) == bytes([101, 102, 103])
    assert [cid for cid in store.asked if cid.codec == 0x55] == [CID.of(bytes(range(100, 110)))]


async def test_cat_reads_ahead_in_order(slow, autojump_clock):
    store = slow(lambda block: 1 + block.data[0] % 3 if block.data else 0)
    content = bytes(range(200))
    added = await Files(store).add(content, profile=Profile("any", 1, 1, 300, True, 8, 100, "block"))
    assert await cat(store, added.cid, ahead=20) == content
    assert store.most == 20


async def test_cat_finds_a_file_by_its_path(store, folder):
    root = folder({"a": folder({"b": LEAF})})
    await store.put_many([root, folder({"b": LEAF}), LEAF])
    assert await cat(store, f"{root.cid}/a/b") == b"leaf"
    assert await cat(store, root.cid, path="a/b", offset=2) == b"af"
    with pytest.raises(PathNotFound):
        await cat(store, root.cid, path="a/c")


async def test_what_is_no_file_is_not_read(store, folder, symlink, cbor):
    for block, says in (
        (folder({}), "is a directory, not a file"),
        (symlink(b"/etc/passwd"), "a symlink to '/etc/passwd'"),
        (cbor({}), "dag-cbor data"),
    ):
        await store.put(block)
        with pytest.raises(NotAFile, match=says):
            await cat(store, block.cid)


async def test_negative_ranges_are_refused(store):
    for options in ({"offset": -1}, {"length": -1}):
        with pytest.raises(ValueError, match="negative"):
            Files(store).cat(LEAF.cid, **options)
        with pytest.raises(ValueError, match="negative"):
            await Files(store).read_bytes(LEAF.cid, **options)


async def test_a_small_file_is_read_at_once(store, file, folder):
    root = folder([("f", file([LEAF, Block.of(b"more")], sizes=[4, 4]))])
    await store.put_many([LEAF, Block.of(b"more"), file([LEAF, Block.of(b"more")], sizes=[4, 4]), root])
    files = Files(store)
    assert await files.read_bytes(f"{root.cid}/f") == b"leafmore"
    assert await files.read_bytes(root.cid, path="f", offset=2, length=4) == b"afmo"
    with pytest.raises(NotAFile):
        await files.read_bytes(root.cid)
    assert session.current(None) is None


async def test_inline_bytes_come_before_the_links(store, file):
    inner = file([LEAF], data=b"inner ")
    root = file([inner, LEAF], sizes=[10, 4], data=b"begin ")
    old = file([LEAF], data=b"old ", type=unixfs.Type.RAW)
    await store.put_many([LEAF, inner, root, old])
    assert await cat(store, root.cid) == b"begin inner leafleaf"
    assert await cat(store, root.cid, offset=4, length=5) == b"n inn"
    assert await cat(store, old.cid) == b"old leaf"


# --- DAGs that contradict themselves


async def test_wrong_sizes_are_noticed(store, file, pb):
    short, long = file([LEAF], sizes=[3]), file([LEAF], sizes=[5])
    nested = file([short], sizes=[4])
    for root in (short, long, nested, file([LEAF, LEAF], sizes=[4, 0])):
        await store.put_many([LEAF, short, root])
        with pytest.raises(InvalidDag, match="the node above it says"):
            await cat(store, root.cid)
    for root, says in (
        (file([LEAF], sizes=[]), "1 links"),
        (file([], sizes=[4]), "0 links"),
        (file([LEAF], filesize=None), "add up to 4"),
        (file([LEAF], filesize=5), "5 bytes, but its parts add up to 4"),
        (pb([("name", LEAF)], unixfs.Data(unixfs.Type.FILE, blocksizes=[4])), "link with a name"),
    ):
        await store.put(root)
        with pytest.raises(InvalidDag, match=says) as caught:
            await cat(store, root.cid)
        assert str(root.cid) in str(caught.value)


async def test_parts_of_another_kind_are_refused(store, file, folder, symlink, cbor):
    for part in (folder({}), symlink(b"x"), cbor({})):
        root = file([part], sizes=[4])
        await store.put_many([part, root])
        with pytest.raises(InvalidDag, match="linked as a part of a file, but is"):
            await cat(store, root.cid)


async def test_a_file_of_endless_depth_is_bounded(store, file):
    blocks = [LEAF]
    for _ in range(1100):
        blocks.append(file([blocks[-1]], sizes=[4]))
    await store.put_many(blocks)
    assert await cat(store, blocks[1000].cid) == b"leaf"
    with pytest.raises(DagTooDeep):
        await cat(store, blocks[-1].cid)


async def test_a_file_of_nothing_over_and_over_is_no_endless_work(slow, autojump_clock, file):
    """Sixty levels of two links to the same: 2**60 ways down, and not one byte."""
    store = slow(0)
    blocks = [Block.of(b"")]
    for _ in range(60):
        blocks.append(file([blocks[-1]] * 2, sizes=[0, 0]))
    await store.put_many(blocks)
    assert await cat(store, blocks[-1].cid) == b""
    assert len(store.asked) <= 2 * 61


async def test_a_file_that_links_to_itself_by_a_name_that_holds_the_data(store):
    """It cannot: the name would hold itself. Nested as deep as names go, it is a file of no bytes."""

    def inline(data):
        return Block.of(data, codec=DAG_PB, hash=IDENTITY)

    block = inline(dagpb.encode(PBNode((), unixfs.encode(unixfs.Data(unixfs.Type.FILE, b"x", filesize=1)))))
    for _ in range(4):
        fields = unixfs.Data(unixfs.Type.FILE, filesize=1, blocksizes=[1])
        block = inline(dagpb.encode(PBNode((dagpb.PBLink(block.cid, "", 1),), unixfs.encode(fields))))
    assert await cat(store, block.cid) == b"x"
    wrong = inline(
        dagpb.encode(
            PBNode((dagpb.PBLink(block.cid, "", 1),), unixfs.encode(unixfs.Data(unixfs.Type.FILE, blocksizes=[9])))
        )
    )
    with pytest.raises(InvalidDag):
        await cat(store, wrong.cid)
    with pytest.raises(Unsupported):
        inline(bytes(129))


async def test_a_missing_part_is_named_after_what_comes_before_it(store, file):
    gone = Block.of(b"gone")
    root = file([LEAF, gone, LEAF])
    await store.put_many([LEAF, root])
    found = []
    with pytest.raises(BlockNotFound, match=str(gone.cid)):
        async with Files(store).cat(root.cid) as chunks:
            async for chunk in chunks:
                found.append(chunk)
    assert found == [b"leaf"]


# --- directories


async def test_ls_names_the_entries(store, folder, symlink, file):
    inner, link, big = folder({}), symlink(b"to"), file([LEAF, LEAF])
    root = folder({"b": inner, "a": LEAF, "c": link, "d": big})
    await store.put_many([inner, link, big, root, LEAF])
    plain = await ls(store, root.cid)
    assert [(entry.name, entry.cid, entry.kind, entry.size) for entry in plain] == [
        ("a", LEAF.cid, None, None),
        ("b", inner.cid, None, None),
        ("c", link.cid, None, None),
        ("d", big.cid, None, None),
    ]
    assert plain[0].dag_size == 4
    resolved = await ls(store, root.cid, detail=True)
    assert [(entry.name, entry.kind, entry.size) for entry in resolved] == [
        ("a", "file", 4),
        ("b", "directory", None),
        ("c", "symlink", None),
        ("d", "file", 8),
    ]
    assert await ls(store, f"{root.cid}/b") == []
    assert await ls(store, root.cid, path="b") == []


async def test_a_cancelled_call_loses_no_entry(store, folder):
    root = folder({"a": LEAF, "b": LEAF, "c": LEAF})
    await store.put(root)
    async with Files(store).ls(root.cid) as entries:
        assert (await anext(entries)).name == "a"
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(entries)
        assert [entry.name async for entry in entries] == ["b", "c"]


async def test_ls_of_a_sharded_directory_reads_few_shards_ahead(slow, autojump_clock, tmp_path):
    for number in range(300):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    store = slow(0)
    profile = Profile("small", 1, 10, 3, True, 8, 100, "block")
    added = await Files(store).add(tmp_path, profile=profile)
    for detail in (False, True):
        found = await ls(store, added.cid, detail=detail)
        assert sorted(entry.name for entry in found) == sorted(str(number) for number in range(300))
    store.asked.clear()
    async with Files(store).ls(added.cid, ahead=2) as entries:
        await anext(entries)
        assert len(store.asked) < 10


async def test_ls_takes_as_little_memory_for_many_entries_as_for_few(store):
    """Of ten times as many entries, less is ever in memory than they themselves are."""

    async def peak(count):
        blocks, leaf = [], Block.of(b"x")
        links = [PBLink(leaf.cid, f"entry number {number}", 1) for number in range(count)]
        built = build_directory(V1_2025, blocks.append, links)
        await store.put_many(blocks)
        del blocks, links
        gc.collect()
        tracemalloc.start()
        try:
            async with Files(store).ls(built.cid) as entries:
                found = 0
                async for _ in entries:
                    found += 1
            assert found == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = await peak(1_500), await peak(15_000)
    assert many < few + 1_000_000  # the blocks of them alone have more


async def test_what_is_no_directory_is_not_listed(store, file, symlink, cbor):
    for block, says in (
        (LEAF, "is a file, not a directory"),
        (file([LEAF]), "is a file"),
        (symlink(b"/etc"), "a symlink to '/etc'"),
        (cbor([]), "dag-cbor"),
    ):
        await store.put(block)
        with pytest.raises(NotADirectory, match=says):
            await ls(store, block.cid)


async def test_a_shard_that_is_something_else_is_refused(store, pb, folder):
    wrong = folder({"a": LEAF})
    broken = pb([], unixfs.Data(unixfs.Type.HAMT_SHARD, b"\x01", hash_type=0x22, fanout=8))
    await store.put(broken)
    with pytest.raises(InvalidDag, match=str(broken.cid)):
        await ls(store, broken.cid)
    for below in (wrong, LEAF):
        root = pb([("0", below)], unixfs.Data(unixfs.Type.HAMT_SHARD, b"\x01", hash_type=0x22, fanout=8))
        await store.put_many([root, below])
        with pytest.raises(InvalidDag, match="linked as a shard"):
            await ls(store, root.cid)


# --- stat


async def test_stat_says_what_the_first_block_tells(store, folder, file, symlink):
    big = file([LEAF, LEAF], mode=0o644, mtime=unixfs.Mtime(5, 500_000_000))
    root = folder({"a": LEAF, "b": big})
    link = symlink("zum Öl".encode(), mtime=unixfs.Mtime(-1))
    await store.put_many([big, root, link, LEAF])
    files = Files(store)
    assert await files.stat(LEAF.cid) == Stat(LEAF.cid, "file", 4, 4, 0)
    assert await files.stat(root.cid, path="b") == Stat(big.cid, "file", 8, len(big.data) + 8, 2, mode=0o644, mtime=5.5)
    total = len(root.data) + 4 + len(big.data)
    assert await files.stat(f"{root.cid}/") == Stat(root.cid, "directory", 0, total, 2)
    assert await files.stat(link.cid) == Stat(link.cid, "symlink", 7, len(link.data), 0, target="zum Öl", mtime=-1.0)
    with pytest.raises(InvalidCID):
        await files.stat("nothing")


async def test_a_symlink_with_links_is_refused(store, pb):
    wrong = pb([("", LEAF)], unixfs.Data(unixfs.Type.SYMLINK, b"x"))
    await store.put(wrong)
    with pytest.raises(InvalidDag, match="symlink and has links"):
        await Files(store).stat(wrong.cid)


# --- sessions and runs


async def test_reading_joins_the_session_and_has_one_otherwise(slow, autojump_clock, file):
    root = file([LEAF])
    for begun in (True, False):
        store = slow(0)
        await store.put_many([root, LEAF])
        if begun:
            with session.begin() as here:
                await cat(store, root.cid)
                await Files(store).stat(root.cid)
            assert store.sessions == {here}
        else:
            await cat(store, root.cid)
            [one] = store.sessions
            assert one.ended is not None


async def test_an_error_on_entering_leaves_nothing_bound(store):
    for profile in (V0_2015, V1_2025):
        with pytest.raises(BlockNotFound):
            await cat(store, f"{LEAF.cid}/{profile.name}")
        assert session.current(None) is None


async def test_what_has_to_be_entered_says_so(store):
    """`await files.cat(...)` and `async for ... in files.ls(...)` are the first that one tries."""
    files = Files(store)
    with pytest.raises(TypeError, match=r"'async with files\.cat\(\.\.\.\) as opened:'"):
        await files.cat(LEAF.cid)
    with pytest.raises(TypeError, match=r"'async with files\.ls\(\.\.\.\) as opened:'"):
        async for _ in files.ls(LEAF.cid):
            pytest.fail("entered")


def test_under_asyncio_all_say_so(store, tmp_path):
    files = Files(store)

    async def enter(opened):
        async with opened:
            pass

    for call in (
        lambda: files.add(b""),
        lambda: files.stat(LEAF.cid),
        lambda: files.export(LEAF.cid, tmp_path / "x"),
        lambda: files.read_bytes(LEAF.cid),
        lambda: enter(files.cat(LEAF.cid)),
        lambda: enter(files.ls(LEAF.cid)),
    ):
        with pytest.raises(NotInTrio, match=r"trio\.run"):
            asyncio.run(call())
    trio.run(trio.lowlevel.checkpoint)

"""CAR files, out of a store and into one."""

from __future__ import annotations

import random

import pytest
import trio
from hypothesis import assume, given
from hypothesis import strategies as st

from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import BLAKE2B_256, CID, IDENTITY, MAX_BLOCK, Block, CarDecoder, car, verify
from sessionctx.dag import V0_2015, V1_2025, CarSummary, Dag, Files, car_stream, walk
from sessionctx.dag.unixfs.build import FileBuilder
from sessionctx.dag.unixfs.profile import Profile
from sessionctx.errors import (
    BlockNotFound,
    BlockTooLarge,
    CarError,
    CarTruncated,
    DagTooDeep,
    DecodeError,
    HashMismatch,
    PathNotFound,
    SourceUnreadable,
)

SMALL = Profile("small", 1, 10, 3, True, 8, 200, "block")
"""Cuts so small that a few bytes make a deep tree."""


async def read(chunks):
    return b"".join([chunk async for chunk in chunks])


def sections(data):
    decoder = CarDecoder()
    found = decoder.feed(data)
    decoder.finish()
    for cid, inner in found:
        verify(cid, inner)
    return decoder.roots, [cid for cid, _ in found]


async def everything(store, cid):
    async with walk(store, cid) as walking:
        return [block.cid async for block in walking]


async def car_of(store, cid, **options):
    async with car_stream(store, cid, **options) as chunks:
        return await read(chunks)


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


async def pieces(parts):
    for part in parts:
        yield part


@pytest.fixture
async def added(store, tmp_path, plant):
    inner = {"empty": {}, "big": random.Random(0).randbytes(1000), "twin": b"x" * 100, "two": b"x" * 100}
    root = plant(tmp_path / "in", {"a": inner, "name": b"content"})
    return await Files(store).add(root, profile=SMALL)


# --- there and back


async def test_a_car_holds_the_dag_once_in_depth_first_order(store, added):
    roots, found = sections(await car_of(store, added.cid))
    assert roots == (added.cid,)
    assert found == await everything(store, added.cid)
    assert len(set(found)) == len(found)


async def test_a_dag_comes_back_from_its_car(store, added, tmp_path, tree):
    async with Dag(store).car(added.cid) as chunks:
        written = [chunk async for chunk in chunks]
    path = tmp_path / "some.car"
    said = await Dag(store).export_car(added.cid, path)
    assert path.read_bytes() == b"".join(written)
    other = MemoryBlockstore()
    for source in (b"".join(written), pieces(written)):
        assert await Dag(other).import_car(source) == said
    assert await Dag(other).import_car(path) == said
    await Files(other).export(added.cid, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "in")


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_car_may_arrive_in_pieces_of_any_size(store, added, size):
    data = await car_of(store, added.cid)
    other = MemoryBlockstore()
    summary = await Dag(other).import_car(pieces(cut(data, size)))
    assert summary.roots == (added.cid,)
    assert other.statistics() == store.statistics()


async def test_chunks_are_big_as_long_as_there_is_data(store):
    added = await Files(store).add(random.Random(0).randbytes(5_000_000))
    small = [Block.of(b"%d" % number) for number in range(20_000)]
    await store.put_many(small)
    async with car_stream(store, added.cid) as chunks:
        sizes = [len(chunk) async for chunk in chunks]
    assert min(sizes[:-1]) >= 256 * 1024
    assert max(sizes) <= 256 * 1024 + MAX_BLOCK
    assert chunks.blocks == 6
    assert chunks.bytes > 5_000_000


async def test_repeated_blocks_are_repeated_if_asked(store):
    added = await Files(store).add(b"x" * 100, profile=SMALL)
    once = sections(await car_of(store, added.cid))[1]
    again = sections(await car_of(store, added.cid, dups=True))[1]
    assert len(set(once)) == len(once) < len(again)
    assert set(again) == set(once)


async def test_a_chain_longer_than_the_limit_is_an_error_unless_allowed(store, cbor):
    blocks = [cbor([])]
    for _ in range(20):
        blocks.append(cbor([blocks[-1].cid]))
    await store.put_many(blocks)
    assert len(sections(await car_of(store, blocks[-1].cid, max_depth=20))[1]) == 21
    with pytest.raises(DagTooDeep):
        await car_of(store, blocks[-1].cid, max_depth=19)
    assert len(sections(await car_of(store, blocks[-1].cid, path="0/0", max_depth=18))[1]) == 21  # below its end
    with pytest.raises(DagTooDeep):
        await car_of(store, blocks[-1].cid, path="0/0", max_depth=17)


async def test_names_that_hold_their_data_are_left_out(store, cbor):
    inline = Block.of(b"inline", hash=IDENTITY)
    other = Block.of(b"other")
    root = cbor([inline.cid, other.cid])
    await store.put_many([root, other])
    assert sections(await car_of(store, root.cid))[1] == [root.cid, other.cid]
    assert sections(await car_of(store, inline.cid)) == ((inline.cid,), [])


# --- scopes


async def test_the_way_comes_first(store, added):
    dag = Dag(store)
    found = await dag.resolve(added.cid, "a/big")
    async with dag.car(added.cid, path="a/big") as chunks:
        assert chunks.resolved == found
        roots, cids = sections(await read(chunks))
    assert roots == (added.cid,)
    assert cids == [*found.trail, *await everything(store, found.cid)]


async def test_a_block_alone(store, added):
    assert sections(await car_of(store, added.cid, scope="block"))[1] == [added.cid]


async def test_an_entity_is_a_file_or_a_directory_without_its_entries(store, added, cbor):
    file = (await Dag(store).resolve(added.cid, "a/big")).cid
    assert sections(await car_of(store, file, scope="entity"))[1] == await everything(store, file)
    assert sections(await car_of(store, added.cid, scope="entity"))[1] == [added.cid]
    data = cbor([file])
    await store.put(data)
    assert sections(await car_of(store, data.cid, scope="entity"))[1] == [data.cid]
    link = (await Dag(store).resolve(added.cid, "name")).cid
    assert sections(await car_of(store, link, scope="entity"))[1] == [link]


async def test_an_entity_has_all_shards_of_a_directory(store, tmp_path, plant):
    root = plant(tmp_path / "in", {f"{number}": b"%d" % number for number in range(100)})
    added = await Files(store).add(root, profile=SMALL)
    found = sections(await car_of(store, added.cid, scope="entity"))[1]
    assert len(found) > 10
    assert all(cid.codec != 0x55 for cid in found)
    other = MemoryBlockstore()
    await other.put_many([await store.get(cid) for cid in found])
    async with Files(other).ls(added.cid) as entries:
        assert len([entry async for entry in entries]) == 100


@given(
    size=st.integers(0, 120),
    first=st.integers(-130, 130),
    last=st.one_of(st.none(), st.integers(-130, 130)),
)
def test_a_range_of_bytes_needs_the_blocks_that_hold_them(size, first, last, play):
    """With the blocks of ``from:to`` alone, these bytes of the file can be read, and no leaf too many was sent."""
    content = bytes(range(120))[:size]
    assume(last is None or (first < 0) != (last < 0) or first <= last)  # the others are refused

    async def main():
        store, other = MemoryBlockstore(), MemoryBlockstore()
        added = await Files(store).add(content, profile=SMALL)
        span = f"{first}:{'*' if last is None else last}"
        data = await car_of(store, added.cid, span=span)
        await Dag(other).import_car(data)
        start = max(first + size, 0) if first < 0 else first
        stop = size if last is None else (last + size if last < 0 else last) + 1
        wanted = content[start : max(stop, 0)]
        if wanted:
            async with Files(other).cat(added.cid, offset=start, length=len(wanted)) as chunks:
                assert await read(chunks) == wanted
        leaves = {cid for cid in sections(data)[1] if cid.codec == 0x55}
        held = (
            {CID.of(content[at : at + 10]) for at in range(start - start % 10, start + len(wanted), 10)}
            if wanted
            else set()
        )
        assert leaves <= (held or {added.cid})

    play(main)


@pytest.mark.parametrize(
    "span", ["", "5", "a:b", "1:2:3", "*:5", ":", "5:2", "-2:-5", "1_0:+20", " 1:2", "٣:٤", "0:" + "9" * 19]
)
async def test_a_range_that_is_none_is_refused(store, span):
    with pytest.raises(DecodeError, match="no byte range"):
        car_stream(store, Block.of(b"").cid, span=span)


# --- what cannot be sent


async def test_what_is_not_there_is_known_on_entering(store, added):
    for options, error in (({"path": "no"}, PathNotFound), ({"path": "name"}, None)):
        if error:
            with pytest.raises(error):
                async with car_stream(store, added.cid, **options):
                    raise AssertionError
    await store.delete(added.cid)
    with pytest.raises(BlockNotFound):
        async with car_stream(store, added.cid):
            raise AssertionError


async def test_a_missing_block_ends_the_stream_with_its_error(store, added):
    gone = (await everything(store, added.cid))[-1]
    await store.delete(gone)
    async with car_stream(store, added.cid) as chunks:
        with pytest.raises(BlockNotFound, match=str(gone)):
            await read(chunks)


# --- what cannot be read


def a_car():
    blocks = [Block.of(b"%d" % number * 50) for number in range(6)]
    parts = [car.encode_header([blocks[0].cid])] + [car.encode_section(block.cid, block.data) for block in blocks]
    return blocks, parts


@given(at=st.data(), size=st.integers(1, 200))
def test_a_car_cut_anywhere_is_noticed_and_its_whole_blocks_are_kept(at, size, play):
    """However a CAR is cut and however it arrives: the blocks before the cut are stored, and nothing is taken for whole."""
    blocks, parts = a_car()
    data = b"".join(parts)
    end = at.draw(st.integers(0, len(data) - 1))
    whole = max(0, sum(len(b"".join(parts[: n + 2])) <= end for n in range(len(blocks))))
    between = end in {len(b"".join(parts[: n + 1])) for n in range(len(parts))}

    async def main():
        store = MemoryBlockstore()
        if between:  # nobody can see that: a CAR has no end mark
            assert (await Dag(store).import_car(pieces(cut(data[:end], size)))).blocks == whole
        else:
            with pytest.raises(CarTruncated, match=f"the {whole} blocks before it"):
                await Dag(store).import_car(pieces(cut(data[:end], size)))
        assert [await store.has(block.cid) for block in blocks] == [number < whole for number in range(6)]

    play(main)


async def test_bytes_that_do_not_match_are_not_stored_and_those_before_are(store):
    blocks, parts = a_car()
    parts[4] = parts[4][:-1] + b"!"
    with pytest.raises(HashMismatch, match="the 3 blocks before it, 150 bytes, are good and stored"):
        await Dag(store).import_car(b"".join(parts))
    assert [await store.has(block.cid) for block in blocks] == [True, True, True, False, False, False]


async def test_text_after_a_car_is_an_error_and_the_blocks_are_kept(store):
    _, parts = a_car()
    with pytest.raises(CarError, match="6 blocks"):
        await Dag(store).import_car(b"".join(parts) + b"\xff" * 20 + b"error: the node went away")
    assert store.statistics().blocks == 6


async def test_duplicates_and_strangers_are_stored(store):
    blocks, parts = a_car()
    stranger = Block.of(b"stranger", hash=BLAKE2B_256)
    data = b"".join([*parts, *parts[1:], car.encode_section(stranger.cid, stranger.data)])
    assert await Dag(store).import_car(data) == CarSummary((blocks[0].cid,), 13, 12 * 50 + 8)
    assert store.statistics().blocks == 7


async def test_an_empty_car_is_one(store):
    assert await Dag(store).import_car(car.encode_header([])) == CarSummary((), 0, 0)
    with pytest.raises(CarTruncated):
        await Dag(store).import_car(b"")


async def test_a_car_on_the_disk_that_cannot_be_read_is_named(store, tmp_path):
    with pytest.raises(SourceUnreadable, match=r"no\.car"):
        await Dag(store).import_car(tmp_path / "no.car")
    with pytest.raises(SourceUnreadable, match="Is a directory"):
        await Dag(store).import_car(str(tmp_path))
    with pytest.raises(SourceUnreadable, match="Input/output error"):
        await Dag(store).import_car("/proc/self/mem")


async def test_a_block_over_the_limit_is_refused(store):
    data = bytes(MAX_BLOCK + 1)
    cid = CID.of(data)
    with pytest.raises((BlockTooLarge, CarError)):
        await Dag(store).import_car(car.encode_header([]) + car.encode_section(cid, data))
    assert store.statistics().blocks == 0


async def test_an_error_of_the_stream_comes_out_as_it_is(store):
    _, parts = a_car()

    async def breaking():
        yield b"".join(parts[:3])
        raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead"):
        await Dag(store).import_car(breaking())


async def test_an_error_of_the_store_comes_out_as_it_is():
    class Full(MemoryBlockstore):
        async def put_many(self, blocks):
            await trio.lowlevel.checkpoint()
            raise BlockTooLarge("full")

    with pytest.raises(BlockTooLarge, match="full"):
        await Dag(Full()).import_car(b"".join(a_car()[1]))


async def test_memory_is_bounded_however_long_a_car_is():
    class Watching(MemoryBlockstore):
        most = 0

        async def put_many(self, blocks):
            await trio.lowlevel.checkpoint()
            self.most = max(self.most, sum(len(block.data) for block in blocks))

    async def long():
        yield car.encode_header([])
        for number in range(40):
            data = bytes([number]) * (1 << 20)
            yield car.encode_section(CID.of(data), data)

    store = Watching()
    assert (await Dag(store).import_car(long())).blocks == 40
    assert 8 << 20 <= store.most <= 11 << 20


# --- files of others


GOOD = {
    "v2/testdata/sample-v1.car": (1049, 1),
    "v2/testdata/sample-v1-noidentity.car": (1043, 1),
    "v2/testdata/sample-wrapped-v2.car": (1049, 1),
    "v2/testdata/sample-v2-indexless.car": (1049, 1),
    "v2/testdata/sample-unixfs-v2.car": (3, 1),
    "v2/testdata/sample-rw-bs-v2.car": (3, 3),
    "cmd/car/testdata/inputs/sample-v1.car": (1049, 1),
    "cmd/car/testdata/inputs/simple-unixfs.car": (22, 1),
}


@pytest.mark.parametrize("name", GOOD)
async def test_cars_of_go_are_read(fixtures, store, name):
    blocks, roots = GOOD[name]
    summary = await Dag(store).import_car(fixtures("go-car") / name)
    assert len(summary.roots) == roots
    assert summary.blocks == blocks


@pytest.mark.parametrize(
    "name",
    [
        "v2/testdata/sample-v1-tailing-corrupt-section.car",
        "v2/testdata/sample-v1-with-zero-len-section.car",
        "v2/testdata/sample-v1-with-zero-len-section2.car",
        "v2/testdata/sample-corrupt-pragma.car",
        "v2/testdata/sample-rootless-v42.car",
        "v2/testdata/sample-v2-corrupt-data-and-index.car",
        "cmd/car/testdata/inputs/badheaderlength.car",
        "cmd/car/testdata/inputs/badsectionlength.car",
    ],
)
async def test_cars_that_go_refuses_are_refused(fixtures, store, name):
    with pytest.raises(CarError):
        await Dag(store).import_car(fixtures("go-car") / name)


async def test_a_unixfs_car_of_go_is_exported(fixtures, store, tmp_path, tree):
    inputs = fixtures("go-car") / "cmd/car/testdata/inputs"
    summary = await Dag(store).import_car(inputs / "simple-unixfs.car")
    await Files(store).export(summary.roots[0], tmp_path / "out")
    names = iter("ABCDEFGHI")
    expected = {}
    for at, outer in enumerate("abc"):
        inner = [(str(3 * at + number), next(names)) for number in (1, 2, 3)]
        expected[outer] = {number: {f"{name}.txt": f"{outer}{number}{name}\n".encode()} for number, name in inner}
    assert tree(tmp_path / "out") == expected
    lacking = MemoryBlockstore()
    summary = await Dag(lacking).import_car(inputs / "simple-unixfs-missing-blocks.car")
    with pytest.raises(BlockNotFound):
        await Files(lacking).export(summary.roots[0], tmp_path / "lacking")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


async def test_the_car_of_the_codec_fixtures_is_read(fixtures, store):
    summary = await Dag(store).import_car(fixtures("codec-fixtures") / "fixtures.car")
    assert summary.blocks == store.statistics().blocks > 100


async def test_a_car_is_the_same_from_both_profiles(store):
    """A file's CAR is its blocks and nothing else."""
    content = random.Random(1).randbytes(600_000)
    for profile in (V0_2015, V1_2025):
        blocks: list[Block] = []
        builder = FileBuilder(profile, blocks.append)
        for part in cut(content, profile.chunk_size):
            builder.add(part)
        root = builder.finish().cid
        await store.put_many(blocks)
        assert set(sections(await car_of(store, root))[1]) == {block.cid for block in blocks}

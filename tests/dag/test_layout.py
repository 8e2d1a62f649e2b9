"""The pure parts: chunks, the balanced layout, directories and shards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID, DAG_PB, RAW, Block, PBLink, PBNode, dagpb, unixfs
from sessionctx.dag import V0_2015, V1_2025
from sessionctx.dag.unixfs import FileBuilder, Profile, build_directory, open_node
from sessionctx.dag.unixfs.build import PLAIN, Attributes, encode_leaf
from sessionctx.dag.unixfs.chunk import FixedChunker
from sessionctx.dag.unixfs.directory import estimate
from sessionctx.dag.unixfs.hamt import Shard, Sub, build_hamt, name_hash
from sessionctx.dag.unixfs.node import entries
from sessionctx.errors import DagTooDeep, InvalidDag

SMALL = Profile("small", 1, 4, 3, True, 8, 300, "block")


@given(pieces=st.lists(st.binary(max_size=30)), size=st.integers(1, 12))
def test_chunks_are_the_bytes_cut_evenly(pieces, size):
    """However bytes arrive, the chunks are those of the whole cut every *size* bytes."""
    chunker = FixedChunker(size)
    chunks = [chunk for piece in pieces for chunk in chunker.feed(piece)] + list(chunker.finish())
    whole = b"".join(pieces)
    assert chunks == [whole[at : at + size] for at in range(0, len(whole), size)]


def test_a_piece_that_is_a_chunk_is_not_copied():
    piece = bytes(1000)
    assert next(FixedChunker(1000).feed(piece)) is piece
    with pytest.raises(ValueError, match="at least one"):
        FixedChunker(0)


def shape(cid, held):
    """A node as nested lists of its leaves' bytes, each node checked for its sizes."""
    node = open_node(held[cid])
    if not node.links:
        return node.payload
    assert node.size == sum(open_node(held[link.cid]).size for link in node.links)
    for link in node.links:
        below = open_node(held[link.cid])
        assert link.tsize == len(held[link.cid].data) + sum(inner.tsize for inner in below.links)
    return [shape(link.cid, held) for link in node.links]


def balanced(leaves, width):
    """The dullest balanced tree: group again and again."""
    level = leaves or [b""]
    while len(level) > 1:
        level = [level[at : at + width] for at in range(0, len(level), width)]
    return level[0]


@given(count=st.integers(0, 40), width=st.integers(2, 5), raw=st.booleans())
def test_a_file_is_a_balanced_tree_of_its_chunks(count, width, raw):
    """The tree of *count* chunks is made by grouping *width* at a time, and children are emitted before parents."""
    profile = Profile("any", 1, 1, width, raw, 8, 300, "block")
    chunks = [b"%d" % number for number in range(count)]
    blocks: list[Block] = []
    builder = FileBuilder(profile, blocks.append)
    for chunk in chunks:
        builder.add(chunk)
    built = builder.finish()
    held = {block.cid: block for block in blocks}
    assert shape(built.cid, held) == balanced(chunks, width)
    assert blocks[-1].cid == built.cid
    assert built.size == sum(map(len, chunks))
    assert built.dag_size == total(built.cid, held)
    known = set()
    for block in blocks:
        assert set(block.links()) <= known
        known.add(block.cid)


@given(size=st.one_of(st.integers(0, 300), st.sampled_from([1 << 14, (1 << 14) - 20, 1 << 18])))
def test_a_leaf_is_encoded_as_any_node(size):
    chunk = bytes(size)
    data = unixfs.Data(unixfs.Type.FILE, chunk or None, filesize=size)
    assert encode_leaf(chunk) == dagpb.encode(PBNode((), unixfs.encode(data)))


def total(cid, held):
    return len(held[cid].data) + sum(total(below, held) for below in held[cid].links())


def test_a_builder_holds_one_open_node_per_level():
    builder = FileBuilder(SMALL, lambda block: None)
    for number in range(3**7):
        builder.add(b"%d" % number)
        assert all(len(level) <= SMALL.width for level in builder._levels)
    assert len(builder._levels) == 7


def test_the_empty_file_and_the_empty_directory_have_the_known_names():
    for profile, file, folder in (
        (V0_2015, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"),
        (
            V1_2025,
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
        ),
    ):
        assert str(FileBuilder(profile, lambda block: None).finish().cid) == file
        assert str(build_directory(profile, lambda block: None, []).cid) == folder


# --- directories

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)


def links(found):
    return [PBLink(CID.of(name.encode()), name, len(name)) for name in found]


@given(found=st.lists(names, unique=True, max_size=30), order=st.randoms(), version=st.sampled_from([0, 1]))
def test_the_size_of_a_directory_is_estimated_exactly(found, order, version):
    """The estimate is the length of the block; the order of entries does not matter to it or to the CID."""
    made = links(found)
    node = dagpb.encode(dagpb.PBNode(tuple(made), unixfs.encode(unixfs.Data(unixfs.Type.DIRECTORY))))
    assert estimate(V1_2025, made) == len(node)
    profile = Profile("any", version, 1, 2, True, 8, 400, "block" if version else "links")
    built = build_directory(profile, lambda block: None, made)
    order.shuffle(made)
    assert build_directory(profile, lambda block: None, made) == built


def read_shards(cid, held):
    """All entries of a sharded directory, read shard by shard; the deepest way down."""
    found, deepest = [], 0
    left = [(cid, None, 1)]
    while left:
        cid, place, depth = left.pop()
        node = open_node(held[cid])
        deepest = max(deepest, depth)
        for item in entries(node) if place is None else entries(node, place):
            if isinstance(item, Sub):
                left.append((item.link.cid, item.place, depth + 1))
            else:
                found.append(item)
    return found, deepest


@given(found=st.lists(names, unique=True, max_size=60), fanout=st.sampled_from([8, 16, 64, 256, 1024]))
def test_a_sharded_directory_has_the_entries_that_went_in(found, fanout):
    """Whatever the names and the fanout: all entries are read back, and each is found by its name."""
    profile = Profile("any", 1, 1, 2, True, fanout, 0, "block")
    blocks: list[Block] = []
    made = links(found)
    built = build_hamt(profile, blocks.append, made)
    held = {block.cid: block for block in blocks}
    read, _ = read_shards(built.cid, held)
    assert sorted(read, key=lambda link: link.name) == sorted(made, key=lambda link: link.name)
    assert built.dag_size == len(b"".join(block.data for block in blocks)) + sum(link.tsize for link in made)


@pytest.mark.parametrize("profile", [V0_2015, V1_2025], ids=lambda profile: profile.name)
@pytest.mark.parametrize("attributes", [PLAIN, Attributes(0o755, unixfs.Mtime(1, 1))], ids=["plain", "attributes"])
def test_a_directory_is_sharded_over_the_threshold_and_not_at_it(profile, attributes):
    """Growing by a byte shards it, shrinking again brings the plain one back: its history does not show in its CID."""
    leaf = CID.of(b"x", version=profile.cid_version, codec=DAG_PB)
    entries = [PBLink(leaf, f"{number:060}", 9) for number in range(2850 if profile is V0_2015 else 2550)]
    while estimate(profile, entries, attributes) > profile.hamt_threshold - 200:
        entries.pop()

    def with_name(length):
        return [*entries, PBLink(leaf, "y" * length, 9)]

    fits = next(n for n in range(300, 0, -1) if estimate(profile, with_name(n), attributes) == profile.hamt_threshold)
    blocks: list[Block] = []
    built = [
        build_directory(profile, blocks.append, with_name(length), attributes) for length in (fits, fits + 1, fits)
    ]
    held = {block.cid: open_node(block) for block in blocks}
    assert [held[each.cid].sharded for each in built] == [False, True, False]
    assert built[0] == built[2]
    for each in built:
        assert held[each.cid].fields.mode == attributes.mode
        assert held[each.cid].fields.mtime == attributes.mtime
    if profile.hamt_estimate == "block":
        assert len(next(block.data for block in blocks if block.cid == built[0].cid)) == profile.hamt_threshold


def test_names_are_hashed_as_the_vectors_pin_it():
    assert name_hash("470.txt") == 0x006E88DF5847E67C


def test_names_of_one_hash_are_an_error(monkeypatch):
    """Nobody has two such names yet, so the hash is replaced by one that is worse."""
    monkeypatch.setattr("sessionctx.dag.unixfs.hamt.name_hash", lambda name: 5)
    with pytest.raises(InvalidDag, match="'a' and 'b' have the same hash"):
        build_hamt(SMALL, lambda block: None, links(["a", "b"]))


# --- shards that are wrong


def shard(pairs, **fields):
    fields = {"hash_type": 0x22, "fanout": 8, **fields}
    bitfield = fields.pop("bitfield", None)
    if bitfield is None:
        bitfield = sum(1 << int(name[0], 16) for name, _ in pairs)
    data = unixfs.Data(unixfs.Type.HAMT_SHARD, bitfield.to_bytes(4, "big").lstrip(b"\0"), **fields)
    return data, tuple(PBLink(block.cid, name, 1) for name, block in pairs)


LEAF = Block.of(b"leaf")
RIGHT = f"{name_hash('x') >> 61:X}x"


@pytest.mark.parametrize(
    ("pairs", "fields", "says"),
    [
        ([], {"hash_type": 0x12}, "murmur3"),
        ([], {"hash_type": None}, "murmur3"),
        ([], {"fanout": None}, "buckets"),
        ([], {"fanout": 7}, "buckets"),
        ([], {"fanout": 4}, "buckets"),
        ([], {"fanout": 24}, "buckets"),
        ([], {"fanout": 2048}, "buckets"),
        ([], {"fanout": 1 << 60}, "buckets"),
        ([], {"bitfield": 1 << 8}, "wider"),
        ([], {"bitfield": 1}, "1 buckets are used, and has 0 links"),
        ([(RIGHT, LEAF)], {"bitfield": 0}, "0 buckets are used, and has 1 links"),
        ([("0x", LEAF), ("0y", LEAF)], {}, "1 buckets are used, and has 2"),
        ([("5x", LEAF)], {"bitfield": 2}, "not in its bucket"),
        ([("", LEAF)], {"bitfield": 2}, "not in its bucket"),
        ([(f"{int(RIGHT[0], 16) ^ 1:X}x", LEAF)], {}, "where its hash does not belong"),
    ],
)
def test_wrong_shards_are_refused(pairs, fields, says):
    with pytest.raises(InvalidDag, match=says):
        list(Shard(*shard(pairs, **fields)))


def test_a_right_shard_is_read():
    [entry] = Shard(*shard([(RIGHT, LEAF)]))
    assert entry == PBLink(LEAF.cid, "x", 1)


def test_shards_below_have_the_same_fanout_and_do_not_go_on_for_ever():
    [sub] = Shard(*shard([("0", LEAF)]))
    with pytest.raises(InvalidDag, match="below one of 8"):
        Shard(*shard([], fanout=16), sub.place)
    depth = 1
    with pytest.raises(DagTooDeep):
        while True:
            [sub] = Shard(*shard([("0", LEAF)]), sub.place)
            depth += 1
    assert depth == 64 // 3


def test_raw_blocks_are_files_and_foreign_ones_are_data():
    assert open_node(LEAF).kind == "file"
    assert LEAF.cid.codec == RAW
    assert open_node(Block.of(b"\xa0", codec=0x71)).kind == "data"

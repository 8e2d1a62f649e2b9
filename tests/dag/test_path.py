"""Paths through directories and data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CBOR, CID, DAG_CBOR, DAG_JSON, DAG_PB, JSON, RAW, SHA2_512, Block, PBLink, PBNode, unixfs
from sessionctx.dag import V1_2025, Dag, Resolved, resolve
from sessionctx.dag.path import parse_ref
from sessionctx.dag.unixfs.build import Built
from sessionctx.dag.unixfs.hamt import build_hamt
from sessionctx.errors import DagTooDeep, DecodeError, InvalidCID, InvalidDag, NotADirectory, PathNotFound, Unsupported

LEAF = Block.of(b"leaf")


@pytest.fixture
async def world(store, folder, cbor):
    """root/ a/ b = LEAF, data -> {"list": [1, LEAF, {"deep": root a}], "text": "t"}."""
    inner = folder({"b": LEAF, "": LEAF})
    data = cbor({"list": [1, LEAF.cid, {"deep": inner.cid}], "text": "t", "..": 1})
    root = folder({"a": inner, "data": data, "leaf": LEAF, "ä ö": LEAF})
    await store.put_many([LEAF, inner, data, root])
    return {"root": root.cid, "a": inner.cid, "data": data.cid, "leaf": LEAF.cid}


@pytest.mark.parametrize(
    ("path", "leads", "through"),
    [
        ("", "root", []),
        ("/", "root", []),
        ("./a/.", "a", ["root"]),
        ("a", "a", ["root"]),
        ("a/b", "leaf", ["root", "a"]),
        ("//a///b/", "leaf", ["root", "a"]),
        ("nothing/../a/../a/b", "leaf", ["root", "a"]),
        ("ä ö", "leaf", ["root"]),
        ("data", "data", ["root"]),
        ("data/list/1", "leaf", ["root", "data"]),
        ("data/list/2/deep", "a", ["root", "data"]),
        ("data/list/2/deep/b", "leaf", ["root", "data", "a"]),
    ],
)
async def test_a_path_leads_to_a_block(world, store, path, leads, through):
    found = await Dag(store).resolve(world["root"], path)
    assert found.cid == world[leads]
    assert found.rest == ()
    assert found.trail == tuple(world[name] for name in through)
    assert found.roots == (*(world[name] for name in through), world[leads])
    for text in (f"{world['root']}/{path}", f"/ipfs/{world['root']}/{path}", f"ipfs://{world['root']}/{path}"):
        assert await resolve(store, text) == found


async def test_a_path_may_end_inside_data(world, store):
    found = await resolve(store, world["root"], "data/list/2")
    assert found == Resolved(world["data"], ("list", "2"), (world["root"], world["data"]), (world["root"],))
    dag = Dag(store)
    assert await dag.get(world["root"], path="data/text") == "t"
    assert await dag.get(f"{world['data']}/list/0") == 1
    assert await dag.get(world["data"], path="list") == [1, world["leaf"], {"deep": world["a"]}]


async def test_get_reads_each_codec(world, store):
    dag = Dag(store)
    assert await dag.get(LEAF.cid) == b"leaf"
    node = await dag.get(world["a"])
    assert [link.name for link in node.links] == ["", "b"]
    for block, error in ((Block.of(b"{}", codec=0x78), Unsupported), (Block.of(b"\xff", codec=0x70), DecodeError)):
        await store.put(block)
        with pytest.raises(error, match=str(block.cid)):
            await dag.get(block.cid)


@pytest.mark.parametrize("codec", [DAG_CBOR, DAG_JSON])
async def test_what_is_put_is_got_back_and_paths_lead_through_it(store, codec):
    dag = Dag(store)
    inner = await dag.put({"list": [1, b"two", "three"]}, codec=codec)
    outer = await dag.put({"to": inner, "text": "x"}, codec=codec, hash=SHA2_512)
    assert (inner.codec, outer.codec) == (codec, codec)
    assert await dag.get(outer) == {"to": inner, "text": "x"}
    assert await dag.get(f"{outer}/to/list/1") == b"two"
    async with dag.walk(outer) as found:
        assert [block.cid async for block in found] == [outer, inner]


@pytest.mark.parametrize("codec", [CBOR, JSON])
async def test_paths_lead_into_plain_data(store, codec):
    dag = Dag(store)
    root = await dag.put({"a": [1, {"b": 2}]}, codec=codec)
    assert await dag.get(f"{root}/a/1/b") == 2


async def test_what_is_put_is_written_strictly_or_not_at_all(store):
    dag = Dag(store)
    node = PBNode((PBLink(LEAF.cid, "a"),), b"data")
    cid = await dag.put(node)
    assert cid.codec == DAG_PB
    assert await dag.get(cid) == node
    assert await dag.put({"Data": b"data", "Links": [{"Hash": LEAF.cid, "Name": "a"}]}, codec=DAG_PB) == cid
    assert (await dag.put(b"leaf", codec=RAW)).multihash == LEAF.cid.multihash
    assert await dag.get(await dag.put({"/": 1}, codec=JSON)) == {"/": 1}
    for value, codec, error in (
        ((), DAG_CBOR, TypeError),
        (float("nan"), DAG_JSON, ValueError),
        (1, 0x78, Unsupported),
    ):
        with pytest.raises(error):
            await dag.put(value, codec=codec)


async def test_what_was_written_carelessly_is_read(store):
    block = Block.of(b' {"b": 1.0, "a": [ ] }', codec=DAG_JSON)
    await store.put(block)
    assert await Dag(store).get(block.cid) == {"b": 1.0, "a": []}


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("x", PathNotFound, "'x'"),
        ("a/x/y", PathNotFound, "'x' in the directory {root}/a"),
        ("leaf/x", NotADirectory, "{root}/leaf is a file: there is no 'x'"),
        ("a/b/c/d", NotADirectory, "{root}/a/b"),
        ("..", PathNotFound, "above"),
        ("a/../..", PathNotFound, "above"),
        ("data/no", PathNotFound, "'no' in the map {root}/data"),
        ("data/list/3", PathNotFound, "'3' in the list {root}/data/list, which has 3"),
        ("data/list/-1", PathNotFound, "'-1'"),
        ("data/list/٣", PathNotFound, "list"),
        ("data/list/" + "9" * 5000, PathNotFound, "list"),
        ("data/text/x", NotADirectory, "{root}/data/text is a str"),
        ("data/list/0/x", NotADirectory, "is a int"),
        ("a/" * 1025, DagTooDeep, "1024"),
    ],
)
async def test_what_is_not_there_is_named(world, store, path, error, says):
    with pytest.raises(error) as caught:
        await resolve(store, world["root"], path)
    assert says.format(root=world["root"]) in str(caught.value)


@pytest.mark.parametrize("text", ["", "/", "a/b", "/ipfs/", "ipfs://x", "/ipns/x", "bafkqaaa bafkqaaa"])
async def test_what_does_not_begin_with_a_cid_is_refused(text, store):
    with pytest.raises(InvalidCID):
        await resolve(store, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("https://gateway.example/ipfs/bafkqaaa", "'https://gateway.example/ipfs/bafkqaaa' is no CID: it is a URL"),
        ("ipns://example.com/a", "an IPNS URL, which names a publisher"),
        ("/ipns/example.com/a", "an IPNS path, which names a publisher"),
        ("", "it is empty"),
    ],
)
async def test_what_people_paste_instead_is_recognised(text, says, store):
    with pytest.raises(InvalidCID) as caught:
        await resolve(store, text)
    assert says in str(caught.value)


async def test_symlinks_are_not_followed(store, folder, symlink):
    link = symlink(b"somewhere/else")
    root = folder({"link": link, "somewhere": LEAF})
    await store.put_many([link, root])
    assert (await resolve(store, root.cid, "link")).cid == link.cid
    with pytest.raises(NotADirectory, match=r"link is a symlink to 'somewhere/else' \(symlinks are not followed\)"):
        await resolve(store, root.cid, "link/x")


async def test_of_two_entries_of_one_name_the_first_is_taken(store, folder):
    other = Block.of(b"other")
    root = folder([("twin", LEAF), ("twin", other)])
    await store.put(root)
    assert (await resolve(store, root.cid, "twin")).cid == LEAF.cid


async def test_broken_blocks_on_the_way_are_named(store, pb):
    for broken, error in (
        (Block.of(b"\xff", codec=0x71), DecodeError),
        (Block.of(b"\xff", codec=0x70), DecodeError),
        (pb((), None), DecodeError),
        (pb((), unixfs.Data(unixfs.Type.METADATA)), InvalidDag),
    ):
        await store.put(broken)
        with pytest.raises(error, match=str(broken.cid)):
            await resolve(store, broken.cid, "x")


segments = st.sampled_from(["a", "b", ".", "..", "", "ä"])


@given(st.lists(segments, max_size=8))
def test_dots_are_resolved_like_a_stack(path):
    """A path is what remains when each name is pushed and each ``..`` pops one."""
    stack = []
    for segment in path:
        if segment == "..":
            if not stack:
                with pytest.raises(PathNotFound):
                    parse_ref(LEAF.cid, "/".join(path))
                return
            stack.pop()
        elif segment not in ("", "."):
            stack.append(segment)
    assert parse_ref(LEAF.cid, "/".join(path)) == (LEAF.cid, stack)
    assert parse_ref(f"{LEAF.cid}/" + "/".join(path)) == (LEAF.cid, stack)


# --- sharded directories


@pytest.fixture
async def sharded(store):
    """A directory of 2,000 names in shards."""
    entries = [PBLink(CID.of(b"%d" % number), f"{number}.txt", 1) for number in range(2000)]
    blocks: list[Block] = []
    built = build_hamt(V1_2025, blocks.append, entries)
    await store.put_many(blocks)
    return built, entries


async def test_names_are_found_in_shards(sharded: tuple[Built, list[PBLink]], store):
    built, entries = sharded
    longest = 0
    for entry in entries[::10]:
        found = await resolve(store, built.cid, entry.name)
        assert found.cid == entry.cid
        assert found.roots == (built.cid, entry.cid)
        assert found.trail[0] == built.cid
        longest = max(longest, len(found.trail))
    assert longest > 1
    for name in ("x", "5000.txt", "00", "", "A" * 300):
        if name:
            with pytest.raises(PathNotFound, match=f"'{name}' in the directory {built.cid}"):
                await resolve(store, built.cid, name)


async def test_a_shard_that_is_something_else_is_refused(store, pb):
    fields = unixfs.Data(unixfs.Type.HAMT_SHARD, bytes([1 << (0x6E88DF >> 16 & 7)]), hash_type=0x22, fanout=8)
    bucket = 0x006E88DF5847E67C >> 61  # of the name below, in a shard of 8
    fields.data = bytes([1 << bucket])
    root = pb([(f"{bucket:X}", LEAF)], fields)
    await store.put_many([LEAF, root])
    with pytest.raises(NotADirectory, match="not a shard"):
        await resolve(store, root.cid, "470.txt")

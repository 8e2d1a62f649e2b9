"""CARs from the gateway: which blocks, in which order, under which headers, and how they break off."""

from __future__ import annotations

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID, DAG_CBOR, DAG_PB, Block, CarDecoder, PBLink, PBNode, dagcbor, dagpb
from sessionctx.errors import BlockNotFound, CarTruncated
from tests.serve.conftest import Counting, about


@pytest.fixture
def app(tree):
    return serve.gateway(tree.store)


def blocks_of(data: bytes) -> list[CID]:
    """The CIDs in a whole CAR, each block checked."""
    decoder = CarDecoder()
    sections = decoder.feed(data)
    decoder.finish()
    return [Block(cid, data).cid for cid, data in sections]


async def test_a_car_is_served_with_all_that_a_client_wants_to_know(app, ask, tree):
    answer = await ask(app, f"/ipfs/{tree.root}/sub?format=car")
    assert (answer.status, answer.whole) == (200, True)
    etag = answer.headers.pop("etag")
    assert etag.startswith('W/"all.dfs.n.')
    assert etag.endswith(f'{tree.root}.car"')
    assert about(answer) == {
        "content-type": "application/vnd.ipld.car;version=1;order=dfs;dups=n",
        "content-disposition": f'attachment; filename="{tree.root}.car"',
        "cache-control": "public, max-age=29030400, immutable",
        "vary": "Accept",
        "x-content-type-options": "nosniff",
        "accept-ranges": "none",
        "ipfs-uri": f"ipfs://{CID.new(1, tree.root.codec, tree.root.multihash)}/sub",
        "x-ipfs-path": f"/ipfs/{tree.root}/sub",
        "x-ipfs-roots": f"{tree.root},{tree.sub}",
    }
    decoder = CarDecoder()
    decoder.feed(answer.body)
    assert decoder.roots == (tree.root,)


async def test_accept_may_say_more_of_a_car_than_its_format_does(app, ask, tree):
    plain = await ask(app, f"/ipfs/{tree.root}?format=car")
    twice = await ask(app, f"/ipfs/{tree.root}?format=car", accept="application/vnd.ipld.car;dups=y")
    assert len(twice.body) > len(plain.body)
    assert plain.headers["vary"] == twice.headers["vary"] == "Accept"
    assert plain.headers["etag"] != twice.headers["etag"]
    said = await ask(app, f"/ipfs/{tree.root}?format=car&car-dups=n", accept="application/vnd.ipld.car;dups=y")
    assert said.body == plain.body
    assert "vary" not in said.headers


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", lambda t: [t.root, t.sub, t.multi, *t.leaves, t.hello]),
        ("&dag-scope=all", lambda t: [t.root, t.sub, t.multi, *t.leaves, t.hello]),
        ("&dag-scope=block", lambda t: [t.root]),
        ("&dag-scope=entity", lambda t: [t.root]),
        ("&entity-bytes=0:*", lambda t: [t.root]),
        ("&car-dups=y", lambda t: [t.root, t.sub, t.multi, *t.leaves, t.hello, t.multi, *t.leaves]),
    ],
)
async def test_a_folder_comes_as_the_scope_says(app, ask, tree, query, expected):
    answer = await ask(app, f"/ipfs/{tree.root}?format=car{query}")
    assert blocks_of(answer.body) == expected(tree)
    assert answer.headers["content-type"].endswith("dups=y" if "dups=y" in query else "dups=n")


@pytest.mark.parametrize(
    ("query", "leaves"),
    [
        ("", slice(0, 5)),
        ("&dag-scope=entity", slice(0, 5)),
        ("&dag-scope=block", slice(0, 0)),
        ("&entity-bytes=0:*", slice(0, 5)),
        ("&entity-bytes=512:*", slice(2, 5)),
        ("&entity-bytes=512:1023", slice(2, 4)),
        ("&entity-bytes=512:-256", slice(2, 4)),
        ("&entity-bytes=-5:*", slice(3, 5)),
        ("&entity-bytes=-9999:*", slice(0, 5)),
        ("&entity-bytes=-9999:-3", slice(0, 4)),
        ("&entity-bytes=0:0", slice(0, 1)),
        ("&entity-bytes=9999:*", slice(0, 0)),
    ],
)
async def test_a_file_comes_with_the_blocks_on_its_path_and_those_that_are_asked_for(app, ask, tree, query, leaves):
    answer = await ask(app, f"/ipfs/{tree.root}/sub/multi.txt?format=car{query}")
    assert blocks_of(answer.body) == [tree.root, tree.sub, tree.multi, *tree.leaves[leaves]]


async def test_bytes_that_are_here_are_served_even_if_others_are_not(app, ask, tree):
    tree.store.lost = {tree.leaves[1]}
    first = await ask(app, f"/ipfs/{tree.multi}?format=car&entity-bytes=0:255")
    last = await ask(app, f"/ipfs/{tree.multi}?format=car&entity-bytes=512:*")
    assert blocks_of(first.body) == [tree.multi, tree.leaves[0]]
    assert blocks_of(last.body) == [tree.multi, *tree.leaves[2:]]


async def test_head_says_what_get_would_say_and_reads_one_block(app, ask, tree):
    head = await ask(app, f"/ipfs/{tree.root}/sub/multi.txt?format=car", "HEAD")
    assert tree.store.read == [tree.root, tree.sub, tree.multi]
    get = await ask(app, f"/ipfs/{tree.root}/sub/multi.txt?format=car")
    assert (head.status, head.body, head.headers) == (200, b"", get.headers)


async def test_each_shape_has_its_own_etag(app, ask, tree):
    shapes = ["", "&dag-scope=block", "&dag-scope=entity", "&entity-bytes=0:5", "&entity-bytes=0:6", "&car-dups=y"]
    targets = [f"/ipfs/{tree.multi}?format=car{shape}" for shape in shapes]
    targets += [f"/ipfs/{tree.root}/sub?format=car", f"/ipfs/{tree.root}?format=car", f"/ipfs/{tree.root}?format=raw"]
    etags = [(await ask(app, target, "HEAD")).headers["etag"] for target in targets]
    assert len(set(etags)) == len(etags)
    for target, etag in zip(targets, etags, strict=True):
        again = await ask(app, target, if_none_match=etag)
        assert (again.status, again.body) == (304, b"")


async def test_the_canonical_address_is_told_where_accept_decided(app, ask, tree):
    accept = "application/vnd.ipld.car; dups=y"
    answer = await ask(app, f"/ipfs/{tree.multi}?entity-bytes=0:5", accept=accept)
    expected = "format=car&dag-scope=entity&entity-bytes=0:5&car-version=1&car-order=dfs&car-dups=y"
    assert answer.headers["content-location"] == f"/ipfs/{tree.multi}?{expected}"
    again = await ask(app, answer.headers["content-location"])
    assert (again.body, again.headers["etag"]) == (answer.body, answer.headers["etag"])


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/sub/nothing", 404, b"nothing"),
        ("/sub/hello.txt/deeper", 404, b"hello.txt"),
        ("/..", 404, b"above"),
        ("/" + "a/" * 2000, 422, b"segments"),
    ],
)
async def test_a_path_that_leads_nowhere_has_a_status_of_its_own(app, ask, tree, path, status, why):
    for method in ("GET", "HEAD"):
        answer = await ask(app, f"/ipfs/{tree.root}{path}?format=car", method)
        assert answer.status == status
    assert why in (await ask(app, f"/ipfs/{tree.root}{path}?format=car")).body


async def test_a_long_path_makes_no_long_header(ask):
    store, top = MemoryBlockstore(), Block.of(b"end")
    await store.put(top)
    for _ in range(70):
        top = Block.of(dagcbor.encode({"a": top.cid}), codec=DAG_CBOR)
        await store.put(top)
    for depth in (63, 64):
        answer = await ask(serve.gateway(store), f"/ipfs/{top.cid}{'/a' * depth}?format=car")
        assert answer.headers.get("x-ipfs-roots", "").count(",") == (63 if depth == 63 else 0)


async def test_a_root_that_is_not_here_is_not_found(app, ask):
    missing = Block.of(b"elsewhere", codec=DAG_PB).cid
    for method in ("GET", "HEAD"):
        assert (await ask(app, f"/ipfs/{missing}?format=car", method)).status == 404
    assert (await ask(app, f"/ipfs/{missing}?format=car", cache_control="only-if-cached")).status == 412


async def test_blocks_that_are_no_dag_are_refused(app, ask, tree):
    broken = Block.of(b"\xff\xff", codec=DAG_PB)
    await tree.store.put(broken)
    answer = await ask(app, f"/ipfs/{broken.cid}?format=car")
    assert answer.status == 422
    assert b"do not form" in answer.body
    unknown = Block.of(b"who knows", codec=0x300001)
    await tree.store.put(unknown)
    assert (await ask(app, f"/ipfs/{unknown.cid}?format=car")).status == 501
    assert (await ask(app, f"/ipfs/{unknown.cid}?format=car&dag-scope=block")).status == 200


@pytest.mark.parametrize("inline", [Block.of(b"", hash=0), Block.of(b"hello identity", hash=0)])
@pytest.mark.parametrize("dups", ["y", "n"])
async def test_identity_blocks_are_never_in_a_car(app, ask, inline, dups):
    answer = await ask(app, f"/ipfs/{inline.cid}?format=car&car-dups={dups}")
    assert (answer.status, blocks_of(answer.body)) == (200, [])
    decoder = CarDecoder()
    decoder.feed(answer.body)
    assert decoder.roots == (inline.cid,)


async def test_paths_go_through_data(app, ask, tree):
    document = Block.of(dagcbor.encode({"files": [tree.hello]}), codec=DAG_CBOR)
    await tree.store.put(document)
    answer = await ask(app, f"/ipfs/{document.cid}/files/0?format=car")
    assert blocks_of(answer.body) == [document.cid, tree.hello]
    assert answer.headers["x-ipfs-roots"] == f"{document.cid},{tree.hello}"
    entity = await ask(app, f"/ipfs/{document.cid}?format=car&dag-scope=entity")
    assert blocks_of(entity.body) == [document.cid]


# --- big ones


@pytest.fixture
async def big():
    """A store with a file of 4 MiB in blocks of 64 KiB; the CIDs in order."""
    store = Counting()
    leaves = [Block.of(bytes([n]) * 65536) for n in range(64)]
    root = Block.of(dagpb.encode(PBNode(tuple(PBLink(leaf.cid, "", 65536) for leaf in leaves), None)), codec=DAG_PB)
    await store.put_many([root, *leaves])
    return store, [root.cid, *(leaf.cid for leaf in leaves)]


async def test_a_big_car_goes_out_in_big_pieces(ask, big):
    store, cids = big
    answer = await ask(serve.gateway(store), f"/ipfs/{cids[0]}?format=car")
    assert blocks_of(answer.body) == cids
    assert all(256 * 1024 <= len(piece) < 512 * 1024 for piece in answer.pieces[:-1])


async def test_a_reader_that_takes_its_time_makes_us_wait_and_hold_little(scope_of, big):
    store, cids = big
    reading = trio.Event()

    async def send(message):
        if message.get("body"):
            reading.set()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        app = serve.gateway(store)
        nursery.start_soon(app, scope_of(f"/ipfs/{cids[0]}?format=car"), trio.sleep_forever, send)
        await reading.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert len(store.read) < 20
        nursery.cancel_scope.cancel()


async def test_a_car_that_cannot_be_finished_is_cut(ask, big):
    store, cids = big
    store.lost = {cids[-1]}
    answer = await ask(serve.gateway(store), f"/ipfs/{cids[0]}?format=car")
    assert (answer.status, answer.whole) == (200, False)
    assert isinstance(answer.error, BlockNotFound)


async def test_a_small_car_that_cannot_be_finished_is_an_error_at_once(app, ask, tree):
    tree.store.lost = {tree.leaves[3]}
    answer = await ask(app, f"/ipfs/{tree.root}?format=car")
    assert (answer.status, answer.error) == (404, None)


async def test_the_reader_of_a_cut_car_notices(big, nursery):
    store, cids = big
    store.lost = {cids[-1]}
    url = await nursery.start(serve.run, serve.gateway(store))
    decoder, whole = CarDecoder(), []
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            async with client.stream("GET", f"{url}/ipfs/{cids[0]}?format=car") as answer:
                assert answer.headers["transfer-encoding"] == "chunked"
                async for piece in answer.aiter_raw():
                    whole += decoder.feed(piece)
    assert [cid for cid, _ in whole] == cids[: len(whole)]
    with pytest.raises(CarTruncated):
        decoder.feed(b"\x05")
        decoder.finish()
    nursery.cancel_scope.cancel()


async def test_a_client_that_goes_away_in_the_middle_is_not_read_for(big, nursery):
    store, cids = big
    url = await nursery.start(serve.run, serve.gateway(store))
    async with httpx.AsyncClient() as client, client.stream("GET", f"{url}/ipfs/{cids[0]}?format=car") as answer:
        assert answer.status_code == 200
    await trio.sleep(0.2)
    read = len(store.read)
    await trio.sleep(0.1)
    assert len(store.read) == read
    nursery.cancel_scope.cancel()


# --- any DAG


nodes = st.recursive(
    st.binary(max_size=6).map(lambda data: [Block.of(data)]),
    lambda children: st.lists(children, max_size=4).map(
        lambda found: [
            Block.of(dagpb.encode(PBNode(tuple(PBLink(c[0].cid, "", None) for c in found), None)), codec=DAG_PB),
            *(block for child in found for block in child),
        ]
    ),
    max_leaves=12,
)


@given(nodes, st.booleans())
def test_a_car_is_the_depth_first_walk_of_its_dag(blocks, dups):
    """Whatever the DAG, the CAR is its blocks in depth-first order, repeated or not as was asked."""
    body = b""

    async def send(message):
        nonlocal body
        await trio.lowlevel.checkpoint()
        body += message.get("body", b"")

    async def main():
        store = MemoryBlockstore()
        await store.put_many(blocks)
        scope = {"type": "http", "method": "GET", "raw_path": f"/ipfs/{blocks[0].cid}".encode(), "headers": []}
        scope["query_string"] = b"format=car&car-dups=" + (b"y" if dups else b"n")
        await serve.gateway(store)(scope, trio.sleep_forever, send)

    trio.run(main)
    expected = [block.cid for block in blocks]
    assert blocks_of(body) == (expected if dups else list(dict.fromkeys(expected)))

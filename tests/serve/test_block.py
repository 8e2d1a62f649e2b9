"""Raw blocks from the gateway: headers, ranges, conditions, errors."""

from __future__ import annotations

import asyncio

import pytest
import trio

from sessionctx import Node, serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID, DAG_PB, Block
from sessionctx.errors import BlockNotFound, FetchFailed, LimitReached, NoPeers, NotInTrio, StoreCorrupt, Unsupported
from tests.serve.conftest import about

BLOCK = Block.of(bytes(range(256)))
MISSING = Block.of(b"not stored").cid


@pytest.fixture
async def app():
    store = MemoryBlockstore()
    await store.put(BLOCK)
    return serve.gateway(store)


async def test_a_block_is_served_with_all_that_a_client_wants_to_know(app, ask):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw")
    assert (answer.status, answer.body, answer.whole) == (200, BLOCK.data, True)
    assert about(answer) == {
        "content-type": "application/vnd.ipld.raw",
        "content-length": "256",
        "content-disposition": f'attachment; filename="{BLOCK.cid}.bin"',
        "etag": f'"{BLOCK.cid}.raw"',
        "cache-control": "public, max-age=29030400, immutable",
        "x-content-type-options": "nosniff",
        "accept-ranges": "bytes",
        "ipfs-uri": f"ipfs://{BLOCK.cid}",
        "x-ipfs-path": f"/ipfs/{BLOCK.cid}",
        "x-ipfs-roots": str(BLOCK.cid),
    }


async def test_any_script_may_read_it(app, ask):
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", method)
        assert answer.status == (204 if method == "OPTIONS" else 200)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
        assert "Range" in answer.headers["access-control-allow-headers"]
        assert "Ipfs-Uri" in answer.headers["access-control-expose-headers"]


async def test_a_block_at_the_end_of_a_path(ask, tree):
    app = serve.gateway(tree.store)
    answer = await ask(app, f"/ipfs/{tree.root}/sub?format=raw")
    assert answer.body == (await tree.store.get(tree.sub)).data
    assert answer.headers["etag"] == f'"{tree.sub}.raw"'
    assert answer.headers["x-ipfs-roots"] == f"{tree.root},{tree.sub}"
    again = await ask(app, f"/ipfs/{tree.root}/sub?format=raw", if_none_match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert (await ask(app, f"/ipfs/{tree.root}/sub?format=raw", if_none_match=f'"{tree.root}.raw"')).status == 200


async def test_a_trustless_gateway_serves_what_can_be_verified_and_no_more(ask):
    store = MemoryBlockstore()
    await store.put(BLOCK)
    app = serve.gateway(store, trustless=True)
    assert (await ask(app, f"/ipfs/{BLOCK.cid}?format=raw")).body == BLOCK.data
    for target in (f"/ipfs/{BLOCK.cid}", f"/ipfs/{BLOCK.cid}?format=tar", f"/ipfs/{BLOCK.cid}?format=dag-json"):
        assert (await ask(app, target, accept="text/html")).status == 406
    assert (await ask(app, f"/ipfs/{BLOCK.cid}/a?format=raw")).status == 400


async def test_without_format_the_answer_says_that_it_depends_on_accept(app, ask):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}", accept="application/vnd.ipld.raw")
    assert answer.body == BLOCK.data
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-location"] == f"/ipfs/{BLOCK.cid}?format=raw"


async def test_head_is_get_without_the_body(app, ask):
    head = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", "HEAD", range="bytes=0-1")
    get = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw")
    assert (head.status, head.body, head.headers) == (200, b"", get.headers)


async def test_a_block_is_found_under_every_name_of_its_bytes(app, ask):
    other = CID.new(1, DAG_PB, BLOCK.cid.multihash)
    assert (await ask(app, f"/ipfs/{other}?format=raw")).body == BLOCK.data
    base36 = await ask(app, f"/ipfs/{BLOCK.cid.encode(base='base36')}?format=raw")
    assert base36.body == BLOCK.data
    assert base36.headers["x-ipfs-roots"] == str(BLOCK.cid)


async def test_the_probe_path_answers(app, ask):
    answer = await ask(app, "/ipfs/bafkqaaa?format=raw")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    assert (await ask(app, "/ipfs/bafkqaaa?format=raw", "HEAD")).status == 200


async def test_identity_cids_are_answered_from_themselves(app, ask):
    inline = Block.of(b"hello", hash=0)
    assert (await ask(app, f"/ipfs/{inline.cid}?format=raw")).body == b"hello"


@pytest.mark.parametrize(
    ("asked", "part", "says"),
    [
        ("bytes=0-9", slice(0, 10), "bytes 0-9/256"),
        ("bytes=250-", slice(250, 256), "bytes 250-255/256"),
        ("bytes=-6", slice(250, 256), "bytes 250-255/256"),
        ("bytes=-999", slice(0, 256), "bytes 0-255/256"),
        ("bytes=255-999", slice(255, 256), "bytes 255-255/256"),
    ],
)
async def test_a_range_is_served(app, ask, asked, part, says):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", range=asked)
    assert (answer.status, answer.body) == (206, BLOCK.data[part])
    assert answer.headers["content-range"] == says
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=-", "bytes=9-3", "bytes=a-b", "", "bytes=" + "9" * 40 + "-"])
async def test_a_range_that_is_none_is_answered_with_everything(app, ask, asked):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", range=asked)
    assert (answer.status, answer.body) == (200, BLOCK.data)


async def test_of_several_ranges_the_first_is_served(app, ask):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", range="bytes=6-16,0-4")
    assert (answer.status, answer.body) == (206, BLOCK.data[6:17])
    assert answer.headers["content-range"] == "bytes 6-16/256"


@pytest.mark.parametrize("asked", ["bytes=256-", "bytes=300-400", "bytes=-0"])
async def test_a_range_outside_is_refused(app, ask, asked):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", range=asked)
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */256")


async def test_a_range_of_another_version_is_not_served(app, ask):
    right = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", range="bytes=0-9", if_range=f'"{BLOCK.cid}.raw"')
    wrong = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", range="bytes=0-9", if_range='"other"')
    assert (right.status, wrong.status) == (206, 200)


@pytest.mark.parametrize("held", ['"{0}.raw"', 'W/"{0}.raw"', '"x", "{0}.raw"', "*"])
async def test_what_a_client_holds_is_not_sent_again(app, ask, held):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", if_none_match=held.format(BLOCK.cid))
    assert (answer.status, answer.body, answer.whole) == (304, b"", True)
    assert answer.headers["etag"] == f'"{BLOCK.cid}.raw"'


async def test_what_is_not_here_has_not_stayed_the_same(app, ask):
    assert (await ask(app, f"/ipfs/{MISSING}?format=raw", if_none_match="*")).status == 404


async def test_what_a_client_holds_of_another_format_is_sent(app, ask):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", if_none_match=f'"{BLOCK.cid}.car"')
    assert answer.status == 200


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cat.bin", 'attachment; filename="cat.bin"'),
        ("a%20b.bin", 'attachment; filename="a b.bin"'),
        ("%D1%8F.bin", "attachment; filename=\"_.bin\"; filename*=UTF-8''%D1%8F.bin"),
        ("a%22%0D%0Ab", "attachment; filename=\"a___b\"; filename*=UTF-8''a%22%0D%0Ab"),
    ],
)
async def test_a_file_name_is_given_as_the_client_likes_it(app, ask, name, says):
    answer = await ask(app, f"/ipfs/{BLOCK.cid}?format=raw&filename={name}")
    assert answer.headers["content-disposition"] == says


async def test_what_is_not_here_is_not_found(app, ask):
    answer = await ask(app, f"/ipfs/{MISSING}?format=raw")
    assert (answer.status, answer.body) == (404, b"It is not here.\n")
    assert answer.headers["cache-control"] == "no-store"
    head = await ask(app, f"/ipfs/{MISSING}?format=raw", "HEAD")
    assert (head.status, head.body) == (404, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


async def test_only_if_cached_asks_for_no_effort(app, ask):
    assert (await ask(app, f"/ipfs/{MISSING}?format=raw", cache_control="only-if-cached")).status == 412
    assert (await ask(app, f"/ipfs/{BLOCK.cid}?format=raw", cache_control="only-if-cached")).status == 200


async def test_bad_requests_get_helpful_texts(app, ask):
    answer = await ask(app, "/ipfs/hello?format=raw")
    assert answer.status == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"no CID" in answer.body
    refused = await ask(app, f"/ipfs/{BLOCK.cid}", "PUT")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


class Failing(MemoryBlockstore):
    """A store that fails with *error*."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    async def get(self, cid):
        await trio.lowlevel.checkpoint()
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BlockNotFound("no"), 404),
        (NoPeers("secret"), 404),
        (FetchFailed("secret"), 502),
        (LimitReached("secret"), 503),
        (Unsupported("hash function 7 is not known"), 501),
        (StoreCorrupt("secret"), 500),
    ],
)
async def test_errors_below_become_statuses_and_keep_our_secrets(ask, error, status):
    answer = await ask(serve.gateway(Failing(error)), f"/ipfs/{MISSING}?format=raw")
    assert (answer.status, answer.error) == (status, None)
    assert b"secret" not in answer.body


async def test_our_own_failures_are_logged(ask, caplog):
    await ask(serve.gateway(Failing(StoreCorrupt("page 7"))), f"/ipfs/{MISSING}?format=raw")
    await ask(serve.gateway(Failing(BlockNotFound("no"))), f"/ipfs/{MISSING}?format=raw")
    assert caplog.messages == [f"/ipfs/{MISSING}: page 7"]


def test_under_asyncio_the_gateway_says_so(scope_of):
    app = serve.gateway(MemoryBlockstore())
    with pytest.raises(NotInTrio, match=r"serve.gateway was called under asyncio"):
        asyncio.run(app(scope_of("/"), None, None))


async def test_errors_that_nobody_expects_go_to_the_server(ask):
    answer = await ask(serve.gateway(Failing(ZeroDivisionError())), f"/ipfs/{MISSING}?format=raw")
    assert isinstance(answer.error, ZeroDivisionError)


class Hanging(MemoryBlockstore):
    async def get(self, cid):
        await trio.sleep_forever()


async def test_a_client_that_goes_away_is_not_worked_for(ask, autojump_clock):
    async def receive():
        await trio.sleep(5)
        return {"type": "http.disconnect" if trio.current_time() > 7 else "http.request"}

    answer = await ask(serve.gateway(Hanging()), f"/ipfs/{MISSING}?format=raw", receive=receive)
    assert (answer.status, answer.error) == (0, None)
    assert trio.current_time() == pytest.approx(10)


async def test_websockets_are_refused_and_lifespan_is_answered():
    app, sent = serve.gateway(MemoryBlockstore()), []

    async def send(message):
        sent.append(message["type"])

    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(events)}

    await app({"type": "websocket"}, receive, send)
    await app({"type": "lifespan"}, receive, send)
    assert sent == ["websocket.close", "lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_gateway_is_given_a_store():
    with pytest.raises(TypeError, match=r"node\.store, or node\.blocks"):
        serve.gateway(Node.over(MemoryBlockstore()))

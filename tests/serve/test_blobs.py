"""Blobs over HTTP: what a request for one is answered with, and what else is refused."""

from __future__ import annotations

import functools
import hashlib
import itertools

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node, serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import Block
from sessionctx.errors import AccessDenied
from sessionctx.serve import ranges
from sessionctx.serve.request import Refused
from sessionctx.share import BlobShare
from sessionctx.storage import MemoryStorage

DATA = bytes(range(100)) * 30_000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
ETAG = f'"{DIGEST}"'


@pytest.fixture
async def share():
    async with BlobShare.open(MemoryStorage()) as share:
        await share.share("a b", DATA)
        await share.share("empty", b"")
        yield share


@pytest.fixture
def get(share, ask):
    return functools.partial(ask, serve.blobs(share))


async def test_a_blob_is_served_with_its_digest(get, share):
    answer = await get("/blobs/a%20b")
    assert (answer.status, answer.body, answer.whole) == (200, DATA, True)
    assert max(map(len, answer.pieces)) <= 1024 * 1024
    assert answer.headers == {
        "content-type": "application/octet-stream",
        "content-length": "3000000",
        "etag": ETAG,
        "repr-digest": (await share.find("a b")).repr_digest,
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
    }
    head = await get("/blobs/a%20b", "HEAD")
    assert (head.status, head.headers, head.body, head.whole) == (200, answer.headers, b"", True)
    empty = await get("/blobs/empty")
    assert (empty.status, empty.headers["content-length"], empty.body, empty.whole) == (200, "0", b"", True)
    assert share.statistics().read.bytes == len(DATA)


@pytest.mark.parametrize(
    ("range_", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=2999990-", 2_999_990, 3_000_000),
        ("bytes=-10", 2_999_990, 3_000_000),
        ("bytes=-9999999", 0, 3_000_000),
        ("bytes=2999990-9999999", 2_999_990, 3_000_000),
    ],
)
async def test_a_range_is_served(get, range_, begin, end):
    answer = await get("/blobs/a%20b", range=range_)
    assert (answer.status, answer.body) == (206, DATA[begin:end])
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/3000000"
    assert answer.headers["content-length"] == str(end - begin)
    assert answer.headers["etag"] == ETAG


@pytest.mark.parametrize(
    "range_", ["bytes=0-1,5-6", "bytes=", "bytes=-", "bytes=5-4", "lines=1-2", "bytes=a-b", "bytes=" + "1" * 19 + "-"]
)
async def test_several_ranges_and_those_that_are_none_are_answered_with_all(get, range_):
    answer = await get("/blobs/a%20b", range=range_)
    assert (answer.status, len(answer.body)) == (200, len(DATA))
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("range_", ["bytes=3000000-", "bytes=-0", "bytes=9999999-99999999"])
async def test_a_range_outside_is_refused(get, range_):
    answer = await get("/blobs/a%20b", range=range_)
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */3000000")
    assert (await get("/blobs/empty", range="bytes=0-")).status == 416


@pytest.mark.parametrize(
    ("headers", "status", "length"),
    [
        ({"if_none_match": ETAG}, 304, 0),
        ({"if_none_match": f'"other", W/{ETAG}'}, 304, 0),
        ({"if_none_match": "*"}, 304, 0),
        ({"if_none_match": '"other"'}, 200, 3_000_000),
        ({"if_match": ETAG}, 200, 3_000_000),
        ({"if_match": "*"}, 200, 3_000_000),
        ({"if_match": f"W/{ETAG}"}, 412, None),
        ({"if_match": '"other"'}, 412, None),
        ({"if_match": '"other"', "if_none_match": ETAG}, 412, None),
        ({"range": "bytes=0-9", "if_range": ETAG}, 206, 10),
        ({"range": "bytes=0-9", "if_range": '"other"'}, 200, 3_000_000),
        ({"range": "bytes=0-9", "if_range": "Wed, 21 Oct 2015 07:28:00 GMT"}, 200, 3_000_000),
        ({"range": "bytes=0-9", "if_match": ETAG}, 206, 10),
        ({"range": "bytes=0-9", "if_none_match": ETAG}, 304, 0),
    ],
)
async def test_conditions(get, headers, status, length):
    answer = await get("/blobs/a%20b", **headers)
    assert answer.status == status
    assert answer.headers["etag"] == ETAG
    assert length is None or len(answer.body) == length


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/blobs/absent", 404),
        ("/", 404),
        ("/blobs", 404),
        ("/blobs/", 400),
        ("/blobs/../a", 400),
        ("/blobs/%2e%2e%2fa", 400),
        ("/blobs/.sha256", 400),
        ("/blobs/.sha256/a%20b", 400),
        ("/blobs/%ff", 400),
        ("/blobs/a%00", 400),
        ("/blobs/http%3A%2F%2Felsewhere%2Fx", 400),
    ],
)
async def test_what_is_no_blob_is_refused(get, path, status):
    answer = await get(path)
    assert (answer.status, answer.whole, answer.headers["cache-control"]) == (status, True, "no-store")
    assert answer.body
    head = await get(path, "HEAD")
    assert (head.status, head.body, head.headers) == (status, b"", answer.headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_blobs_are_only_read(get, method):
    answer = await get("/blobs/a%20b", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_node_gives_its_blocks_and_its_blobs_at_one_address(share, ask):
    node, block = Node.over(MemoryBlockstore()), Block.of(b"x")
    await node.store.put(block)
    app = serve.blobs(share, serve.gateway(node.store))
    assert (await ask(app, f"/ipfs/{block.cid}?format=raw")).body == b"x"
    assert (await ask(app, "/blobs/a%20b")).status == 200
    assert (await ask(app, "/elsewhere")).status == 404
    assert (await ask(app, "/blobs/absent")).status == 404


async def test_lifespans_and_websockets(share):
    for otherwise in (None, serve.gateway(MemoryBlockstore())):
        sent, told = [], iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive(told=told):
            await trio.lowlevel.checkpoint()
            return {"type": next(told)}

        async def send(message, sent=sent):
            await trio.lowlevel.checkpoint()
            sent.append(message["type"])

        await serve.blobs(share, otherwise)({"type": "lifespan"}, receive, send)
        await serve.blobs(share, otherwise)({"type": "websocket"}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


class Closed(MemoryStorage):
    async def stat(self, path=""):
        await trio.lowlevel.checkpoint()
        raise AccessDenied("the password is 123")


async def test_what_is_wrong_with_the_storage_is_nobodys_business(ask):
    async with BlobShare.open(Closed()) as share:
        answer = await ask(serve.blobs(share), "/blobs/x")
    assert (answer.status, b"123" in answer.body) == (500, False)
    answer = await ask(serve.blobs(share), "/blobs/x")
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")


@pytest.mark.parametrize("wrong", ["", "8080", "host", "host:", "host:65536", "[::1]", "a b:80"])
def test_an_address_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="is no address"):
        serve.listening(wrong)


@given(st.integers(1, 50), st.none() | st.integers(0, 60), st.none() | st.integers(0, 60))
def test_a_range_is_what_the_specification_says(size, first, last):
    """Against the plainest reading of RFC 9110, section 14.1.2."""
    text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None and last is None:
        expected = list(range(size))
    elif first is None:
        expected = list(range(size))[size - min(last, size) :]
    elif last is not None and last < first:
        expected = list(range(size))
    else:
        expected = [n for n in range(size) if n >= first and (last is None or n <= last)]
    try:
        begin, end = ranges.span({"range": text}, size, '"t"') or (0, size)
    except Refused as refused:
        assert (refused.status, expected) == (416, [])
    else:
        assert list(range(begin, end)) == expected


def test_every_combination_of_conditions_has_an_answer():
    values = [None, "*", '"t"', 'W/"t"', '"other"', ""]
    for wanted, held in itertools.product(values, values):
        headers = {
            name: value for name, value in {"if-match": wanted, "if-none-match": held}.items() if value is not None
        }
        if wanted not in (None, "*", '"t"'):
            assert ranges.conditions(headers, '"t"') == 412
        else:
            assert ranges.conditions(headers, '"t"') == (304 if held in ("*", '"t"', 'W/"t"') else 200)

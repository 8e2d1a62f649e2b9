"""A trustless gateway as a peer: what it is asked, and what becomes of its answers."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import attrs
import pytest
import trio

from sessionctx.content import CID, DAG_PB, MAX_BLOCK
from sessionctx.errors import BadAnswer, Busy, Denied, InvalidPeer, NotHere, NotInTrio, PeerFailed
from sessionctx.testing.transport import Told
from sessionctx.transports import HTTP, Can, GatewayTransport, Transport

BLOCK = b"some bytes"
NAME = CID.of(BLOCK)


async def test_a_block(peer):
    there = await peer(peer.says(peer.reply(BLOCK)))
    told = Told()
    gateway = GatewayTransport(there.url + "/")
    assert await gateway.block(NAME, progress=told) == BLOCK
    assert told.total == len(BLOCK)
    head = there.requests[0].decode()
    assert head.startswith(f"GET /ipfs/{NAME}?format=raw HTTP/1.1\r\n")
    assert "\r\nAccept: application/vnd.ipld.raw\r\n" in head
    assert gateway.url == gateway.public == there.url


async def test_the_bytes_are_passed_on_unverified(peer):
    there = await peer(peer.says(peer.reply(b"a lie")))
    assert await GatewayTransport(there.url).block(NAME) == b"a lie"


OPEN = b"HTTP/1.0 200 OK\r\nContent-Type: application/vnd.ipld.raw\r\n\r\n"
"""The head of an answer whose body ends with the connection, and with nothing else."""


@pytest.mark.parametrize("body", [BLOCK[:4], b"", b"a lie of the same kind"])
async def test_a_block_that_may_have_been_cut_is_a_failure_and_no_lie(peer, body):
    there = await peer(peer.says(OPEN + body, close=True))
    with pytest.raises(PeerFailed, match="closed the connection, which is the only end of its answer"):
        await GatewayTransport(there.url).block(NAME)


async def test_a_block_without_a_length_that_is_whole_is_fine(peer):
    there = await peer(peer.says(OPEN + BLOCK, close=True))
    assert await GatewayTransport(there.url).block(NAME) == BLOCK
    unknown = CID.from_bytes(bytes([1, 0x55, 0x7F, 20]) + bytes(20))
    assert await GatewayTransport(there.url).block(unknown) == BLOCK


async def test_the_wait_for_our_own_connections_is_told_apart(peer):
    """Whoever had to wait for its turn is told when that ends: only then does the peer's time begin."""

    async def play(stream, head):
        await trio.sleep(0.05)
        await stream.send_all(peer.reply(BLOCK))

    there = await peer(play)
    gateway = GatewayTransport(there.url, http=HTTP(connections=1))
    begins = trio.current_time()
    calls = []

    @attrs.frozen
    class Noting:
        number: int

        def sent(self):
            calls.append((self.number, "sent", trio.current_time() - begins))

        def came(self, count):
            calls.append((self.number, count, trio.current_time() - begins))

    async def ask(number):
        await gateway.block(NAME, progress=Noting(number))

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
    assert [call[:2] for call in calls] == [(0, 10), (1, "sent"), (1, 10), (2, "sent"), (2, 10)]
    assert calls[1][2] >= 0.05
    assert calls[3][2] >= 0.1


async def test_a_prefix_and_credentials(peer):
    there = await peer(peer.says(peer.reply(BLOCK)))
    gateway = GatewayTransport(there.url.replace("http://", "HTTP://user:hunter2@") + "/some/prefix/")
    v0 = CID.of(b"\x0a\x00", codec=DAG_PB, version=0)
    assert await gateway.block(v0) == BLOCK
    assert there.requests[0].startswith(f"GET /some/prefix/ipfs/{v0}?format=raw ".encode())
    assert b"\r\nAuthorization: Basic dXNlcjpodW50ZXIy\r\n" in there.requests[0]
    assert gateway.public == there.url + "/some/prefix"
    assert gateway.url == there.url.replace("http://", "http://user:hunter2@") + "/some/prefix"
    assert repr(gateway) == f"GatewayTransport('{gateway.public}')"


def test_what_it_can_do():
    gateway: Transport = GatewayTransport("https://example.org")
    assert gateway.can == Can(car=True)
    assert not GatewayTransport("https://example.org", can=Can()).can.car
    assert GatewayTransport("https://example.org", http=HTTP(connections=3)).can.best_in_flight == 3
    with pytest.raises(InvalidPeer, match="write https://example"):
        GatewayTransport("example.org")


def test_under_asyncio():
    async def main():
        await GatewayTransport("http://127.0.0.1:1").block(NAME)

    async def main_car():
        async with GatewayTransport("http://127.0.0.1:1").car(NAME):
            pass

    for program in (main, main_car):
        with pytest.raises(NotInTrio, match=r"trio\.run"):
            asyncio.run(program())


STATUSES = [
    ("404 Not Found", NotHere, "does not have it .404."),
    ("412 Precondition Failed", NotHere, "does not have it .412."),
    ("410 Gone", Denied, "refuses to serve it, for good .410."),
    ("451 Unavailable For Legal Reasons", Denied, "refuses to serve it, for good .451."),
    ("429 Too Many Requests", Busy, "is busy .429.$"),
    ("502 Bad Gateway", Busy, "is busy .502.$"),
    ("503 Service Unavailable", Busy, "is busy .503.$"),
    ("504 Gateway Timeout", Busy, "is busy .504.$"),
    ("500 Internal Server Error", PeerFailed, "failed .500."),
    ("501 Not Implemented", PeerFailed, "failed .501."),
    ("599 Odd", PeerFailed, "failed .599."),
    ("400 Bad Request", BadAnswer, "answered 400: .*is this a gateway"),
    ("401 Unauthorized", BadAnswer, "answered 401: it wants credentials"),
    ("403 Forbidden", BadAnswer, "answered 403: it does not let us in"),
    ("406 Not Acceptable", BadAnswer, "answered 406: it cannot send this"),
    ("418 I'm a teapot", BadAnswer, "answered 418$"),
    ("204 No Content", BadAnswer, "answered 204$"),
    ("206 Partial Content", BadAnswer, "answered 206$"),
    ("302 Found", BadAnswer, "answered 302$"),
    ("304 Not Modified", BadAnswer, "answered 304$"),
    ("101 Switching Protocols", BadAnswer, "breaks the rules of HTTP|answered 101$"),
]


@pytest.mark.parametrize(("status", "error", "message"), STATUSES, ids=lambda value: str(value)[:3])
async def test_a_status_and_its_error(peer, status, error, message):
    there = await peer(peer.says(peer.reply(b"why", status=status)))
    gateway = GatewayTransport(there.url)
    with pytest.raises(error, match=message) as caught:
        await gateway.block(NAME)
    assert caught.value.peer == there.url
    assert str(caught.value).startswith(there.url + " ")
    with pytest.raises(error, match=message):
        async with gateway.car(NAME):
            pass


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": formatdate(1_000_090, usegmt=True), "Date": formatdate(1_000_000, usegmt=True)}, 90),
        ({"Retry_After": formatdate(1_000_000, usegmt=True), "Date": "yesterday"}, 0),
        ({"Retry_After": "never"}, None),
    ],
)
async def test_how_long_a_busy_peer_wants_to_be_left_alone(peer, headers, seconds):
    there = await peer(peer.says(peer.reply(status="429 Too Many Requests", **headers)))
    with pytest.raises(Busy) as caught:
        await GatewayTransport(there.url).block(NAME)
    assert caught.value.retry_after == seconds
    assert ("asks to wait" in str(caught.value)) == (seconds is not None)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text/html; charset=utf-8", "sent 'text/html': is this a gateway"),
        ("application/octet-stream", "sent 'application/octet-stream', not application/vnd.ipld.raw"),
        ("application/vnd.ipld.car", "sent 'application/vnd.ipld.car', not application/vnd.ipld.raw"),
        ("x" * 5000, "sent 'xxxx"),
        (None, "sent data without a Content-Type, not application/vnd.ipld.raw"),
    ],
)
async def test_another_type_than_was_asked_for(peer, kind, message):
    there = await peer(peer.says(peer.reply(BLOCK, kind=kind)))
    with pytest.raises(BadAnswer, match=message) as caught:
        await GatewayTransport(there.url).block(NAME)
    assert len(str(caught.value)) < 300


async def test_the_largest_block_and_one_byte_more(peer):
    there = await peer(peer.says(peer.reply(bytes(MAX_BLOCK))))
    assert await GatewayTransport(there.url).block(NAME) == bytes(MAX_BLOCK)
    there = await peer(peer.says(peer.reply(bytes(MAX_BLOCK + 1))))
    with pytest.raises(BadAnswer, match="announces 2097153 bytes where at most 2097152"):
        await GatewayTransport(there.url).block(NAME)
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.raw\r\n\r\n"
    there = await peer(peer.for_ever(start, bytes(100_000)))
    with pytest.raises(BadAnswer, match="sends more than the 2097152 bytes"):
        await GatewayTransport(there.url).block(NAME)


async def test_limits_are_those_of_its_http(peer):
    there = await peer()
    with trio.fail_after(5), pytest.raises(Exception, match=r"within 0\.05 s"):
        await GatewayTransport(there.url, http=HTTP(header=0.05)).block(NAME)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://a.example/one", "https://a.example:443"),
        ("https://user:secret@A.example:443/two", "https://a.example:443"),
        ("http://[::1]:8080", "http://::1:8080"),
    ],
)
def test_gateways_at_one_host_and_port_have_one_endpoint(url, endpoint):
    assert GatewayTransport(url).endpoint == endpoint

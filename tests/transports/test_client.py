"""Where httpx comes in: our pool below its client, and its client in place of our pool."""

from __future__ import annotations

import gzip
from contextlib import suppress
from functools import partial

import httpx
import hypercorn.config
import hypercorn.trio
import pytest
import trio

from sessionctx.content import CID
from sessionctx.errors import BadAnswer, PeerFailed, Stalled, Unreachable
from sessionctx.transports import HTTP, GatewayTransport, HttpxTransport

OK = b"HTTP/1.1 200 OK\r\n"


def pooled(**options) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=HttpxTransport(**options), trust_env=False)


async def fetch(url: str, http: HTTP) -> bytes:
    async with http.get(url, peer="the peer") as response:
        return await response.read()


@pytest.fixture
async def echo(peer):
    """A server that answers each request with its whole self; on the path /refuse, as soon as the head is there."""

    async def handle(stream):
        got = b""
        while chunk := await stream.receive_some():
            got += chunk
            head, end, body = got.partition(b"\r\n\r\n")
            if end and b" /refuse " in head:
                await stream.send_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await stream.aclose()
                return
            if end and (body.endswith((b"0\r\n\r\n", b"!")) or head.startswith((b"GET", b"HEAD"))):
                await stream.send_all(peer.reply(b"" if head.startswith(b"HEAD") else got))
                got = b""

    return f"http://127.0.0.1:{await peer.listen(handle)}"


# --- our pool below its client


async def test_an_httpx_client_uses_the_connections_of_the_door(peer):
    there = await peer(peer.says(peer.reply(b"x" * 100_000)))
    assert len(await fetch(there.url, HTTP())) == 100_000
    async with pooled() as client:
        for _ in range(3):
            answer = await client.get(there.url + "/a?b", headers={"X-Some": "thing"})
            assert (answer.status_code, answer.reason_phrase, answer.http_version) == (200, "OK", "HTTP/1.1")
            assert len(answer.content) == 100_000
    assert len(await fetch(there.url, HTTP())) == 100_000
    assert b"GET /a?b HTTP/1.1\r\n" in there.requests[1]
    assert b"X-Some: thing\r\n" in there.requests[1]
    assert there.opened == 1


async def test_what_a_client_does_it_does_here_too(peer):
    """Authentication, redirects and hooks are the client's."""
    seen = []

    async def play(stream, head):
        moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
        await stream.send_all(peer.reply(b"here") if b" /there " in head else moved)

    async def hook(response):
        seen.append(response.status_code)

    there = await peer(play)
    async with pooled() as client:
        client.auth, client.event_hooks = httpx.BasicAuth("user", "word"), {"response": [hook]}
        assert (await client.get(there.url, follow_redirects=True)).text == "here"
    assert seen == [302, 200]
    assert all(b"\r\nAuthorization: Basic " in head for head in there.requests)


async def test_over_tls(peer, server_tls, client_tls):
    there = await peer(peer.says(peer.reply(b"x" * 300_000)), tls=server_tls)
    async with pooled(tls=client_tls) as client:
        for _ in range(2):
            assert len((await client.get(there.url)).content) == 300_000
    assert there.opened == 1
    async with pooled() as client:
        with pytest.raises(httpx.ConnectError, match="certificate is not trusted"):
            await client.get(there.url)


async def pieces():
    yield b"some "
    yield b"pieces"


async def test_bodies_are_sent_whole_or_in_pieces(echo):
    async with pooled() as client:
        assert (await client.post(echo, content=b"whole!")).content.endswith(b"\r\n\r\nwhole!")
        sent = (await client.put(echo, content=pieces())).content
        assert sent.endswith(b"\r\n\r\n5\r\nsome \r\n6\r\npieces\r\n0\r\n\r\n")
        assert (await client.head(echo)).content == b""
        assert (await client.get(echo)).content.startswith(b"GET / ")


async def test_a_refusal_before_the_body_has_come_to_its_end_is_an_answer(echo):
    class Endless:
        def __aiter__(self):
            return self

        async def __anext__(self):
            await trio.lowlevel.checkpoint()
            return bytes(10_000)

    async with pooled() as client:
        with suppress(httpx.ReadError):  # a reset may overtake the answer: that is TCP
            assert (await client.post(echo + "/refuse", content=Endless())).status_code == 413


async def test_what_must_not_be_sent_twice_is_not(peer):
    served = 0

    async def play(stream, head):
        nonlocal served
        served += 1
        await (stream.send_all(peer.reply(b"fine")) if served == 1 else stream.aclose())

    there = await peer(play)
    async with pooled() as client:
        await client.get(there.url)
        with pytest.raises(httpx.ReadError):
            await client.post(there.url, content=b"once\r\n\r\n")
    assert there.opened == 1


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"junk\r\n\r\n", httpx.RemoteProtocolError),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", httpx.RemoteProtocolError),
        (OK + b"Content-Length: 9\r\n\r\nhalf", httpx.ReadError),
        (b"", httpx.ReadError),
    ],
)
async def test_troubles_are_the_errors_of_httpx(peer, sent, error):
    there = await peer(peer.says(sent, close=True))
    async with pooled() as client:
        with pytest.raises(error):
            await client.get(there.url)
    await there.wait_for(lambda: there.closed == there.opened == 1)


async def test_requests_that_cannot_be_sent():
    async with pooled() as client:
        for url in ("ftp://example.org", "http://exa mple.org"):
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get(url)
        with pytest.raises(httpx.ConnectError):
            await client.get("http://127.0.0.1:1")


async def test_a_header_that_cannot_be_sent(peer):
    there = await peer(peer.says(peer.reply(b"fine")))
    async with pooled() as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.get(there.url, headers={"X": "a\nb"})
        assert (await client.get(there.url)).text == "fine"


async def test_the_time_limits_of_the_client_are_kept(peer):
    head, body = await peer(peer.silence), await peer(peer.says(OK + b"Content-Length: 9\r\n\r\nhalf"))
    async with pooled(connections=1) as client:
        client.timeout = httpx.Timeout(None, read=0.05)
        for there in (head, body):
            with pytest.raises(httpx.ReadTimeout):
                await client.get(there.url)
            await there.wait_for(lambda there=there: there.closed == there.opened == 1)
        client.timeout = httpx.Timeout(None, pool=0.05)
        async with client.stream("GET", body.url):
            with pytest.raises(httpx.PoolTimeout):
                await client.get(body.url)


async def test_a_body_may_take_longer_to_send_than_the_answer_to_come(echo):
    async def slowly():
        for _ in range(4):
            await trio.sleep(0.05)
            yield b"x"

    async with pooled() as client:
        answer = await client.post(echo, content=slowly(), timeout=httpx.Timeout(None, read=0.1))
        assert answer.content.count(b"\r\nx\r\n") == 4


async def test_a_tls_handshake_that_hangs_is_given_up(peer, client_tls):
    async def hang(stream):
        await trio.sleep_forever()

    port = await peer.listen(hang)
    async with pooled(tls=client_tls) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(f"https://127.0.0.1:{port}", timeout=httpx.Timeout(None, connect=0.05))


async def test_an_answer_that_is_not_read_costs_its_connection_and_no_more(peer):
    there = await peer(peer.for_ever(OK + b"Content-Length: 999999999\r\n\r\n", b"x" * 1000))
    async with pooled(connections=1) as client:
        for _ in range(3):
            async with client.stream("GET", there.url) as answer:
                assert answer.status_code == 200
    await there.wait_for(lambda: there.closed == there.opened == 3)


async def test_a_cancelled_request_of_a_client_leaves_nothing(peer):
    there = await peer(peer.says(OK + b"Content-Length: 9\r\n\r\nhalf"))
    async with pooled(connections=1) as client:
        for _ in range(3):
            with trio.move_on_after(0.05) as scope:
                await client.get(there.url)
            assert scope.cancelled_caught
    await there.wait_for(lambda: there.closed == there.opened == 3)


# --- its client in place of our pool


async def test_a_client_that_is_handed_in_asks_as_it_was_set_up(peer):
    asked = []

    async def hook(request):
        asked.append(request.url.path)

    data = b"x" * 200_000
    there = await peer(peer.says(peer.reply(data)))
    options = {"auth": ("user", "word"), "headers": {"X-Some": "thing", "User-Agent": "mine"}}
    async with httpx.AsyncClient(trust_env=False, event_hooks={"request": [hook]}, **options) as client:
        gateway = GatewayTransport(there.url, http=HTTP(client=client))
        for _ in range(3):
            assert await gateway.block(CID.of(data)) == data
    assert asked == [f"/ipfs/{CID.of(data)}"] * 3
    assert there.opened == 1
    for line in (b"X-Some: thing", b"User-Agent: mine", b"Accept-Encoding: identity", b"Authorization: Basic dXNlcjp3"):
        assert line in there.requests[0]


async def test_the_credentials_of_a_client_stay_with_the_endpoint(peer):
    second = await peer(peer.says(peer.reply(b"here")))
    first = await peer(peer.says(f"HTTP/1.1 302 x\r\nLocation: {second.url}/\r\nContent-Length: 0\r\n\r\n".encode()))
    for secret in ({"auth": ("user", "word")}, {"headers": {"Authorization": "Bearer word"}}):
        async with httpx.AsyncClient(trust_env=False, **secret) as client:
            assert await fetch(first.url, HTTP(client=client)) == b"here"
    assert ["authorization" in head.decode().lower() for head in first.requests + second.requests] == [True] * 2 + [
        False
    ] * 2


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_client_inflates_nothing_whatever_it_asks_for_elsewhere(peer, coding):
    there = await peer(peer.says(peer.reply(gzip.compress(bytes(50_000_000)), Content_Encoding=coding)))
    async with httpx.AsyncClient(trust_env=False, headers={"Accept-Encoding": "gzip, zstd"}) as client:
        with pytest.raises(BadAnswer, match="encoded data though plain data was asked for"):
            await GatewayTransport(there.url, http=HTTP(client=client)).block(CID.of(b""))
        with pytest.raises(BadAnswer, match="encoded data though plain data was asked for"):
            async with GatewayTransport(there.url, http=HTTP(client=client)).car(CID.of(b"")):
                pass
    for head in there.requests:
        assert [line for line in head.lower().split(b"\r\n") if b"encoding" in line] == [b"accept-encoding: identity"]


async def test_a_client_with_a_proxy(peer):
    data = b"x" * 100_000
    proxy = await peer(peer.says(peer.reply(data)))
    address = proxy.url.replace("http://", "http://user:word@")
    async with httpx.AsyncClient(proxy=address, trust_env=False) as client:
        gateway = GatewayTransport("http://gw.example", http=HTTP(client=client))
        for _ in range(2):
            assert await gateway.block(CID.of(data)) == data
    assert proxy.opened == 1
    for line in (b"GET http://gw.example/ipfs/", b"Host: gw.example", b"Proxy-Authorization: Basic dXNlcjp3b3Jk"):
        assert b"\r\n" + line in b"\r\n" + proxy.requests[0]


async def test_a_proxy_beside_our_pool(peer):
    there, proxy = await peer(peer.says(peer.reply(b"pool"))), await peer(peer.says(peer.reply(b"proxy")))
    mounts = {"http://gw.example": httpx.AsyncHTTPTransport(proxy=proxy.url)}
    async with httpx.AsyncClient(transport=HttpxTransport(), mounts=mounts, trust_env=False) as client:
        assert (await client.get(there.url)).text == "pool"
        assert (await client.get("http://gw.example/x")).text == "proxy"


@pytest.fixture
async def http2(nursery):
    """A gateway that speaks HTTP/2, and gives no length: where it is, and what it was asked."""
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await trio.sleep_forever()
        seen.append(scope)
        kind = (b"content-type", b"application/vnd.ipld.raw")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        await send({"type": "http.response.body", "body": bytes(100_000)})

    config = hypercorn.config.Config()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    binds = await nursery.start(partial(hypercorn.trio.serve, app, config, mode="asgi"))
    return binds[0], seen


async def test_a_client_that_speaks_http_2(http2):
    url, seen = http2
    async with httpx.AsyncClient(http1=False, http2=True, trust_env=False) as client:
        gateway = GatewayTransport(url, http=HTTP(client=client))
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(gateway.block, CID.of(bytes(100_000)))
        assert await gateway.block(CID.of(b"else")) == bytes(100_000)  # it has an end: a lie would be a lie
    assert {scope["http_version"] for scope in seen} == {"2"}
    assert len({scope["client"] for scope in seen}) == 1
    assert all(dict(scope["headers"])[b"accept-encoding"] == b"identity" for scope in seen)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"junk\r\n\r\n", BadAnswer),
        (b"", PeerFailed),
        (OK + b"Content-Length: 9\r\n\r\nhalf", PeerFailed),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", BadAnswer),
    ],
)
async def test_the_troubles_of_a_client_are_told_in_our_errors(peer, sent, error):
    there = await peer(peer.says(sent, close=True))
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(error, match="the peer"):
            await fetch(there.url, HTTP(client=client))
        with pytest.raises(Unreachable):
            await fetch("http://127.0.0.1:1", HTTP(client=client))


@pytest.mark.parametrize("sent", [b"", OK + b"Content-Length: 9\r\n\r\nhalf"])
async def test_our_time_limits_rule(peer, sent):
    there = await peer(peer.says(sent))
    async with httpx.AsyncClient(trust_env=False, timeout=0.001) as client:
        with pytest.raises(Stalled):
            await fetch(there.url, HTTP(client=client, connect=0.1, header=0.1, idle=0.1))
    await there.wait_for(lambda: there.closed == 1)

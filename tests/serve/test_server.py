"""The server: how it starts, what it does to clients that do not read, and how it stops. Real sockets."""

from __future__ import annotations

import functools
import logging
import os

import httpx
import pytest
import trio

from sessionctx import serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import Block
from sessionctx.errors import BlockNotFound
from sessionctx.testing import faults

BLOCK = Block.of(bytes(100_000))
PIECE = bytes(1024 * 1024)


async def endless(scope, receive, send):
    """An app that sends for ever."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})


def breaking(error):
    async def app(scope, receive, send):
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise error

    return app


@pytest.fixture
async def served(nursery):
    """Start the server with an app and other arguments; gives its URL."""

    async def start(app, **kwargs):
        return await nursery.start(functools.partial(serve.run, app, **kwargs))

    yield start
    nursery.cancel_scope.cancel()


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=10) as client:
        yield client


async def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return await trio.open_tcp_stream(host, int(port))


async def ask_and_not_read(url):
    stream = await connect(url)
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    await trio.sleep(0.2)  # until the buffers between us are full
    return stream


async def drained(stream):
    """Read until the server closes."""
    total = 0
    try:
        while data := await stream.receive_some(1 << 20):
            total += len(data)
    except trio.BrokenResourceError:
        pass
    return total


async def test_a_gateway_is_read_over_http(served, client):
    store = MemoryBlockstore()
    await store.put(BLOCK)
    url = await served(serve.gateway(store))
    assert url.startswith("http://127.0.0.1:")
    answer = await client.get(f"{url}/ipfs/{BLOCK.cid}?format=raw")
    assert (answer.status_code, answer.content) == (200, BLOCK.data)
    assert "server" not in answer.headers
    part = await client.get(f"{url}/ipfs/{BLOCK.cid}?format=raw", headers={"range": "bytes=5-9"})
    assert (part.status_code, len(part.content)) == (206, 5)
    assert (await client.head(f"{url}/ipfs/{BLOCK.cid}?format=raw")).headers["content-length"] == "100000"
    assert (await client.get(f"{url}/ipfs/bafkqaaa?format=raw")).status_code == 200
    held = {"if-none-match": answer.headers["etag"]}
    assert (await client.get(f"{url}/ipfs/{BLOCK.cid}?format=raw", headers=held)).status_code == 304


class Listening(logging.Handler):
    """Tells when something was logged."""

    def __init__(self):
        super().__init__()
        self.lines = []
        self.heard = trio.Event()

    def emit(self, record):
        self.lines.append(record.getMessage())
        self.heard.set()


async def test_requests_are_logged_and_nothing_is_printed(served, client, caplog, capfd):
    listening = Listening()
    logger = logging.getLogger("sessionctx.serve")
    logger.addHandler(listening)
    with caplog.at_level(logging.INFO, "sessionctx.serve"):
        url = await served(serve.gateway(MemoryBlockstore()))
        await client.get(f"{url}/ipfs/{BLOCK.cid}?format=raw")
        with trio.fail_after(5):
            await listening.heard.wait()
    logger.removeHandler(listening)
    assert listening.lines[0].startswith(f"GET /ipfs/{BLOCK.cid}: 404, 16 bytes, 0.0")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [BlockNotFound("gone"), RuntimeError("a bug")])
async def test_a_body_that_breaks_off_looks_broken(served, client, caplog, capfd, error):
    url = await served(breaking(error))
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        await client.get(f"{url}/late")
    assert (await client.get(f"{url}/early")).status_code == 500
    assert capfd.readouterr() == ("", "")
    [record] = [record for record in caplog.records if "/late" in record.getMessage()]
    assert record.levelname == ("ERROR" if isinstance(error, RuntimeError) else "WARNING")


async def test_websockets_are_refused(served):
    stream = await connect(await served(serve.gateway(MemoryBlockstore())))
    hello = "GET / HTTP/1.1\r\nHost: here\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    hello += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    async with stream:
        await stream.send_all(hello.encode())
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 403")


async def test_one_broken_app_call_does_not_end_the_server(served, client, caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"far too much"})

    url = await served(app)
    for _ in range(3):
        with pytest.raises(httpx.HTTPError):
            await client.get(url)


async def test_cancelling_stops_at_once_even_while_a_client_does_not_read():
    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve.run, endless)
        stream = await ask_and_not_read(url)
        before = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - before < 0.5
    async with stream:
        assert await drained(stream) > 0
        with pytest.raises(OSError, match="connect"):
            await connect(url)


async def test_a_gentle_stop_lets_answers_finish(client):
    stop = trio.Event()
    app = faults.slow(serve.gateway(MemoryBlockstore()), rate=50)
    inline = Block.of(b"slowly but surely", hash=0)
    async with trio.open_nursery() as nursery:
        url = await nursery.start(functools.partial(serve.run, app, stop=stop, grace=10))
        idle = await connect(url)

        async def stop_in_the_middle():
            await trio.sleep(0.2)
            stop.set()

        nursery.start_soon(stop_in_the_middle)
        answer = await client.get(f"{url}/ipfs/{inline.cid}?format=raw")
        before = trio.current_time()
    assert answer.content == b"slowly but surely"
    assert trio.current_time() - before < 2
    async with idle:
        assert await drained(idle) == 0


async def test_a_gentle_stop_has_an_end():
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(functools.partial(serve.run, endless, stop=stop, grace=0.1))
        stream = await ask_and_not_read(url)
        before = trio.current_time()
        stop.set()
    assert 0.1 <= trio.current_time() - before < 2
    await stream.aclose()


async def test_a_client_that_does_not_read_is_cut(served):
    ended = trio.Event()

    async def app(scope, receive, send):
        try:
            await endless(scope, receive, send)
        finally:
            ended.set()

    url = await served(app, stalled=0.1)
    stream = await ask_and_not_read(url)
    async with stream:
        await drained(stream)  # returns: it was cut


async def test_an_idle_connection_is_closed(served):
    stream = await connect(await served(endless, keep_alive=0.1))
    with trio.fail_after(5):
        assert await drained(stream) == 0
    await stream.aclose()


async def test_a_taken_port_is_an_os_error(served):
    url = await served(endless)
    with pytest.raises(OSError, match=r"cannot listen on 127.0.0.1:\d+: .*in use"):
        await serve.run(endless, port=int(url.rpartition(":")[2]))


async def test_ipv6_urls_have_brackets(served, client):
    try:
        url = await served(breaking(BlockNotFound("no")), host="::1")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert url.startswith("http://[::1]:")
    assert (await client.get(url)).status_code == 500


async def test_two_servers_may_share_the_sockets_of_all_addresses_of_a_host(served, client):
    """Whoever accepts first answers; a name may stand for an address of IPv4 and one of IPv6."""
    store = MemoryBlockstore()
    await store.put(BLOCK)
    socks = await serve.listen("localhost", 0)
    for _ in range(2):
        await served(serve.gateway(store), socks=[sock.dup() for sock in socks])
    for sock in socks:
        host, port = sock.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        assert (await client.get(f"{url}/ipfs/{BLOCK.cid}?format=raw")).content == BLOCK.data
        sock.close()


async def test_no_duplicate_of_a_shared_socket_ever_blocks():
    """Whether it blocks is said of what all of them share: a duplicate that did would stop every server on it."""
    for sock in await serve.listen("127.0.0.1", 0):
        with sock, sock.dup() as twin, serve.inherited(os.dup(sock.fileno())) as theirs, theirs.dup() as last:
            assert [each.gettimeout() for each in (sock, twin, theirs, last)] == [0.0] * 4
            assert not os.get_blocking(sock.fileno())

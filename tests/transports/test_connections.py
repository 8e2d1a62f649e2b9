"""Connections: shared, bounded, given back whatever happens, and gone when the run ends."""

from __future__ import annotations

import gc
import os
import random
import socketserver
import ssl
import stat
import threading
import warnings

import httpx
import pytest
import trio

from sessionctx.errors import PeerFailed
from sessionctx.transports import HTTP, HttpxTransport
from sessionctx.transports.http import kept
from sessionctx.transports.http.tls import TLS

OK = b"HTTP/1.1 200 OK\r\n"


async def fetch(url: str, http: HTTP | None = None) -> bytes:
    async with (http or HTTP()).get(url, peer="the peer") as response:
        return await response.read()


def sockets() -> int:
    """Count the sockets that this process has open."""
    return sum(is_socket(fd) for fd in range(1000))


def is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def shelves() -> int:
    gc.collect()
    return len(kept.kept_here()._shelves)


async def test_many_requests_share_few_connections(peer):
    async def play(stream, head):
        await trio.sleep(0.002)
        await stream.send_all(peer.reply(head.split()[1]))

    there = await peer(play)
    http = HTTP(connections=4)
    got = []

    async def ask(number: int) -> None:
        got.append(await fetch(f"{there.url}/{number}", http))

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number)
    assert sorted(got) == sorted(b"/%d" % number for number in range(100))
    assert there.opened == 4


async def test_one_task_may_ask_while_it_reads(peer):
    there = await peer(peer.says(peer.reply(b"x" * 200_000)))
    async with HTTP().get(there.url, peer="x") as first:
        await anext(first)
        assert len(await fetch(there.url)) == 200_000
        async for _ in first:
            pass
    assert there.opened == 2
    assert shelves() == 1


async def test_connections_belong_to_the_endpoint_whatever_the_rules_of_its_users(peer):
    one, two = await peer(peer.says(peer.reply(b""))), await peer(peer.says(peer.reply(b"")))
    for url, http in [
        (one.url, HTTP()),
        (one.url + "/x", HTTP(idle=1)),
        (two.url, HTTP()),
        (two.url, HTTP(connections=2)),
    ]:
        await fetch(url, http)
    assert (one.opened, two.opened) == (1, 1)
    assert shelves() == 2


async def test_the_budget_belongs_to_the_endpoint_whoever_uses_it(peer):
    """Two users with budgets of their own do not add up; each begins only below its own."""
    there = await peer(peer.says(OK + b"Content-Length: 5\r\n\r\nhello", pause=0.02))
    modest, greedy = HTTP(connections=2), HTTP(connections=4)
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(fetch, there.url, greedy)
            nursery.start_soon(fetch, there.url, modest)
    assert there.opened <= 4
    assert len(there.requests) == 16


async def test_a_kept_connection_that_the_peer_closed_is_nobodys_fault(peer):
    """Even when the peer closes it just as we ask again."""
    served = 0

    async def play(stream, head):
        nonlocal served
        served += 1
        if served % 2:
            await stream.send_all(peer.reply(b"fine"))
        else:
            await stream.aclose()

    there = await peer(play)
    for _ in range(4):
        assert await fetch(there.url) == b"fine"
    assert there.opened == 4


async def test_connections_that_were_not_used_for_long_are_closed(peer, monkeypatch):
    """The one used last is used first, so that the others grow old."""
    monkeypatch.setattr(kept, "KEEP_IDLE", 0.2)

    async def play(stream, head):
        await trio.sleep(0.02)
        await stream.send_all(peer.reply(b"fine"))

    there = await peer(play)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(fetch, there.url)
    assert (there.opened, there.closed) == (3, 0)
    for _ in range(5):
        await trio.sleep(0.06)
        await fetch(there.url)
    assert there.opened == 3
    await there.wait_for(lambda: there.closed == 2)


async def test_a_connection_that_the_peer_closed_while_it_was_idle_is_not_used(peer):
    there = await peer(peer.says(peer.reply(b"fine"), close=True))
    for _ in range(3):
        assert await fetch(there.url) == b"fine"
        await there.wait_for(lambda: there.closed == there.opened)
    assert len(there.requests) == 3


async def test_an_answer_that_is_left_early_but_has_arrived_costs_no_connection(peer):
    there = await peer(peer.says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\nmore\r\n0\r\n\r\n"))
    for _ in range(3):
        async with HTTP().get(there.url, peer="x") as response:
            assert await anext(response) == b"hello"
    assert there.opened == 1


async def test_an_answer_that_is_left_early_and_goes_wrong_costs_its_connection(peer):
    there = await peer(peer.says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnot hexadecimal\r\n"))
    async with HTTP().get(there.url, peer="x") as response:
        assert await anext(response) == b"hello"
    await there.wait_for(lambda: there.closed == 1)


async def test_an_answer_cannot_be_read_once_it_is_left(peer):
    """Its connection may serve another request by then."""
    there = await peer(peer.says(peer.reply(b"fine")))
    async with HTTP().get(there.url, peer="x") as response:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await response.read()


async def test_a_fresh_connection_that_the_peer_closes_is_its_fault(peer):
    there = await peer(peer.says(b"", close=True))
    for opened in (1, 2):
        with pytest.raises(PeerFailed):
            await fetch(there.url)
        assert there.opened == opened


# --- cancellation


PHASES = {
    "header": [b""],
    "half a header": [OK + b"Content-Le"],
    "body": [OK + b"Content-Length: 99\r\n\r\n"],
    "half a body": [OK + b"Content-Length: 99\r\n\r\nhalf"],
    "half a chunk": [OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal"],
    "refusal": [b"HTTP/1.1 404 No\r\nContent-Length: 99\r\n\r\nhalf"],
}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("sent", PHASES.values(), ids=PHASES)
async def test_a_cancelled_request_leaves_nothing(peer, sent, tls, server_tls, client_tls):
    there = await peer(peer.says(*sent), tls=server_tls if tls else None)
    http = HTTP(connections=2, tls=client_tls)
    before = sockets()
    for _ in range(3):
        with trio.move_on_after(0.05) as scope:
            await fetch(there.url, http)
        assert scope.cancelled_caught
    await there.wait_for(lambda: there.closed == there.opened == 3)
    assert sockets() == before


async def test_cancelled_before_it_begins(peer):
    there = await peer(peer.says(peer.reply(b"fine")))
    for _ in range(5):
        with trio.CancelScope() as scope:
            scope.cancel()
            await fetch(there.url, HTTP(connections=1))
        assert scope.cancelled_caught
    assert await fetch(there.url, HTTP(connections=1)) == b"fine"
    assert there.opened == 1


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_cancelled_just_when_the_connection_is_made(peer, tls, server_tls, client_tls, monkeypatch):
    """The pool's places are all there afterwards (httpcore alone would lose one each time)."""
    there = await peer(peer.says(peer.reply(b"fine")), tls=server_tls if tls else None)
    http = HTTP(connections=2, tls=client_tls)
    owner, name = (TLS, "handshake") if tls else (trio, "open_tcp_stream")
    made = getattr(owner, name)

    async def then_cancel(*args, **kwargs):
        result = await made(*args, **kwargs)
        scopes[-1].cancel()
        return result

    monkeypatch.setattr(owner, name, then_cancel)
    before = sockets()
    scopes = [trio.CancelScope() for _ in range(3)]
    while scopes:
        with scopes[-1]:
            await fetch(there.url, http)
        assert scopes.pop().cancelled_caught
    monkeypatch.undo()
    with trio.fail_after(5):
        assert await fetch(there.url, http) == b"fine"
    await there.wait_for(lambda: there.opened == 4 and there.closed == 3)
    assert sockets() == before + 2


async def test_cancelled_in_the_tls_handshake(peer, client_tls):
    closed = trio.Event()

    async def swallow(stream):
        while await stream.receive_some():
            pass
        closed.set()

    port = await peer.listen(swallow)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with trio.move_on_after(0.1):
            await fetch(f"https://127.0.0.1:{port}", HTTP(tls=client_tls))
        with trio.fail_after(2):
            await closed.wait()
        gc.collect()


async def test_all_cancelled_at_once_while_some_wait_for_their_turn(peer):
    """However a crowd of requests is cancelled, the connections serve the next ones."""
    there = await peer(peer.says(OK + b"Content-Length: 10\r\n\r\nhalf"))
    http = HTTP(connections=3)
    for number in (1, 2):
        with trio.move_on_after(0.1):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(fetch, there.url, http)
        await there.wait_for(lambda number=number: there.closed == there.opened == 3 * number)


async def test_a_crowd_that_comes_and_goes_wears_nothing_out(peer):
    """Requests that give up at any moment cost no connection for good (httpcore alone is stuck within a second)."""

    async def play(stream, head):
        await trio.sleep(random.random() * 0.004)
        await stream.send_all(peer.reply(b"fine"))

    there = await peer(play)
    http = HTTP(connections=3)

    async def come_and_go() -> None:
        while True:
            with trio.move_on_after(random.random() * 0.01):
                await fetch(there.url, http)

    with trio.move_on_after(0.5):
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(come_and_go)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(fetch, there.url, http)
    await there.wait_for(lambda: there.opened - there.closed <= 3)


async def test_cancelling_one_of_many_does_not_touch_the_others(peer):
    async def play(stream, head):
        if b"/hang" not in head:
            await trio.sleep(0.05)
            await stream.send_all(peer.reply(b"fine"))

    there = await peer(play)
    http = HTTP(connections=4)
    got = []

    async def ask() -> None:
        got.append(await fetch(there.url, http))

    async def give_up() -> None:
        with trio.move_on_after(0.02):
            await fetch(there.url + "/hang", http)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask)
            nursery.start_soon(give_up)
    assert got == [b"fine"] * 8


# --- the end of the run


@pytest.fixture
def outside():
    """A server in a thread, outside of the trio runs under test: its port, and how many connections came and closed."""
    closed: list[bool] = []
    threads: list[threading.Thread] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            threads.append(threading.current_thread())
            while self.request.recv(65536):
                self.request.sendall(OK + b"Content-Length: 4\r\n\r\nfine")
            closed.append(True)

    def closed_connections() -> int:
        for thread in threads:
            thread.join(5)
        return len(closed)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server.server_address[1], closed_connections
        server.shutdown()
        serving.join()


@pytest.mark.filterwarnings("error")
def test_connections_end_with_the_run(outside):
    """Two runs in one process: each has its own connections, and leaves none behind."""
    port, closed_connections = outside
    before = sockets()

    async def main():
        for _ in range(3):
            assert await fetch(f"http://127.0.0.1:{port}") == b"fine"

    for _ in range(2):
        trio.run(main)
    assert closed_connections() == 2
    gc.collect()
    assert sockets() <= before


def test_connections_end_with_a_run_that_fails(outside):
    port, closed_connections = outside

    async def main():
        await fetch(f"http://127.0.0.1:{port}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trio.run(main)
    assert closed_connections() == 1


# --- many endpoints


async def test_many_endpoints_keep_so_many_connections_and_no_more(peer, monkeypatch):
    """Those used last stay open; those in use do whatever happens."""
    monkeypatch.setattr(kept, "MAX_IDLE", 8)
    held = await peer(peer.says(OK + b"Content-Length: 8\r\n\r\nhalf", b"half", pause=0.05))
    there = [await peer(peer.says(peer.reply(b"fine"))) for _ in range(40)]
    before = sockets()
    async with HTTP().get(held.url, peer="x") as response:
        for one in there:
            await fetch(one.url)
        assert await response.read() == b"halfhalf"
    for one in there[:-7]:
        await one.wait_for(lambda one=one: one.closed == 1)
    assert sockets() == before + 2 * 8
    assert shelves() == 8
    for one in [held, *there[-7:]] * 2:
        await fetch(one.url)
    assert held.opened == 1
    assert [one.opened for one in there] == [1] * 40
    await fetch(there[0].url)
    assert there[0].opened == 2
    await held.wait_for(lambda: held.closed == 1)


async def test_connections_to_an_endpoint_that_nobody_asks_any_more_are_closed_too(peer, monkeypatch):
    monkeypatch.setattr(kept, "KEEP_IDLE", 0.1)
    left, used = await peer(peer.says(peer.reply(b"fine"))), await peer(peer.says(peer.reply(b"fine")))
    await fetch(left.url)
    await trio.sleep(0.12)
    await fetch(used.url)
    await left.wait_for(lambda: left.closed == 1)
    assert used.closed == 0


async def test_plain_http_loads_no_authorities(peer, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("authorities were loaded")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)
    there = await peer(peer.says(peer.reply(b"fine")))
    assert await fetch(there.url) == b"fine"


async def test_going_over_to_another_protocol_is_an_error_and_no_endless_loop(peer):
    async def switch(stream, head):
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        await trio.sleep_forever()

    there = await peer(switch)
    offer = {"Connection": "Upgrade", "Upgrade": "x"}
    with trio.fail_after(5):
        async with httpx.AsyncClient(transport=HttpxTransport()) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(there.url, headers=offer)

"""HTTP/1.1 as our server speaks it: to clients that send ahead, send nonsense, send bodies, or read slowly."""

from __future__ import annotations

import functools
import re
import tracemalloc

import pytest
import trio

from sessionctx import serve
from sessionctx.serve.incoming import MOST_HEAD

MIB = 1024 * 1024


@pytest.fixture
async def ask(nursery):
    """Send bytes to an app; gives all that comes back until the server closes."""

    async def answers(app, sent, **kwargs):
        url = await nursery.start(functools.partial(serve.run, app, **kwargs))
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
        received = b""
        async with stream:
            with trio.fail_after(5):
                for piece in [sent] if isinstance(sent, bytes) else sent:
                    await stream.send_all(piece)
                    await trio.sleep(0.02)
                async for data in stream:
                    received += data
        return received

    yield answers
    nursery.cancel_scope.cancel()


async def echo(scope, receive, send):
    """Answer with the method, the path and the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    told = b"<%s %s %s>" % (scope["method"].encode(), scope["path"].encode(), body)
    headers = [(b"content-length", b"%d" % len(told))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


def request(target="/", *headers, method="GET", last=False):
    lines = [f"{method} {target} HTTP/1.1", "Host: here", *headers, *["Connection: close"] * last, "", ""]
    return "\r\n".join(lines).encode()


async def test_requests_sent_ahead_are_answered_in_their_order(ask):
    sent = b"".join(request(f"/{n}", last=n == 4) for n in range(5))
    assert re.findall(rb"<GET /(\d) >", await ask(echo, sent)) == [b"0", b"1", b"2", b"3", b"4"]


async def test_requests_sent_while_one_is_answered_wait_their_turn(ask):
    async def app(scope, receive, send):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, receive)
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"<{scope['path']}>".encode()})

    async def watch(receive):
        while (await receive())["type"] != "http.disconnect":
            pass

    received = await ask(app, [request("/a"), request("/b"), request("/c", last=True)])
    assert re.findall(rb"</(\w)>", received) == [b"a", b"b", b"c"]


async def test_a_head_in_pieces_is_one_head(ask):
    sent = request("/there%20it%20is?x=1", last=True)
    assert b"<GET /there it is >" in await ask(echo, [sent[:9], sent[9:30], sent[30:]])


async def test_the_absolute_form_of_a_target_is_understood(ask):
    assert b"<GET /a/b >" in await ask(echo, request("http://here/a/b", last=True))


@pytest.mark.parametrize(
    ("header", "body"),
    [("Content-Length: 5", b"hello"), ("Transfer-Encoding: chunked", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")],
)
async def test_bodies_are_read_and_the_next_request_is_found_behind_them(ask, header, body):
    received = await ask(echo, request("/1", header, method="POST") + body + request("/2", last=True))
    assert b"<POST /1 hello>" in received
    assert b"<GET /2 >" in received


async def test_a_client_that_waits_is_told_to_continue(ask):
    head = request("/", "Content-Length: 5", "Expect: 100-continue", method="PUT", last=True)
    received = await ask(echo, [head, b"hello"])
    assert received.startswith(b"HTTP/1.1 100 ")
    assert b"<PUT / hello>" in received


async def test_an_answer_before_the_whole_request_is_the_last_one(ask):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    received = await ask(app, request("/", "Content-Length: 50", method="POST") + b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert received.count(b"HTTP/1.1") == 1


async def test_head_is_answered_without_the_body(ask):
    received = await ask(echo, request("/", method="HEAD", last=True))
    assert b"content-length: 9" in received.lower()
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (request("/", "Content-Length: 1", "Content-Length: 2"), b"400"),
        (b"GET / HTTP/1.1\r\nX: " + bytes([97]) * (MOST_HEAD + 20_000), b"431"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_ends_the_connection(ask, sent, status):
    try:
        assert (await ask(echo, sent)).startswith(b"HTTP/1.1 " + status)
    except trio.BrokenResourceError:  # what we had not read yet breaks the connection before the answer is read
        assert status == b"431"


async def test_a_head_that_trickles_in_has_an_end(ask):
    assert await ask(echo, b"GET / HTTP/1.1\r\n", keep_alive=0.1) == b""


async def test_headers_cannot_split_a_response(ask, caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nset-cookie: b")]})

    received = await ask(app, request(last=True))
    assert b"set-cookie" not in received
    assert "failed" in caplog.text


async def test_many_slow_readers_take_little_memory(nursery):
    made, readers = 0, 40

    async def app(scope, receive, send):
        nonlocal made
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            made += 1
            await send({"type": "http.response.body", "body": bytes(MIB), "more_body": True})

    url = await nursery.start(functools.partial(serve.run, app))
    tracemalloc.start()
    try:
        streams = [await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) for _ in range(readers)]
        for stream in streams:
            await stream.send_all(request())
        before = -1
        while before < made or made < readers:  # until the system's buffers are full
            before = made
            await trio.sleep(0.2)
        for stream in streams:
            await stream.receive_some(1000)
        await trio.sleep(0.1)
        assert before >= readers
        assert made <= before + readers  # the app waits
        assert tracemalloc.get_traced_memory()[1] < (readers + 8) * MIB  # one piece for each
    finally:
        tracemalloc.stop()
    for stream in streams:
        await stream.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("wants_to_know", [False, True])
async def test_an_app_whose_client_went_away_is_cancelled_unless_it_waits_to_be_told(nursery, wants_to_know):
    story, over = [], trio.Event()

    async def app(scope, receive, send):
        try:
            while wants_to_know and (await receive())["type"] != "http.disconnect":
                pass
            story.append("told" if wants_to_know else "waits")
            await trio.sleep(0 if wants_to_know else 60)
            story.append("goes on")
        except trio.Cancelled:
            story.append("cancelled")
            raise
        finally:
            over.set()

    url = await nursery.start(functools.partial(serve.run, app))
    stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
    await stream.send_all(request() + request("/ahead"))
    await trio.sleep(0.05)
    await stream.aclose()
    with trio.fail_after(5):
        await over.wait()
    assert story == (["told", "goes on"] if wants_to_know else ["waits", "cancelled"])
    nursery.cancel_scope.cancel()


async def test_an_answer_that_takes_long_is_not_idle(ask):
    async def app(scope, receive, send):
        await trio.sleep(0.3)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    assert (await ask(app, request(last=True), keep_alive=0.05)).startswith(b"HTTP/1.1 200")


async def test_a_connection_ends_with_an_answer_that_was_not_read(nursery):
    """What was cut off must not look like the beginning of something else."""

    async def app(scope, receive, send):
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (64 * MIB))]})
        await send({"type": "http.response.body", "body": bytes(64 * MIB)})

    asked = []
    url = await nursery.start(functools.partial(serve.run, app, stalled=0.1))
    async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
        await stream.send_all(request("/a") + request("/b"))
        await trio.sleep(0.4)
        received = 0
        with trio.fail_after(5):
            try:
                while data := await stream.receive_some(MIB):
                    received += len(data)
            except trio.BrokenResourceError:
                pass
    assert asked == ["/a"]
    assert received < 64 * MIB
    nursery.cancel_scope.cancel()

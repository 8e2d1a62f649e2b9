"""The door to HTTP, against peers that do everything wrong that a peer can do."""

from __future__ import annotations

import asyncio
import base64
import gzip
import importlib.metadata
import socket

import httpx
import pytest
import trio
import zstandard

from sessionctx.errors import BadAnswer, NotInTrio, PeerError, PeerFailed, Stalled, Unreachable
from sessionctx.transports import HTTP
from sessionctx.transports.http import door
from sessionctx.transports.http.target import Target

HASTY = HTTP(idle=0.1, connect=0.1, header=0.1)
OK = b"HTTP/1.1 200 OK\r\n"


async def fetch(rules: HTTP, url: str, **options) -> bytes:
    async with rules.get(url, peer="the peer", **options) as response:
        return await response.read()


async def test_an_answer_is_read_whole_or_as_it_comes(peer):
    body = bytes(range(256)) * 1000
    there = await peer(peer.says(peer.reply(body, X_Some="thing", x_some="else")))
    sizes = []
    async with HTTP().get(there.url + "/a%20b?c=d", peer="x", headers={"Accept": "text/x"}) as response:
        assert response.status == 200
        assert response.ok
        assert response.headers["content-length"] == "256000"
        assert response.headers["x-some"] == "thing, else"
        assert await response.read(sizes.append) == body
        assert await response.read() == b""
    assert sum(sizes) == len(body)
    async with HTTP().get(there.url, peer="x") as response:
        assert b"".join([chunk async for chunk in response]) == body
    head = there.requests[0].decode()
    assert head.startswith("GET /a%20b?c=d HTTP/1.1\r\n")
    assert "\r\nAccept: text/x\r\n" in head
    assert "\r\nAccept-Encoding: identity\r\n" in head
    assert "\r\nUser-Agent: sessionctx/" in head
    assert "authorization" not in head.lower()
    assert there.opened == 1


def test_a_program_that_was_packed_without_metadata_has_a_name_all_the_same(monkeypatch):
    assert door._user_agent.__wrapped__().startswith("sessionctx/")
    monkeypatch.setattr(importlib.metadata.Distribution, "discover", lambda **_: iter(()))
    assert door._user_agent.__wrapped__() == "sessionctx"


async def test_outside_of_trio_the_error_says_so():
    with pytest.raises(NotInTrio, match=r"trio\.run"):
        await trio.to_thread.run_sync(lambda: asyncio.run(fetch(HTTP(), "http://127.0.0.1:1")))


# --- no connection, no header


async def test_a_closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match=r"the peer cannot be reached: .*Connection refused") as caught:
            await fetch(HTTP(), f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert caught.value.peer == "the peer"


async def test_an_unknown_host():
    with pytest.raises(Unreachable, match="the peer cannot be reached: "):
        await fetch(HTTP(), "http://no-such-host.invalid")


async def test_a_host_that_swallows_the_connection():
    """A listener whose backlog is full answers nothing to the next one."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        with pytest.raises(Unreachable, match=r"did not take the connection within 0\.1 s"):
            await fetch(HASTY, f"http://127.0.0.1:{listener.getsockname()[1]}")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_silence_before_the_header_ends(peer, sent):
    there = await peer(peer.says(sent))
    with pytest.raises(Stalled, match=r"no whole header within 0\.1 s"):
        await fetch(HASTY, there.url)


@pytest.mark.parametrize(("start", "part"), [(OK, b"X: y\r\n"), (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")])
async def test_headers_that_trickle_for_ever(peer, start, part):
    there = await peer(peer.for_ever(start, part, pause=0.02))
    with pytest.raises(Stalled, match="no whole header"):
        await fetch(HASTY, there.url)


@pytest.mark.parametrize("part", [b"X: y\r\n", b"x" * 1000])
async def test_headers_that_pour_in_for_ever(peer, part):
    there = await peer(peer.for_ever(OK, part * 100))
    with pytest.raises(BadAnswer, match="breaks the rules of HTTP: Receive buffer too long"):
        await fetch(HTTP(), there.url)


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: many\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        b"\x00" * 200_000,
    ],
)
async def test_what_is_no_http(peer, sent):
    there = await peer(peer.says(sent))
    with pytest.raises(BadAnswer, match="breaks the rules of HTTP") as caught:
        await fetch(HTTP(), there.url)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_closed_before_the_header_ends(peer, sent):
    there = await peer(peer.says(sent, close=True))
    with pytest.raises(PeerFailed, match=r"the peer broke off its answer: .*(closed|disconnected)"):
        await fetch(HTTP(), there.url)
    assert there.opened == 1


# --- the body


@pytest.mark.parametrize(
    "sent",
    [
        OK + b"Content-Length: 10\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x",
    ],
)
async def test_closed_before_the_body_ends(peer, sent):
    there = await peer(peer.says(sent, close=True))
    with pytest.raises(PeerFailed, match=r"the peer broke off its answer: .*closed"):
        await fetch(HTTP(), there.url)


async def test_a_connection_that_is_reset(peer):
    async def play(stream, head):
        await stream.send_all(OK + b"Content-Length: 10\r\n\r\nhello")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()

    with pytest.raises(PeerFailed, match="the peer broke off its answer: Connection reset"):
        await fetch(HTTP(), (await peer(play)).url)


@pytest.mark.parametrize("chunk", [b"zzz\r\n", b"5\r\nhello!!\r\n", b"fffffffffffffffffffffffff\r\n", b"-5\r\n"])
async def test_a_body_that_breaks_the_rules(peer, chunk):
    there = await peer(peer.says(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk))
    with pytest.raises(BadAnswer, match="breaks the rules of HTTP"):
        await fetch(HTTP(), there.url)


async def test_a_length_that_is_too_short_spoils_no_other_answer(peer):
    """The rest lies in the connection when it is used again; the next request is asked anew on another one."""
    there = await peer(peer.says(OK + b"Content-Length: 5\r\n\r\nhello and more"))
    for _ in range(3):
        assert await fetch(HTTP(), there.url) == b"hello"
    assert there.opened == 3


async def test_a_body_that_announces_too_much_is_not_begun(peer):
    there = await peer(peer.says(OK + b"Content-Length: 101\r\n\r\n"))
    with pytest.raises(BadAnswer, match="announces 101 bytes where at most 100 are allowed"):
        await fetch(HTTP(), there.url, limit=100)


@pytest.mark.parametrize("start", [b"Transfer-Encoding: chunked\r\n\r\n", b"Connection: close\r\n\r\n"])
async def test_a_body_that_pours_in_for_ever(peer, start):
    there = await peer(peer.for_ever(OK + start, b"400\r\n" + b"x" * 0x400 + b"\r\n"))
    with pytest.raises(BadAnswer, match="sends more than the 1000000 bytes"):
        await fetch(HTTP(), there.url, limit=1_000_000)
    await there.wait_for(lambda: there.closed == 1)


async def test_a_body_of_the_largest_size_is_fine(peer):
    there = await peer(peer.says(peer.reply(b"x" * 100)))
    assert await fetch(HTTP(), there.url, limit=100) == b"x" * 100


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"Connection: close\r\n\r\n", b"x"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n5;", b"x"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
)
async def test_a_body_that_trickles_for_ever(peer, start, part):
    there = await peer(peer.for_ever(OK + start, part, pause=0.01))
    with pytest.raises(Stalled, match=r"fewer than 1024 bytes in 0\.1 s \(after \d+ bytes\)"):
        await fetch(HASTY, there.url)
    with pytest.raises(Stalled):
        async with HASTY.get(there.url, peer="x") as response:
            async for _ in response:
                pass


async def test_silence_in_the_body(peer):
    there = await peer(peer.says(OK + b"Content-Length: 99999\r\n\r\n" + b"x" * 50_000))
    with pytest.raises(Stalled, match=r"after 50000 bytes"):
        await fetch(HASTY, there.url)


async def test_slow_is_not_stalled(peer):
    """Whoever makes progress may take longer than the limit; and the rest at the end may be small."""
    there = await peer(peer.says(OK + b"Content-Length: 8201\r\n\r\n", *[b"x" * 1024] * 8, b"the rest!", pause=0.06))
    assert len(await fetch(HTTP(idle=0.4), there.url)) == 8201


async def test_our_own_slowness_is_not_held_against_the_peer(peer):
    there = await peer(peer.says(OK + b"Content-Length: 3\r\n\r\n", b"a", b"b", b"c", pause=0.01))
    async with HASTY.get(there.url, peer="x") as response:
        assert (await anext(response))[:1] == b"a"
        await trio.sleep(0.25)
        async for _ in response:
            await trio.sleep(0.25)


async def test_a_body_by_the_byte_leaves_room_for_others(peer):
    """Bytes that are there already come without a wait; the other tasks get their turn all the same."""
    there = await peer(peer.says(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n"))
    turns = 0

    async def other():
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        async with HTTP().get(there.url, peer="x") as response:
            before = turns
            assert len([chunk async for chunk in response]) == 3000
        assert turns - before > 2500
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "x" * 5000, "identity, gzip"])
async def test_nothing_is_inflated(peer, coding):
    bombs = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
    bomb = bombs.get(coding, bytes)(bytes(50_000_000))[:100_000]
    there = await peer(peer.says(peer.reply(bomb, Content_Encoding=coding)))
    with pytest.raises(BadAnswer, match="encoded data though plain data was asked for") as caught:
        await fetch(HTTP(), there.url)
    assert len(str(caught.value)) < 200


async def test_whether_an_end_can_be_told_from_a_cut(peer):
    for start, framed in [
        (b"Content-Length: 4\r\n", True),
        (b"Transfer-Encoding: chunked\r\n", True),
        (b"Connection: close\r\n", False),
        (b"", False),
    ]:
        there = await peer(peer.says(OK + start + b"\r\nbody"))
        async with HTTP().get(there.url, peer="x") as response:
            assert response.framed == framed


async def test_identity_is_no_coding(peer):
    there = await peer(peer.says(peer.reply(b"plain", Content_Encoding=" Identity")))
    assert await fetch(HTTP(), there.url) == b"plain"


# --- what is no success, and redirects


async def test_the_body_of_a_refusal_is_gone(peer):
    there = await peer(peer.says(peer.reply(b"go away" * 50, status="404 Not Found")))
    for _ in range(3):
        async with HTTP().get(there.url, peer="x", limit=10) as response:
            assert response.status == 404
            assert not response.ok
            assert await response.read() == b""
    assert there.opened == 1


@pytest.mark.parametrize("length", [b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 999999999\r\n\r\n"])
async def test_a_refusal_without_end_costs_a_connection_and_no_more(peer, length):
    there = await peer(peer.for_ever(b"HTTP/1.1 500 Oops\r\n" + length, b"400\r\n" + b"x" * 0x400 + b"\r\n"))
    async with HTTP().get(there.url, peer="x") as response:
        assert response.status == 500
    await there.wait_for(lambda: there.closed == 1)


def to(location: str, status: str = "302 Found") -> bytes:
    return f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nmove".encode("latin-1")


@pytest.mark.parametrize("status", ["301 a", "302 b", "303 c", "307 d", "308 e"])
async def test_a_redirect_is_followed(peer, status):
    async def play(stream, head):
        await stream.send_all(peer.reply(b"here") if head.startswith(b"GET /b/y?z ") else to("../b/y?z#f", status))

    there = await peer(play)
    assert await fetch(HTTP(), there.url + "/a/x?z") == b"here"
    assert there.opened == 1


async def test_credentials_stay_with_their_endpoint(peer):
    last = await peer(peer.says(peer.reply(b"here")))
    second = await peer(peer.says(to(f"http://mallory:own@127.0.0.1:{last.port}/")))

    async def play(stream, head):
        await stream.send_all(to(second.url) if b"/again" in head else to("/again"))

    first = await peer(play)
    assert await fetch(HTTP(), first.url, authorization="Basic xyz") == b"here"
    assert [b"Authorization: Basic xyz\r\n" in head for head in first.requests] == [True, True]
    for other in (second, last):
        assert [b"authorization" in head.lower() for head in other.requests] == [False]


async def test_credentials_do_not_come_back_by_way_of_a_stranger(peer):
    """Whoever a peer sends us to does not choose what is asked in our name."""

    async def play(stream, head):
        await stream.send_all(peer.reply(b"here") if b"/back" in head else to(stranger.url))

    first = await peer(play)
    stranger = await peer(peer.says(to(first.url + "/back")))
    assert await fetch(HTTP(), first.url, authorization="Basic xyz") == b"here"
    assert [b"Authorization: Basic xyz\r\n" in head for head in first.requests] == [True, False]


@pytest.mark.parametrize("hops", [0, 1, 5])
async def test_redirects_for_ever(peer, hops):
    there = await peer(peer.says(to("/again")))
    with pytest.raises(BadAnswer, match=f"redirects for ever .more than {hops} times"):
        await fetch(HTTP(redirects=hops), there.url)
    assert len(there.requests) == hops + 1


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://example.org/", "redirects to 'ftp', which is not HTTP"),
        ("file:///etc/passwd", "redirects to 'file', which is not HTTP"),
        ("javascript:alert(1)", "redirects to 'javascript', which is not HTTP"),
        ("https:where", "redirects to what is no URL"),
        ("http://[::1", "redirects to what is no URL"),
        ("http://host:port/", "redirects to what is no URL"),
        ("http://\xff\xfe..", "redirects to what is no URL"),
    ],
)
async def test_a_redirect_to_nowhere(peer, location, message):
    there = await peer(peer.says(to(location)))
    with pytest.raises(BadAnswer, match=message):
        await fetch(HTTP(), there.url)


async def test_a_redirect_written_in_bare_utf_8_is_understood(peer):
    async def play(stream, head):
        moved = "HTTP/1.1 302 Found\r\nLocation: /naïve file?ü\r\nContent-Length: 0\r\n\r\n"
        await stream.send_all(peer.reply(b"here") if b"/na%C3%AFve%20file?%C3%BC " in head else moved.encode())

    assert await fetch(HTTP(), (await peer(play)).url) == b"here"


async def test_a_redirect_without_a_location_is_an_answer(peer):
    there = await peer(peer.says(peer.reply(status="302 Found")))
    async with HTTP().get(there.url, peer="x") as response:
        assert response.status == 302


async def test_a_redirect_from_https_to_http_is_not_followed(peer, server_tls, client_tls):
    plain = await peer(peer.says(peer.reply(b"never asked")))
    there = await peer(peer.says(to(plain.url)), tls=server_tls)
    with pytest.raises(BadAnswer, match="redirects from https to http, which is not followed"):
        await fetch(HTTP(tls=client_tls), there.url)
    assert plain.requests == []


async def test_a_redirect_from_http_to_https_is_followed(peer, server_tls, client_tls):
    safe = await peer(peer.says(peer.reply(b"safe")), tls=server_tls)
    there = await peer(peer.says(to(safe.url)))
    assert await fetch(HTTP(tls=client_tls), there.url) == b"safe"


PUBLIC = ["http://gw.example", "https://gw.example:8443", "http://8.8.8.8", "http://[2001:4860:4860::8888]"]
INSIDE = [
    *("localhost", "LOCALHOST.", "me.localhost", "router", "2130706433", "127.0.0.1", "127.1", "0x7f.0.0.1", "0.0.0.0"),
    *("10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "169.254.169.254", "192.168.257"),
    *("[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[::ffff:127.0.0.1]"),
]


@pytest.mark.parametrize("public", PUBLIC)
@pytest.mark.parametrize("inside", INSIDE)
def test_a_public_host_sends_nobody_inside(public, inside):
    """Nobody out there decides what this machine asks of those that only it can reach."""
    with pytest.raises(BadAnswer, match=r"the peer redirects from a public host to .*, which is not followed; if that"):
        Target.parse(public).onward(302, f"https://{inside}/x", "the peer")


@pytest.mark.parametrize("inside", INSIDE)
def test_from_inside_all_ways_are_open(inside):
    for there in ("https://cid.ipfs.localhost:8080/", "https://192.168.0.7/x", "https://gw.example/"):
        assert Target.parse(f"https://{inside}").onward(307, there, "the peer").url == there
    for there in PUBLIC:
        assert Target.parse(PUBLIC[0]).onward(301, there, "the peer").url == there + "/"


async def test_a_redirect_from_a_public_host_inside_is_not_followed(peer):
    """Here the public host is what a proxy makes of it."""
    inside = await peer(peer.says(peer.reply(b"never asked")))
    proxy = await peer(peer.says(to(inside.url)))
    async with httpx.AsyncClient(proxy=proxy.url, trust_env=False) as client:
        with pytest.raises(BadAnswer, match="redirects from a public host to 127"):
            await fetch(HTTP(client=client), "http://gw.example/x")
    assert proxy.requests[0].startswith(b"GET http://gw.example/x HTTP/1.1\r\n")
    assert inside.requests == []


# --- TLS


async def test_tls_with_an_authority_of_our_own(peer, server_tls, client_tls):
    body = b"x" * 300_000
    there = await peer(peer.says(peer.reply(body)), tls=server_tls)
    for _ in range(3):
        assert await fetch(HTTP(tls=client_tls), there.url) == body
    assert there.opened == 1


async def test_a_certificate_that_nobody_vouches_for(peer, server_tls):
    there = await peer(peer.says(peer.reply(b"")), tls=server_tls)
    with pytest.raises(Unreachable, match="its certificate is not trusted: unable to get local issuer certificate"):
        await fetch(HTTP(), there.url)


async def test_a_certificate_of_another_host(peer, server_tls, client_tls):
    there = await peer(peer.says(peer.reply(b"")), tls=server_tls)
    with pytest.raises(Unreachable, match="not valid for 'localhost'"):
        await fetch(HTTP(tls=client_tls), there.url.replace("127.0.0.1", "localhost"))


async def test_a_peer_that_speaks_no_tls(peer):
    async def greet(stream):
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    with pytest.raises(Unreachable, match=r"(?i)the peer cannot be reached: .*ssl"):
        await fetch(HTTP(), f"https://127.0.0.1:{await peer.listen(greet)}")


async def test_a_tls_handshake_that_hangs(peer):
    async def hang(stream):
        await trio.sleep_forever()

    with pytest.raises(Unreachable, match=r"did not take the connection within 0\.1 s"):
        await fetch(HASTY, f"https://127.0.0.1:{await peer.listen(hang)}")


# --- secrets


@pytest.mark.parametrize("play", ["close", "hang", "junk", "redirect", "encoded"])
async def test_errors_show_no_secret(peer, play):
    scripts = {
        "close": peer.says(b"", close=True),
        "hang": peer.silence,
        "junk": peer.says(b"junk\r\n\r\n"),
        "redirect": peer.says(to("https://user:hunter2@127.0.0.1:1/")),
        "encoded": peer.says(peer.reply(b"", Content_Encoding="gzip")),
    }
    there = await peer(scripts[play])
    secret = base64.b64encode(b"user:hunter2").decode()
    with pytest.raises(PeerError) as caught:
        await fetch(HASTY, there.url, authorization=f"Basic {secret}")
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in str(error) + repr(error) + repr(vars(error))
        assert secret not in str(error) + repr(error) + repr(vars(error))
        error = error.__cause__

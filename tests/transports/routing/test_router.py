"""Asking a router: real ones on this machine, honest, slow, wrong and hostile."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from email.utils import formatdate

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from sessionctx import serve
from sessionctx.content import CID, DAG_PB
from sessionctx.errors import (
    BadAnswer,
    BadRequest,
    Busy,
    InvalidPeer,
    NotInTrio,
    NotOffered,
    PeerError,
    PeerFailed,
    Stalled,
    Unreachable,
)
from sessionctx.transports import HTTP, Provider, Router, registry

CID_ = CID.of(b"wanted")
NDJSON = "application/x-ndjson"


def record(n=0, **more):
    return {"Schema": "peer", "ID": f"id{n}", "Addrs": [f"/dns/gw{n}.example/tcp/443/https"], **more}


def provider(n=0):
    return Provider(f"id{n}", (), (f"/dns/gw{n}.example/tcp/443/https",), (f"https://gw{n}.example",))


def line(value) -> bytes:
    return json.dumps(value).encode() + b"\n"


@attrs.define(eq=False)
class Told:
    """An app that answers as it is told, and what it was asked."""

    status: int = 200
    kind: str | None = NDJSON
    parts: list[bytes] = attrs.field(factory=list)
    headers: dict[str, str] = attrs.field(factory=dict)
    pause: float = 0
    go_on: Callable[[int], bool] = lambda _: False
    asked: list[str] = attrs.field(factory=list)
    heads: list[dict[str, str]] = attrs.field(factory=list)
    sent: int = 0
    may_go_on: trio.Event | None = None

    async def __call__(self, scope, receive, send):
        query = scope["query_string"].decode()
        self.asked.append(scope["path"] + (f"?{query}" if query else ""))
        self.heads.append({name.decode(): value.decode() for name, value in scope["headers"]})
        kind = {"content-type": self.kind} if self.kind else {}
        headers = [(name.encode(), value.encode()) for name, value in (kind | self.headers).items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        n = 0
        while n < len(self.parts) or self.go_on(n):
            await send({"type": "http.response.body", "body": self.parts[n % len(self.parts)], "more_body": True})
            self.sent += 1
            n += 1
            if self.may_go_on is not None:
                await self.may_go_on.wait()
            await trio.sleep(self.pause)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
async def served(nursery):
    """Serve an app; gives its URL."""

    async def start(app):
        return await nursery.start(serve.run, app)

    yield start
    nursery.cancel_scope.cancel()


@pytest.fixture
async def told(served):
    """A router that answers as it is told: ``router, app = await told(...)``."""

    async def start(*, http=None, allow_private=False, **options):
        app = Told(**options)
        return Router(await served(app), http=http, allow_private=allow_private), app

    return start


async def ask(router, cid=CID_, **filters):
    async with router.providers(cid, **filters) as found:
        return [each async for each in found]


# --- what is asked


async def test_the_question(told):
    router, app = await told(parts=[line(record())])
    v0 = CID.of(b"", codec=DAG_PB, version=0)
    assert await ask(router, v0) == [provider()]
    assert app.asked == [f"/routing/v1/providers/{v0.to_v1().encode('base32')}?filter-addrs=http,https"]
    assert app.heads[0]["accept"] == "application/x-ndjson, application/json"
    assert app.heads[0]["accept-encoding"] == "identity"
    await ask(router, addrs=["!ip6", "unknown"], protocols=["Transport-Bitswap"])
    assert app.asked[-1].endswith("?filter-addrs=!ip6,unknown&filter-protocols=transport-bitswap")
    await ask(router, addrs=())
    assert app.asked[-1] == f"/routing/v1/providers/{CID_}"


async def test_an_address_may_have_a_path_credentials_and_the_api_in_it(served):
    app = Told()
    url = (await served(app)).replace("http://", "http://me:hunter2@")
    router = Router(f"{url}/prefix/routing/v1/")
    assert "hunter2" not in repr(router) + router.public
    assert router.url == f"{url}/prefix"
    assert await ask(router) == []
    assert app.asked[0].startswith("/prefix/routing/v1/providers/")
    assert app.heads[0]["authorization"].startswith("Basic ")


def test_what_is_no_address():
    with pytest.raises(InvalidPeer):
        Router("router.example")


def test_a_filter_that_is_none():
    with pytest.raises(ValueError, match="cannot be filtered by"):
        Router("https://router.example").providers(CID_, addrs=["a&b=c"])


async def test_outside_of_trio_the_error_says_so():
    with pytest.raises(NotInTrio, match=r"trio\.run"):
        await trio.to_thread.run_sync(lambda: asyncio.run(ask(Router("http://127.0.0.1:1"))))


# --- what comes back


async def test_records_are_there_as_their_lines_arrive(told):
    go = trio.Event()
    router, app = await told(parts=[line(record(0)), line(record(1))[:20], line(record(1))[20:]], may_go_on=go)
    async with router.providers(CID_) as found:
        with trio.fail_after(5):
            assert await anext(found) == provider(0)
        assert app.sent == 1
        go.set()
        assert [each async for each in found] == [provider(1)]
        with assert_checkpoints(), pytest.raises(StopAsyncIteration):
            await anext(found)


async def test_one_document(told):
    records = [record(0), {"Schema": "bitswap"}, "junk", record(1)]
    whole = line({"Providers": records, "Extra": 1})
    router, _ = await told(kind="application/json; charset=utf-8", parts=[whole[:50], whole[50:]])
    assert await ask(router) == [provider(0), provider(1)]


async def test_filters_are_applied_here_too(told):
    records = [
        record(0),
        record(1, Addrs=["/ip4/8.8.8.8/udp/1/quic-v1"]),
        record(2, Addrs=[]),
        record(3, Protocols=["x"]),
    ]
    router, _ = await told(parts=[line(each) for each in records])
    assert [each.id for each in await ask(router)] == ["id0", "id3"]
    assert [each.id for each in await ask(router, addrs=["unknown"])] == ["id2"]
    assert [each.id for each in await ask(router, addrs=(), protocols=["X"])] == ["id3"]


@pytest.mark.parametrize("kind", [NDJSON, "application/json"])
async def test_junk_between_the_lines_is_left_out(told, kind):
    junk = [b"{", b"<html>\n", b"\xff\n", b"[]\n", b"7\n\n\n", line({"Schema": "new"}), line(record())]
    router, _ = await told(parts=junk)
    assert await ask(router) == [provider()]


@pytest.mark.parametrize(
    ("kind", "body"), [(NDJSON, b"<html>\n<p>"), ("application/json", b"<html>"), ("application/json", b"[]")]
)
async def test_nothing_but_junk(told, kind, body):
    router, _ = await told(kind=kind, parts=[body])
    with pytest.raises(BadAnswer, match=r"http://127.0.0.1:\d+ sent an answer that cannot be read: ") as caught:
        await ask(router)
    assert caught.value.peer == router.public


@pytest.mark.parametrize("kind", ["text/html", "application/vnd.ipld.raw", None])
async def test_another_type(told, kind):
    router, _ = await told(kind=kind, parts=[line(record())])
    with pytest.raises(BadAnswer, match="is this a router"):
        await ask(router)


async def test_private_gateways_are_told_only_if_that_is_allowed(told):
    parts = [line(record(Addrs=["/ip4/127.0.0.1/tcp/80/http"]))]
    router, _ = await told(parts=parts)
    assert [each.gateways for each in await ask(router)] == [()]
    router, _ = await told(parts=parts, allow_private=True)
    assert [each.gateways for each in await ask(router)] == [("http://127.0.0.1",)]


# --- bounds


@pytest.mark.parametrize("kind", [NDJSON, "application/json"])
async def test_a_hundred_records_are_enough(told, kind):
    records = [record(n) for n in range(150)]
    parts = [line({"Providers": records})] if kind != NDJSON else [line(each) for each in records]
    router, _ = await told(kind=kind, parts=parts)
    assert await ask(router) == [provider(n) for n in range(100)]


async def test_a_router_that_never_ends_is_left_after_a_hundred_records(told):
    router, app = await told(parts=[line(record())] * 10, go_on=lambda n: n < 1_000_000)
    with trio.fail_after(5):
        assert len(await ask(router)) == 100
    assert app.sent < 10_000


@pytest.mark.parametrize("kind", [NDJSON, "application/json"])
async def test_a_body_over_a_mebibyte_is_refused_and_what_was_before_it_is_good(told, kind):
    parts = [line(record()), *[line(["x" * 1000]) * 20] * 60]
    router, _ = await told(kind=kind, parts=parts)
    found = []
    with pytest.raises(BadAnswer, match="more than the 1048576 bytes"):
        async with router.providers(CID_) as answer:
            async for each in answer:
                found.append(each)
    assert found == ([provider()] if kind == NDJSON else [])


async def test_an_endless_line_is_refused(told):
    router, app = await told(parts=[line(record()), *[b" " * 4096] * 1000])
    async with router.providers(CID_) as found:
        assert await anext(found) == provider()
        with pytest.raises(BadAnswer, match="a line has more than 65536 bytes"):
            await anext(found)
        with pytest.raises(StopAsyncIteration):
            await anext(found)
    assert app.sent < 1000


async def test_silence(peer):
    there = await peer(peer.says(f"HTTP/1.1 200 OK\r\nContent-Type: {NDJSON}\r\n\r\n".encode() + line(record())))
    async with Router(there.url, http=HTTP(idle=0.05)).providers(CID_) as found:
        assert await anext(found) == provider()
        with pytest.raises(Stalled):
            await anext(found)


async def test_a_slow_router_is_no_silent_one(told):
    """Lines are short and far apart where a router searches itself: that is not what `HTTP.progress` is against."""
    router, _ = await told(parts=[line(record(n)) for n in range(5)], pause=0.2, http=HTTP(idle=0.6, progress=100_000))
    assert len(await ask(router)) == 5


async def test_a_stream_that_is_cut_off_keeps_what_came(peer):
    whole = f"HTTP/1.1 200 OK\r\nContent-Type: {NDJSON}\r\nContent-Length: 9999\r\n\r\n".encode() + line(record())
    there = await peer(peer.says(whole, close=True))
    async with Router(there.url).providers(CID_) as found:
        assert await anext(found) == provider()
        with pytest.raises(PeerFailed):
            await anext(found)


async def test_leaving_early_closes_the_connection_and_ends_the_iteration(peer):
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {NDJSON}\r\n\r\n".encode()
    there = await peer(peer.for_ever(head, line(record()) * 2, pause=0.01))
    async with Router(there.url).providers(CID_) as found:
        await anext(found)
    with pytest.raises(StopAsyncIteration):
        await anext(found)
    await there.wait_for(lambda: there.closed == 1)


# --- refusals


async def test_404_is_nothing(told):
    router, _ = await told(status=404, kind="text/plain", parts=[b"no"])
    assert await ask(router) == []


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (422, BadRequest, "does not take the question"),
        (501, NotOffered, "does not answer this kind of question"),
        (429, Busy, "is busy"),
        (502, Busy, "is busy"),
        (503, Busy, "is busy"),
        (504, Busy, "is busy"),
        (500, PeerFailed, "failed"),
        (400, BadAnswer, "is this a router"),
        (403, BadAnswer, "is this a router"),
        (204, BadAnswer, "is this a router"),
    ],
)
async def test_refusals(told, status, error, words):
    router, _ = await told(status=status)
    with pytest.raises(error, match=rf"127.0.0.1:\d+ .*{words}") as caught:
        await ask(router)
    assert type(caught.value) is error
    assert str(status) in str(caught.value)
    assert caught.value.peer == router.public
    assert getattr(caught.value, "retry_after", None) is None


@pytest.mark.parametrize("wait", ["7", formatdate(1_000_007, usegmt=True)])
async def test_busy_says_for_how_long(told, wait):
    headers = {"retry-after": wait, "date": formatdate(1_000_000, usegmt=True)}
    router, _ = await told(status=429, headers=headers)
    with pytest.raises(Busy, match="asks to wait 7 s") as caught:
        await ask(router)
    assert caught.value.retry_after == 7


async def test_nobody_there():
    with pytest.raises(Unreachable):
        await ask(Router("http://127.0.0.1:1"))


# --- the cache


async def test_an_answer_is_given_again_while_it_is_fresh(told):
    router, app = await told(parts=[line(record())], headers={"cache-control": "public, max-age=300"})
    with assert_checkpoints():
        assert await ask(router) == [provider()]
    with assert_checkpoints():
        assert await ask(router) == [provider()]
    assert len(app.asked) == 1
    assert await ask(router, addrs=["https"]) == [provider()]
    assert await ask(router, CID.of(b"other")) == [provider()]
    assert len(app.asked) == 3


async def test_an_absence_is_kept_too(told):
    router, app = await told(status=404, headers={"cache-control": "max-age=15"})
    assert await ask(router) == await ask(router) == []
    assert len(app.asked) == 1


@pytest.mark.parametrize(
    "told_", [{}, {"cache-control": "no-store, max-age=9"}, {"cache-control": "max-age=9", "age": "9"}], ids=str
)
async def test_what_must_not_be_kept_is_not(told, told_):
    router, app = await told(parts=[line(record())], headers=told_)
    assert await ask(router) == await ask(router)
    assert len(app.asked) == 2


async def test_half_an_answer_is_not_kept(told):
    router, app = await told(parts=[line(record(n)) for n in range(3)], headers={"cache-control": "max-age=9"})
    async with router.providers(CID_) as found:
        await anext(found)
    assert len(await ask(router)) == 3
    assert len(app.asked) == 2


async def test_a_refusal_is_not_kept(told):
    router, app = await told(status=500, headers={"cache-control": "max-age=9"})
    for _ in range(2):
        with pytest.raises(PeerFailed):
            await ask(router)
    assert len(app.asked) == 2


def test_freshness_is_measured_on_the_clock_of_the_run():
    """Runs have clocks of their own: what one has kept is nothing to the next."""
    headers = {"cache-control": "max-age=300"}
    router = Router("http://router.example", http=HTTP(client=canned(line(record()), headers)), allow_private=True)

    async def main():
        before = router._http.client.calls
        await ask(router)
        clock.jump(299)
        await ask(router)
        assert router._http.client.calls == before + 1
        clock.jump(2)
        await ask(router)
        assert router._http.client.calls == before + 2

    for _ in range(2):
        clock = MockClock()
        trio.run(main, clock=clock)


def canned(body, headers):
    """A client in whose network there is one answer to everything."""

    def answer(_request):
        client.calls += 1
        return httpx.Response(200, headers={"content-type": NDJSON, **headers}, content=body)

    class Client(httpx.AsyncClient):
        calls = 0

    client = Client(transport=httpx.MockTransport(answer))
    return client


# --- asking those that were found


class Rebound(trio.abc.HostnameResolver):
    """Every name is that of this machine."""

    async def getaddrinfo(self, host, port, *_):
        await trio.lowlevel.checkpoint()
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_public_name_that_leads_to_a_private_address_is_not_asked(peer, scheme):
    """The address is looked at once it is known, before anything is sent: no request, and no TLS handshake."""
    there = await peer(peer.says(peer.reply(b"secret")))
    trio.socket.set_custom_hostname_resolver(Rebound())
    url = f"{scheme}://gw.example.org:{there.port}"
    gateway = Router("https://router.example").transport(url)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 is loopback, and not on the public internet") as caught:
        await gateway.block(CID_)
    assert caught.value.peer == url
    await there.wait_for(lambda: there.closed == there.opened)
    assert there.requests == []
    if scheme == "https":
        return
    assert await Router("https://router.example", allow_private=True).transport(url).block(CID_) == b"secret"
    with pytest.raises(Unreachable):  # the connection that is open now is no way in
        await gateway.block(CID_)


async def test_a_redirect_is_no_way_in(peer, monkeypatch):
    """A gateway may be public and send us to our own network."""
    inside = await peer(peer.says(peer.reply(b"secret")))
    outside = await peer(peer.says(peer.reply(status="302 Found", Location=f"http://127.0.0.1:{inside.port}/")))
    checked = []

    def first_is_public(host):
        checked.append(host)
        return None if len(checked) <= 2 else f"{host} is loopback"

    monkeypatch.setattr("sessionctx.transports.http.connection.not_public", first_is_public)
    with pytest.raises(Unreachable, match="is loopback"):
        await Router("https://router.example").transport(outside.url).block(CID_)
    assert len(outside.requests) == 1
    assert inside.requests == []


async def test_what_is_private_by_its_text_is_not_even_connected_to(peer):
    there = await peer()
    with pytest.raises(Unreachable, match="is loopback"):
        await Router("https://router.example").transport(f"https://127.0.0.1:{there.port}").block(CID_)
    assert there.opened == 0


@pytest.mark.parametrize("allowed", [False, True])
def test_what_a_router_names_is_asked_over_http_only(allowed, monkeypatch):
    """Whatever transports there are for other addresses: nobody watches what those connect to."""
    monkeypatch.setitem(registry._factories, "pigeon", lambda url: pytest.fail(f"{url} was opened"))
    with pytest.raises(InvalidPeer):
        Router("https://router.example", allow_private=allowed).transport("pigeon://loft")


def test_a_client_of_ones_own_cannot_be_watched():
    http = HTTP(client=httpx.AsyncClient())
    with pytest.raises(ValueError, match="public_only= cannot be kept by a client="):
        Router("https://router.example", http=http)
    assert Router("https://router.example", http=http, allow_private=True).transport("https://gw.example")


async def test_errors_show_no_secret(served):
    url = (await served(Told(status=500))).replace("http://", "http://me:hunter2@")
    with pytest.raises(PeerError) as caught:
        await ask(Router(url))
    assert "hunter2" not in str(caught.value) + repr(vars(caught.value))

"""TLS of our own: the bytes come out right however they are cut, and an end is an end."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import partial

import attrs
import httpx
import pytest
import trio

from sessionctx.errors import PeerFailed, Unreachable
from sessionctx.transports import HTTP, HttpxTransport

OK = b"HTTP/1.1 200 OK\r\n"
BODY = bytes(range(256)) * 1500


async def fetch(url: str, tls: ssl.SSLContext) -> bytes:
    async with HTTP(tls=tls).get(url, peer="the peer") as response:
        return await response.read()


@pytest.fixture
def relay(peer):
    """Stands between us and a TLS server: passes on what we say, and lets *spoil* do as it likes with the answers."""

    async def listen(port, spoil):
        async def handle(stream):
            async with await trio.open_tcp_stream("127.0.0.1", port) as behind, trio.open_nursery() as nursery:
                nursery.start_soon(pump, stream, behind)
                with suppress(trio.BrokenResourceError):
                    await spoil(behind, stream)
                nursery.cancel_scope.cancel()

        return f"https://127.0.0.1:{await peer.listen(handle)}"

    async def pump(source, target):
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            async for data in source:
                await target.send_all(data)

    return listen


async def in_pieces(source, target, *, size):
    while data := await source.receive_some(size):
        await target.send_all(data)
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("size", [997, 50_000])
async def test_however_the_bytes_are_cut_on_the_way(peer, relay, authority, server_tls, version, size):
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(ours)
    ours.maximum_version = version
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(BODY) // 2, BODY[i::2]) for i in (0, 1))
    for answer, wanted in [
        (peer.reply(BODY), BODY),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n", BODY[0::2] + BODY[1::2]),
    ]:
        there = await peer(peer.says(answer), tls=server_tls)
        url = await relay(there.port, partial(in_pieces, size=size))
        for _ in range(2):
            assert await fetch(url, ours) == wanted
        assert there.opened == 1


async def test_large_bodies_are_sent(peer, server_tls, client_tls):
    async def handle(stream):
        tls = trio.SSLStream(stream, server_tls, server_side=True, https_compatible=True)
        got = b""
        while not got.endswith(b"!"):
            got += await tls.receive_some()
        await tls.send_all(peer.reply(b"%d" % len(got.partition(b"\r\n\r\n")[2])))

    async with httpx.AsyncClient(transport=HttpxTransport(tls=client_tls)) as client:
        answer = await client.post(f"https://127.0.0.1:{await peer.listen(handle)}", content=bytes(1_000_000) + b"!")
    assert answer.text == "1000001"


async def cut(source, target, *, after):
    """Pass on so many bytes, then hang up without a word."""
    passed = 0
    while passed < after and (data := await source.receive_some(after - passed)):
        await target.send_all(data)
        passed += len(data)
    await target.aclose()


async def test_a_peer_that_hangs_up_in_the_middle_of_a_record_has_failed(peer, relay, server_tls, client_tls):
    there = await peer(peer.says(peer.reply(BODY)), tls=server_tls)
    with pytest.raises(PeerFailed, match=r"it closed the connection \d+ bytes before the end"):
        await fetch(await relay(there.port, partial(cut, after=100_000)), client_tls)


async def test_a_peer_that_hangs_up_in_the_handshake_cannot_be_reached(peer, relay, server_tls, client_tls):
    there = await peer(tls=server_tls)
    for after in (1, 500):
        with pytest.raises(Unreachable, match="EOF occurred"):
            await fetch(await relay(there.port, partial(cut, after=after)), client_tls)


@pytest.mark.parametrize("politely", [False, True])
async def test_hanging_up_ends_a_body_that_has_no_other_end(peer, server_tls, client_tls, politely):
    async def play(stream, head):
        await stream.send_all(OK + b"\r\n" + BODY)
        await (stream.aclose() if politely else stream.transport_stream.aclose())

    there = await peer(play, tls=server_tls)
    assert await fetch(there.url, client_tls) == BODY


async def test_bytes_that_are_changed_on_the_way_are_a_failure(peer, relay, server_tls, client_tls):
    @attrs.define
    class Change:
        seen: int = 0

        async def __call__(self, source, target):
            while data := await source.receive_some():
                self.seen += len(data)
                await target.send_all(data if self.seen < 100_000 else bytes(byte ^ 1 for byte in data))

    there = await peer(peer.says(peer.reply(BODY)), tls=server_tls)
    with pytest.raises(PeerFailed, match="broke off its answer"):
        await fetch(await relay(there.port, Change()), client_tls)


async def test_more_than_was_asked_for_spoils_no_other_answer(peer, server_tls, client_tls):
    """What came with the last answer, decrypted or not, is found before the next request goes out."""
    there = await peer(peer.says(peer.reply(BODY) + b"and more"), tls=server_tls)
    for opened in (1, 2):
        assert await fetch(there.url, client_tls) == BODY
        assert there.opened == opened


@pytest.mark.parametrize("size", [4, 12_000])
async def test_junk_behind_an_answer_spoils_no_other_one(peer, relay, authority, server_tls, size):
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(ours)
    ours.maximum_version = ssl.TLSVersion.TLSv1_2  # so that nothing but the answer follows the request

    async def add_junk(source, target):
        while data := await source.receive_some():
            await target.send_all(data + (b"no TLS" if there.requests else b""))

    there = await peer(peer.says(peer.reply(BODY[:size])), tls=server_tls)
    url = await relay(there.port, add_junk)
    assert await fetch(url, ours) == BODY[:size]
    there.requests.clear()
    assert await fetch(url, ours) == BODY[:size]
    assert there.opened == 2

"""The door to HTTP, where it sends something: bodies of known length, other methods, answers that are no success."""

from __future__ import annotations

import gc
import ssl
import weakref

import httpx
import pytest
import trio
import trustme

from sessionctx.errors import PeerFailed, Stalled
from sessionctx.transports import HTTP, Body

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Taker:
    """A peer that takes bodies in, and answers all in the same way."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.came = bytearray()
        self.heads: list[bytes] = []
        self.opened = 0
        self.url = ""

    async def start(self, peer, tls=None):
        async def handle(stream):
            self.opened += 1
            await self.serve(trio.SSLStream(stream, tls, server_side=True, https_compatible=True) if tls else stream)

        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{await peer.listen(handle)}"
        return self

    async def serve(self, stream):
        data = b""
        while chunk := await stream.receive_some(65536):
            data += chunk
            if b"\r\n\r\n" not in data:
                continue
            head, _, body = data.partition(b"\r\n\r\n")
            self.heads.append(head + b"\r\n\r\n")
            lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            left = sum(lengths) - len(body)
            self.came += body
            while left and (chunk := await stream.receive_some(65536)):
                left -= len(chunk)
                self.came += chunk
            await stream.send_all(self.answer)
            data = b""


async def pieces(*given):
    for piece in given:
        await trio.lowlevel.checkpoint()
        yield piece


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("way", ["buffers", "iterable", "client"])
async def test_a_body_goes_out_whole(peer, way, tls):
    authority = trustme.CA()
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.configure_trust(ours)
    given = [b"a" * 300_000, bytearray(b"b" * 70_000), b"", memoryview(b"c" * 600_000)[5:]]
    went = []
    there = await Taker().start(peer, theirs if tls else None)
    body = Body.of(*given) if way == "buffers" else Body(969_995, pieces(*given))
    async with httpx.AsyncClient(verify=ours) as client:
        http = HTTP(client=client) if way == "client" else HTTP(tls=ours)
        for _ in range(2 if way == "buffers" else 1):  # buffers can be sent again
            async with http.request("PUT", there.url + "/x", peer="it", body=body, went=went.append) as response:
                assert await response.read() == b"ok"
    assert there.came[-969_995:] == b"".join(given)
    assert sum(went) == len(there.came)
    head = there.heads[0].lower()
    assert head.startswith(b"put /x http/1.1\r\n")
    assert b"\r\ncontent-length: 969995\r\n" in head
    assert b"transfer-encoding" not in head
    assert there.opened == 1


async def test_a_buffer_goes_with_the_request_that_sent_it(peer):
    class Part(bytearray):
        """One that can be told to be gone."""

    there = await Taker().start(peer)
    gc.collect()
    gc.disable()
    try:
        part = Part(8 * 1024 * 1024)
        alive = weakref.ref(part)
        async with HTTP().request("PUT", there.url, peer="it", body=Body.of(memoryview(part))) as response:
            await response.read()
            del part, response
        assert alive() is None
    finally:
        gc.enable()


async def test_head_has_headers_and_no_body(peer):
    there = await peer(peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: x\r\n\r\n"))
    for _ in range(2):
        async with HTTP().request("HEAD", there.url, peer="it") as response:
            assert response.headers["content-length"] == "12345"
            assert await response.read() == b""
    assert there.opened == 1


async def test_an_error_brings_its_complaint_within_bounds(peer):
    there = await peer(peer.says(peer.reply(b"<Error/>" * 20_000, status="403 Forbidden")))
    async with HTTP().request("GET", there.url, peer="it") as response:
        assert response.complaint == (b"<Error/>" * 20_000)[:65536]
    there = await peer(peer.says(peer.reply(b"short", status="404 Not Found")))
    for _ in range(2):
        async with HTTP().request("DELETE", there.url, peer="it") as response:
            assert (response.status, response.complaint) == (404, b"short")
    assert there.opened == 1


async def test_only_what_is_harmless_is_sent_on(peer):
    goal = await Taker().start(peer)
    there = await Taker(peer.reply(b"", status="307 Temporary Redirect", Location=goal.url)).start(peer)
    async with HTTP().request("PUT", there.url, peer="it", body=Body.of(b"x")) as response:
        assert response.status == 307
    moved = await peer(peer.says(peer.reply(b"", status="307 Temporary Redirect", Location=goal.url)))
    async with HTTP().request("GET", moved.url, peer="it", raw=True) as response:
        assert (response.status, response.headers["location"]) == (307, goal.url)
    assert goal.heads == []


async def test_a_raw_body_may_be_encoded(peer):
    there = await peer(peer.says(peer.reply(b"zipped", Content_Encoding="gzip")))
    async with HTTP().request("GET", there.url, peer="it", raw=True) as response:
        assert await response.read() == b"zipped"


async def test_a_peer_that_answers_before_it_has_all_is_heard(peer):
    async def refuse(stream):
        await stream.receive_some(1000)
        await stream.send_all(peer.reply(b"no room", status="507 Insufficient Storage"))
        await stream.aclose()

    url = f"http://127.0.0.1:{await peer.listen(refuse)}"
    async with HTTP().request("PUT", url, peer="it", body=Body.of(bytes(20_000_000))) as response:
        assert (response.status, response.complaint) == (507, b"no room")


async def test_a_peer_that_takes_nothing_is_noticed(peer):
    async def hang(stream):
        await trio.sleep_forever()

    port = await peer.listen(hang)
    with pytest.raises(Stalled, match=r"took nothing .* 0\.2 s"):
        async with HTTP(idle=0.2).request(
            "PUT", f"http://127.0.0.1:{port}", peer="it", body=Body.of(bytes(50_000_000))
        ):
            pass


async def test_a_slow_source_is_not_the_peers_fault(peer):
    async def slow():
        yield b"a"
        await trio.sleep(0.3)
        yield b"b"

    there = await Taker().start(peer)
    async with HTTP(idle=0.1, header=0.1).request("PUT", there.url, peer="it", body=Body(2, slow())) as response:
        assert response.ok
    assert there.came == b"ab"


@pytest.mark.parametrize("length", [1, 3])
async def test_a_body_of_another_length_than_it_said_is_refused(peer, length):
    there = await Taker().start(peer)
    with pytest.raises(ValueError, match=r"as long as it said"):
        async with HTTP().request("PUT", there.url, peer="it", body=Body(length, pieces(b"ab"))):
            pass


async def test_what_was_sent_is_not_sent_again_by_itself(peer):
    count = 0

    async def play(stream, head):
        nonlocal count
        count += 1
        await stream.send_all(OK) if count == 1 else await stream.aclose()

    there = await peer(play)
    async with HTTP().request("POST", there.url, peer="it", body=Body.of()) as response:
        await response.read()
    with pytest.raises(PeerFailed):
        async with HTTP().request("POST", there.url, peer="it", body=Body.of()):
            pass
    assert count == 2


async def test_bytes_of_a_range_are_read_as_fast_as_of_a_whole(peer):
    body = bytes(3_000_000)
    there = await peer(peer.says(peer.reply(body, status="206 Partial Content")))
    async with HTTP().request("GET", there.url, peer="it", raw=True) as response:
        sizes = [len(chunk) async for chunk in response]
    assert sum(sizes) == len(body)
    assert max(sizes) > 65536

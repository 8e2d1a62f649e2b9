"""CARs from a gateway, whole, cut, false and foul."""

from __future__ import annotations

import httpx
import pytest
import trio

from sessionctx.content import CID, MAX_BLOCK, car
from sessionctx.errors import BadAnswer, CarError, CarTruncated, PeerFailed, SessionctxError, Stalled
from sessionctx.testing.transport import Told
from sessionctx.transports import HTTP, GatewayTransport

BLOCKS = [(CID.of(data), data) for data in (b"one", b"two" * 20, b"three" * 40)]
HEADER = car.encode_header([BLOCKS[0][0]])
SECTIONS = [car.encode_section(cid, data) for cid, data in BLOCKS]
WHOLE = HEADER + b"".join(SECTIONS)
KIND = "application/vnd.ipld.car; version=1; order=dfs; dups=n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.car\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def read(url: str, into: list, http: HTTP | None = None, **options) -> None:
    async with GatewayTransport(url, http=http).car(BLOCKS[0][0], **options) as answer:
        async for section in answer:
            into.append(section)


async def blocks_before(error: type[SessionctxError], match: str, url: str, **options) -> list:
    """Return what came before the error."""
    got: list = []
    with pytest.raises(error, match=match) as caught:
        await read(url, got, **options)
    assert type(caught.value) is error
    assert url in str(caught.value)
    return got


async def test_a_car(peer):
    there = await peer(peer.says(peer.reply(WHOLE, kind=KIND)))
    told = Told()
    async with GatewayTransport(there.url).car(BLOCKS[0][0], progress=told) as answer:
        assert (answer.order, answer.dups, answer.roots) == ("dfs", False, None)
        assert [section async for section in answer] == BLOCKS
        assert answer.roots == (BLOCKS[0][0],)
        with pytest.raises(StopAsyncIteration):
            await anext(answer)
    assert told.total == len(WHOLE)
    assert b"\r\nAccept: application/vnd.ipld.car; version=1; order=dfs; dups=n\r\n" in there.requests[0]


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, "?format=car&dag-scope=all"),
        ({"scope": "block"}, "?format=car&dag-scope=block"),
        ({"path": "/a/b", "scope": "entity"}, "/a/b?format=car&dag-scope=entity"),
        ({"path": "a b/ü/%41?#&/x:y/"}, "/a%20b/%C3%BC/%2541%3F%23%26/x%3Ay?format=car&dag-scope=all"),
        ({"span": "0:*"}, "?format=car&dag-scope=entity&entity-bytes=0:*"),
        ({"span": "-10:-1", "scope": "all"}, "?format=car&dag-scope=entity&entity-bytes=-10:-1"),
    ],
)
async def test_what_is_asked(peer, options, target):
    there = await peer(peer.says(peer.reply(WHOLE, kind=KIND)))
    got: list = []
    await read(there.url + "/prefix", got, **options)
    asked = there.requests[0].split()[1].decode()
    assert asked == f"/prefix/ipfs/{BLOCKS[0][0]}{target}&car-version=1&car-order=dfs&car-dups=n"
    assert got == BLOCKS


@pytest.mark.parametrize("span", ["", "1", "1:2:3", "a:b", "*:1", "0:*&x=y"])
def test_what_is_no_span(span):
    with pytest.raises(ValueError, match="is no byte range: write from:to"):
        GatewayTransport("http://127.0.0.1:1").car(BLOCKS[0][0], span=span)


@pytest.mark.parametrize(
    ("kind", "order", "dups"),
    [
        ("application/vnd.ipld.car", "unk", None),
        ("application/vnd.ipld.car; version=1; order=unk; dups=y", "unk", True),
        ('Application/Vnd.Ipld.Car;dups="n";order="dfs"', "dfs", False),
        ("application/vnd.ipld.car; order=bfs; dups=maybe", "unk", None),
    ],
)
async def test_what_the_type_promises(peer, kind, order, dups):
    there = await peer(peer.says(peer.reply(WHOLE, kind=kind)))
    async with GatewayTransport(there.url).car(BLOCKS[0][0]) as answer:
        assert (answer.order, answer.dups) == (order, dups)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text/html", "sent 'text/html': is this a gateway"),
        ("application/vnd.ipld.raw", "not application/vnd.ipld.car"),
        ("application/vnd.ipld.car; version=2", "a CAR of version '2' though 1 was asked for"),
        (None, "without a Content-Type"),
    ],
)
async def test_the_type_is_looked_at_first(peer, kind, message):
    there = await peer(peer.says(peer.reply(WHOLE, kind=kind)))
    assert await blocks_before(BadAnswer, message, there.url) == []


async def test_what_nobody_asked_for_is_passed_on(peer):
    """Foreign blocks, duplicates, another order, a false name: others decide what they are worth."""
    foreign = (CID.of(b"foreign"), b"foreign")
    false = (BLOCKS[0][0], b"not what it says")
    sent = [BLOCKS[2], foreign, BLOCKS[1], BLOCKS[1], false, BLOCKS[0], BLOCKS[2]]
    body = car.encode_header([foreign[0]]) + b"".join(car.encode_section(cid, data) for cid, data in sent)
    there = await peer(peer.says(peer.reply(body, kind=KIND)))
    got: list = []
    await read(there.url, got)
    assert got == sent


@pytest.mark.parametrize("polite", [True, False], ids=["ended", "broken off"])
async def test_a_cut_anywhere(peer, polite):
    """What came before the cut is good; the cut is noticed, except between two blocks of a stream that was ended."""
    ends = [len(HEADER) + sum(map(len, SECTIONS[:n])) for n in range(len(SECTIONS) + 1)]
    cut = 0

    async def play(stream, head):
        body = chunk(WHOLE[:cut]) if cut else b""
        await stream.send_all(CHUNKED + body + (b"0\r\n\r\n" if polite else b""))
        if not polite:
            await stream.aclose()

    there = await peer(play)
    for cut in range(len(WHOLE)):
        before = BLOCKS[: sum(end <= cut for end in ends[1:])]
        if not polite:
            assert await blocks_before(PeerFailed, "broke off its answer", there.url) == before
        elif cut not in ends:
            assert await blocks_before(CarTruncated, "the CAR ends within", there.url) == before
        else:
            got: list = []
            await read(there.url, got)
            assert got == before
    assert there.opened == (1 if polite else len(WHOLE))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_however_the_bytes_are_cut_the_blocks_are_the_same(peer, size):
    pieces = [chunk(WHOLE[at : at + size]) for at in range(0, len(WHOLE), size)]
    there = await peer(peer.says(CHUNKED, *pieces, b"0\r\n\r\n"))
    got: list = []
    await read(there.url, got)
    assert got == BLOCKS


@pytest.mark.parametrize(
    ("foul", "error"),
    [
        (b"\x0a\xa1gversion\x01", CarError),
        (b"\x00", CarError),
        (b"<html>this is no CAR but a page</html>" * 9, CarError),
        (b"\xff\xff\xff\xff\x7f" + bytes(100), CarError),
        (b"\xff" * 100, CarError),
        (b"", CarTruncated),
    ],
)
async def test_a_bad_header(peer, foul, error):
    there = await peer(peer.says(peer.reply(foul, kind=KIND)))
    assert await blocks_before(error, "CAR", there.url) == []


@pytest.mark.parametrize(
    "foul",
    [
        b"\x00",
        b"\xff\xff\xff\x7f" + bytes(1000),
        car.varint.encode(MAX_BLOCK + 300) + bytes(5000),
        b"\xff" * 20,
        b"\x05\x99\x99\x99\x99\x99" + bytes(100),
    ],
    ids=["empty", "huge", "large", "endless", "nameless"],
)
async def test_a_bad_section_behind_good_ones(peer, foul):
    """Nothing is read, and nothing is kept, of a section that cannot be one."""
    there = await peer(peer.for_ever(CHUNKED + chunk(WHOLE + foul), chunk(bytes(10_000))))
    assert await blocks_before(CarError, "CAR", there.url) == BLOCKS
    await there.wait_for(lambda: there.closed == 1)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("words", [b"\nerror: context deadline exceeded", b"Internal Server Error: node not found\n"])
async def test_words_at_the_end_mean_that_it_was_cut(peer, words, apart):
    parts = [chunk(WHOLE), chunk(words)] if apart else [chunk(WHOLE + words)]
    there = await peer(peer.says(CHUNKED, *parts, b"0\r\n\r\n"))
    assert await blocks_before(CarTruncated, "the CAR ends", there.url) == BLOCKS


async def test_nothing_follows_an_error(peer):
    there = await peer(peer.says(peer.reply(WHOLE + b"\x00", kind=KIND)))
    async with GatewayTransport(there.url).car(BLOCKS[0][0]) as answer:
        for _ in BLOCKS:
            await anext(answer)
        with pytest.raises(CarError):
            await anext(answer)
        with pytest.raises(StopAsyncIteration):
            await anext(answer)


async def test_a_car_that_stalls_keeps_its_blocks(peer):
    there = await peer(peer.says(CHUNKED + chunk(WHOLE) + b"5\r\nabc"))
    assert await blocks_before(Stalled, "fewer than 1024 bytes", there.url, http=HTTP(idle=0.1)) == BLOCKS


async def test_blocks_come_as_they_arrive(peer):
    """The first block is there before the second is sent."""
    go_on = trio.Event()

    async def play(stream, head):
        await stream.send_all(CHUNKED + chunk(HEADER + SECTIONS[0]))
        await go_on.wait()
        await stream.send_all(chunk(SECTIONS[1]) + b"0\r\n\r\n")

    there = await peer(play)
    async with GatewayTransport(there.url).car(BLOCKS[0][0]) as answer:
        assert await anext(answer) == BLOCKS[0]
        go_on.set()
        assert [section async for section in answer] == [BLOCKS[1]]


@pytest.mark.parametrize("ours", [True, False], ids=["our connections", "a client's"])
async def test_a_wait_that_was_cancelled_is_not_the_end(peer, ours):
    """Our own connections can be waited for again; a client's cannot, and say so."""
    go_on = trio.Event()

    async def play(stream, head):
        await stream.send_all(CHUNKED + chunk(HEADER + SECTIONS[0]))
        await go_on.wait()
        await stream.send_all(chunk(SECTIONS[1]) + b"0\r\n\r\n")

    there = await peer(play)
    async with httpx.AsyncClient() as client:
        http = HTTP() if ours else HTTP(client=client)
        async with GatewayTransport(there.url, http=http).car(BLOCKS[0][0]) as answer:
            assert await anext(answer) == BLOCKS[0]
            with trio.move_on_after(0.01) as patience:
                await anext(answer)
            assert patience.cancelled_caught
            go_on.set()
            if ours:
                assert [section async for section in answer] == [BLOCKS[1]]
            else:
                with pytest.raises(PeerFailed, match="given up"):
                    await anext(answer)
                with pytest.raises(StopAsyncIteration):
                    await anext(answer)


async def test_leaving_early_stops_the_peer(peer):
    there = await peer(peer.for_ever(CHUNKED + chunk(HEADER), chunk(SECTIONS[2] * 100)))
    async with GatewayTransport(there.url).car(BLOCKS[0][0]) as answer:
        assert await anext(answer) == BLOCKS[2]
    await there.wait_for(lambda: there.closed == 1)


async def test_an_error_of_the_reader_stops_the_peer_too(peer):
    there = await peer(peer.for_ever(CHUNKED + chunk(HEADER), chunk(SECTIONS[2] * 100)))
    with pytest.raises(ZeroDivisionError):
        async with GatewayTransport(there.url).car(BLOCKS[0][0]) as answer:
            async for _ in answer:
                raise ZeroDivisionError
    await there.wait_for(lambda: there.closed == 1)


async def test_leaving_at_the_last_block_keeps_the_connection(peer):
    """Whoever has all blocks need not wait for the end, which usually came along with the last one."""
    there = await peer(peer.says(peer.reply(WHOLE, kind=KIND)))
    for _ in range(3):
        async with GatewayTransport(there.url).car(BLOCKS[0][0]) as answer:
            for _ in BLOCKS:
                await anext(answer)
    assert there.opened == 1


async def test_each_block_is_a_checkpoint(peer):
    there = await peer(peer.says(peer.reply(WHOLE, kind=KIND)))
    async with GatewayTransport(there.url).car(BLOCKS[0][0]) as answer:
        await anext(answer)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(answer)
        assert scope.cancelled_caught
        assert await anext(answer) == BLOCKS[1]

"""Reading, from servers that change, damage, deny and break off."""

from __future__ import annotations

import math
import random

import pytest
import trio

from sessionctx import session
from sessionctx.errors import (
    AccessDenied,
    BadAnswer,
    Busy,
    FileChanged,
    FileDamaged,
    NoSuchFile,
    PeerFailed,
    Unreachable,
)
from sessionctx.storage.s3 import Sizes
from sessionctx.storage.s3.checksums import Crc, Digest
from sessionctx.storage.s3.pace import Pace
from sessionctx.testing.storage import content, everything
from tests.storage.s3.scripted import Reply, Request, error, in_turn, scripted

MIB = 1024 * 1024
DATA = random.Random(5).randbytes(16 * MIB + 5)
SMALL = Sizes(part=5 * MIB, at_once=3, enough=math.inf)


def serving(data: bytes, *, etag: str = '"v1"', **more):
    """Script: serve *data* as S3 does, ranges too."""

    def script(request: Request) -> Reply:
        headers = {"ETag": etag, **more}
        if "range" not in request.headers:
            return Reply(200, data, headers)
        start, _, end = request.headers["range"].removeprefix("bytes=").partition("-")
        first, last = int(start), min(int(end or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Reply(206, data[first : last + 1], headers)

    return script


def checksum(data: bytes, name: str = "crc64nvme") -> str:
    count = Crc(name) if name.startswith("crc") else Digest(name)
    count.add(data)
    return count.text


@pytest.mark.parametrize("name", ["crc64nvme", "crc32", "crc32c", "sha256", "sha1"])
async def test_a_flipped_bit_is_noticed_over_all_ranges(name):
    told = {f"x-amz-checksum-{name}": checksum(DATA, name), "x-amz-checksum-type": "FULL_OBJECT"}
    async with scripted(serving(DATA, **told), sizes=SMALL) as (storage, server):
        assert await content(storage, "x") == DATA
        assert len(server.requests) > 3
        assert server.requests[0].headers["x-amz-checksum-mode"] == "ENABLED"
        assert all(request.headers["if-match"] == '"v1"' for request in server.requests[1:])
    damaged = bytearray(DATA)
    damaged[14 * MIB] ^= 4
    async with scripted(serving(bytes(damaged), **told), sizes=SMALL) as (storage, _):
        with pytest.raises(FileDamaged, match=name):
            await content(storage, "x")


@pytest.mark.parametrize(
    "told",
    [
        {"x-amz-checksum-crc32": "AAAAAA==-3"},
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-crc32": "no Base64"},
        {"x-amz-checksum-unheard-of": "AAAAAA=="},
    ],
)
async def test_a_checksum_that_is_none_of_the_whole_does_not_count(told):
    async with scripted(serving(b"hello", **told)) as (storage, _):
        assert await content(storage, "x") == b"hello"


async def test_a_checksum_with_a_range_counts_only_if_that_is_all():
    async with scripted(serving(DATA, **{"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}), sizes=SMALL) as (storage, _):
        async with storage.read("x", offset=5, length=100) as reader:
            assert await everything(reader) == DATA[5:105]
    async with scripted(serving(b"hello", **{"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})) as (storage, _):
        with pytest.raises(FileDamaged):
            async with storage.read("x", length=100) as reader:
                await everything(reader)


@pytest.mark.parametrize("heeds", [True, False])
async def test_a_file_that_is_replaced_meanwhile_is_not_mixed(heeds):
    def script(request: Request) -> Reply:
        if "range" not in request.headers:
            return serving(DATA)(request)
        return error(412, "PreconditionFailed") if heeds else serving(DATA, etag='"v2"')(request)

    async with scripted(script, sizes=SMALL) as (storage, _):
        with pytest.raises(FileChanged, match="x"):
            await content(storage, "x")


async def test_what_breaks_off_goes_on_from_the_byte():
    served = serving(DATA)
    count = 0

    def script(request: Request) -> Reply:
        nonlocal count
        count += 1
        reply = served(request)
        return Reply(reply.status, reply.body, reply.headers, cut=1_000_000) if count % 2 else reply

    async with scripted(script, sizes=SMALL) as (storage, server):
        assert await content(storage, "x") == DATA
        starts = [request.headers.get("range", "bytes=0-") for request in server.requests]
        assert len(set(starts)) == len(starts), "something was asked for twice"


async def test_without_a_version_nothing_is_put_together():
    cut = Reply(200, DATA, {}, cut=1_000_000)
    async with scripted(in_turn(cut, Reply(200, DATA)), sizes=SMALL) as (storage, server):
        with pytest.raises(PeerFailed):
            await content(storage, "x")
        assert await content(storage, "x") == DATA
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(503, "SlowDown"), Busy),
        (error(429, ""), Busy),
        (error(500, "InternalError"), PeerFailed),
        (None, PeerFailed),
    ],
)
async def test_what_may_pass_is_tried_again_but_not_for_ever(reply, expected):
    async with scripted(in_turn(reply, reply, Reply(200, b"hello"))) as (storage, _):
        assert await content(storage, "x") == b"hello"
    async with scripted(in_turn(reply)) as (storage, server):
        with pytest.raises(expected):
            await content(storage, "x")
        assert len(server.requests) == 3
        with pytest.raises(expected):
            await storage.stat("x")
        assert len(server.requests) == 6


async def test_a_wait_that_is_asked_for_is_told():
    async with scripted(in_turn(error(503, "SlowDown", Retry_After="7"))) as (storage, _):
        with trio.move_on_after(0.3) as scope:
            await storage.stat("x")
        assert scope.cancelled_caught, "it did not wait"


@pytest.mark.parametrize(
    ("reply", "expected", "says"),
    [
        (error(404, "NoSuchKey"), NoSuchFile, "x is not there"),
        (error(404, "NoSuchBucket"), NoSuchFile, "no such bucket"),
        (error(403, "AccessDenied"), AccessDenied, "not public"),
        (error(403, "SignatureDoesNotMatch"), AccessDenied, "secret key is wrong"),
        (error(403, "RequestTimeTooSkewed"), AccessDenied, "clock"),
        (Reply(403, b"<not xml"), AccessDenied, "403"),
        (error(206, ""), BadAnswer, "does not say which"),
        (Reply(206, b"x", {"Content-Range": "bytes 5-2/3"}), BadAnswer, "cannot be"),
        (Reply(206, b"x", {"Content-Range": "bytes 1-1/3"}), BadAnswer, "another range"),
    ],
)
async def test_other_answers_are_told_as_they_are(reply, expected, says):
    async with scripted(in_turn(reply)) as (storage, server):
        with pytest.raises(expected, match=says) as caught:
            await content(storage, "x")
        assert "geheim" not in str(caught.value)
        assert len(server.requests) == 1


async def test_nobody_there():
    async with scripted(in_turn(None)) as (storage, server):
        port = server.port
    async with scripted(in_turn(None), endpoint=f"http://127.0.0.1:{port}") as (storage, _):
        with pytest.raises(Unreachable):
            await storage.stat("x")


async def test_a_bucket_in_another_region_is_asked_for_there():
    def script(request: Request) -> Reply:
        if "/eu-north-1/" in request.headers["authorization"]:
            return Reply(200, b"hello")
        return error(301, "PermanentRedirect", x_amz_bucket_region="eu-north-1")

    async with scripted(script) as (storage, server):
        assert await content(storage, "x") == b"hello"
        assert await content(storage, "x") == b"hello"
        assert len(server.requests) == 3


async def test_reading_ends_with_its_block_and_holds_a_few_ranges_at_most():
    async with scripted(serving(bytes(100 * MIB)), sizes=SMALL) as (storage, server):
        async with storage.read("x") as reader:
            await anext(reader)
            await trio.sleep(0.3)
        assert len(server.requests) == 3
        async with storage.read("x") as reader:
            with pytest.raises(ZeroDivisionError):
                1 / 0


async def test_each_range_is_a_request_of_one_want():
    async with scripted(serving(DATA), sizes=SMALL) as (storage, server):
        with session.begin() as s:
            await content(storage, "x")
        counted = s.statistics()
        assert counted.requests == len(server.requests) == 4
        assert (counted.wants, counted.found) == (1, 1)
        assert counted.bytes == len(DATA)


async def test_without_keys_nothing_is_signed():
    async with scripted(serving(b"hello"), unsigned=True) as (storage, server):
        assert await content(storage, "x") == b"hello"
        assert "authorization" not in server.requests[0].headers


async def test_a_stream_that_is_fast_enough_has_none_beside_it():
    async with scripted(serving(DATA), sizes=Sizes(part=5 * MIB, enough=1.0)) as (storage, server):
        assert await content(storage, "x") == DATA
        assert len(server.requests) == 1
    async with scripted(serving(DATA), sizes=Sizes(part=5 * MIB, enough=math.inf, at_once=1)) as (storage, server):
        assert await content(storage, "x") == DATA
        assert len(server.requests) == 1


async def test_a_stream_that_nobody_reads_lets_others_have_the_connection():
    async with scripted(serving(DATA), sizes=Sizes(part=5 * MIB, enough=1.0)) as (storage, server):
        with session.begin() as s:
            async with storage.read("x") as reader:
                pieces = [await anext(reader)]
                await trio.sleep(1.4)
                assert s.statistics().in_flight == 0
                pieces += [piece async for piece in reader]
            assert b"".join(pieces) == DATA
            assert (s.statistics().requests, s.statistics().wants) == (2, 1)
        starts = [
            int(request.headers.get("range", "bytes=0-").split("=")[1].split("-")[0]) for request in server.requests
        ]
        assert starts[0] == 0
        assert 5 * MIB <= starts[1] <= 6 * MIB


@pytest.mark.parametrize(
    ("steps", "slow"),
    [
        ([(4 * MIB, 0.01)], False),
        ([(MIB, 0.001), (MIB, 0.1)], True),
        ([(1000, 10.0)], True),
    ],
)
def test_the_first_bytes_tell_whether_a_stream_is_slow(steps, slow):
    pace = Pace()
    assert any(pace.slow(count, seconds) for count, seconds in steps if pace.open) == slow

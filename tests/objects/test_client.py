"""The client against our service, on real sockets; through a faulty proxy where it matters."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sessionctx import serve, session
from sessionctx.errors import (
    AccessDenied,
    InvalidObject,
    InvalidPeer,
    NotFound,
    ObjectError,
    OutcomeUnknown,
    PeerError,
    SourceUnreadable,
    Unreachable,
)
from sessionctx.objects import Delete, Expiration, Get, Head, Metadata, Objects, Put, SigningKey
from sessionctx.objects.shelf import open_shelf
from sessionctx.objects.tokens import KnownKey, Verifier
from sessionctx.peers import statistics
from sessionctx.serve.objects import Service, objects_app
from sessionctx.testing.proxy import Fault, open_proxy
from sessionctx.testing.storage import Broken, Pieces, listed
from sessionctx.transports import HTTP

LARGE = os.urandom(1_000_000) * 20
TEXT = b"some text " * 30_000


@pytest.fixture
async def shelf(tmp_path):
    async with open_shelf(tmp_path / "shelf") as shelf:
        yield shelf


@pytest.fixture
async def url(nursery, shelf):
    return await nursery.start(serve.run, objects_app(Service(shelf)))


def connect(url, **options):
    return Objects.connect(url, usecase="attachments", scope={"org": 42, "project": 7}, **options)


@pytest.fixture
async def objects(url):
    async with connect(url) as objects:
        yield objects


@asynccontextmanager
async def through_proxy(url, **options):
    async with (
        open_proxy(int(url.rpartition(":")[2])) as proxy,
        connect(f"http://127.0.0.1:{proxy.port}", **options) as it,
    ):
        yield it, proxy


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def read_all(objects, key, **options):
    async with objects.open(key, **options) as reading:
        return b"".join([bytes(piece) async for piece in reading])


# --- one by one


@pytest.mark.parametrize("encoding", [None, "zstd"])
@pytest.mark.parametrize("content", [b"", b"x", TEXT, LARGE[:1_048_577]], ids=len)
async def test_M2_what_is_put_is_got(objects, encoding, content):
    said = {"content_type": "text/x", "filename": "ü.txt", "origin": "hier", "custom": {"a": "b é"}}
    key = await objects.put(content, "a/b c", encoding=encoding, expiration=Expiration.ttl(days=3), **said)
    assert key == "a/b c"
    got = await objects.get(key)
    assert got.body == content
    assert (got.metadata.content_type, got.metadata.filename, got.metadata.origin) == ("text/x", "ü.txt", "hier")
    assert (got.metadata.custom, got.metadata.encoding) == ({"a": "b é"}, encoding)
    assert got.metadata.expires - got.metadata.created == timedelta(days=3)
    assert await read_all(objects, key) == content
    looked = await objects.head(key)
    assert looked.size == got.metadata.size
    assert looked.custom == {"a": "b é"}


async def test_M9_without_a_key_the_service_chooses_one(objects):
    first, second = await objects.put(b"one"), await objects.put(b"two")
    assert first != second
    assert (await objects.get(first)).body == b"one"


async def test_what_is_not_there_is_none_and_what_is_opened_has_to_be(objects):
    assert await objects.get("absent") is None
    assert await objects.head("absent") is None
    await objects.delete("absent")
    with pytest.raises(NotFound, match="absent"):
        async with objects.open("absent"):
            pass
    with pytest.raises(NotFound):
        await objects.extend_expiry("absent", from_now=timedelta(days=1))
    await objects.put(b"x", "k")
    await objects.delete("k")
    assert await objects.get("k") is None


async def test_ranges_are_of_what_is_stored(objects):
    await objects.put(TEXT, "k")
    assert await read_all(objects, "k", offset=5, length=10) == TEXT[5:15]
    assert await read_all(objects, "k", offset=299_990) == TEXT[299_990:]
    await objects.put(TEXT, "z", encoding="zstd")
    assert (await read_all(objects, "z", decompress=False))[:4] == b"\x28\xb5\x2f\xfd"
    assert await read_all(objects, "z", offset=0, length=4) == b"\x28\xb5\x2f\xfd"
    with pytest.raises(InvalidObject):
        await read_all(objects, "k", offset=10**9)


async def test_a_large_one_is_not_held(objects):
    await objects.put(TEXT, "k", encoding="zstd")
    got = await objects.get("k", most=1000)
    assert got.body is None
    assert got.metadata.encoding == "zstd"
    assert await read_all(objects, "k") == TEXT


@pytest.mark.parametrize("encoding", [None, "zstd"])
async def test_files_and_streams_of_any_length(objects, tmp_path, encoding):
    path = tmp_path / "file"
    for content in (b"", TEXT, LARGE):
        path.write_bytes(content)
        await objects.put(path, "file", encoding=encoding)
        await objects.put(
            Pieces([content[n : n + 700_000] for n in range(0, len(content), 700_000)]), "stream", encoding=encoding
        )
        assert await read_all(objects, "file") == await read_all(objects, "stream") == content
    assert (await objects.get(await objects.put(path))).body is None


async def test_a_file_that_is_not_there_is_a_clear_error(objects, tmp_path):
    with pytest.raises(SourceUnreadable, match="absent"):
        await objects.put(tmp_path / "absent", "k")


async def test_an_expiry_is_extended(objects):
    await objects.put(b"x", "k", expiration=Expiration.ttl(hours=1))
    before = (await objects.head("k")).expires
    await objects.extend_expiry("k", from_now=timedelta(days=2))
    await objects.extend_expiry("k", from_creation=timedelta(days=1))
    after = (await objects.head("k")).expires
    assert after - before > timedelta(hours=46)
    await objects.extend_expiry("k", at=datetime(2050, 1, 1, tzinfo=UTC))
    assert (await objects.head("k")).expires == datetime(2050, 1, 1, tzinfo=UTC)
    await objects.put(b"x", "manual")
    with pytest.raises(ObjectError, match="does not expire"):
        await objects.extend_expiry("manual", from_now=timedelta(days=1))
    with pytest.raises(ValueError, match="one of"):
        await objects.extend_expiry("k")


# --- by whose leave


async def test_keys_make_tokens_and_urls(nursery, shelf):
    private = Ed25519PrivateKey.generate()
    key = SigningKey.from_pem(
        "k1",
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    url = await nursery.start(serve.run, objects_app(Service(shelf, Verifier({"k1": KnownKey(key.public)}))))
    async with connect(url, key=key) as objects:
        await objects.put(b"secret", "a b")
        presigned = objects.presigned("a b", seconds=60)
    async with HTTP().get(presigned, peer=url) as answer:
        assert await answer.read() == b"secret"
    async with connect(url) as stranger:
        with pytest.raises(InvalidObject, match="no token"):
            await stranger.get("a b")
        with pytest.raises(ValueError, match="key"):
            stranger.presigned("a b")
    async with Objects.connect(url, usecase="other", token=key.token(stranger.place, now=0)) as late:
        with pytest.raises(AccessDenied, match="expired"):
            await late.get("a b")
        assert key.token(stranger.place, now=0) not in repr(late)


@pytest.mark.parametrize("options", [{"usecase": "x"}, {"usecase": "good", "scope": {"a/b": 1}}])
async def test_a_place_that_can_be_none_is_refused(options):
    with pytest.raises(InvalidObject):
        async with Objects.connect("http://localhost", **options):
            pass


async def test_an_address_that_is_none_is_refused():
    with pytest.raises(InvalidPeer):
        async with connect("ftp://localhost"):
            pass


# --- faults


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_a_resumable_upload_goes_on_where_it_broke(url, tmp_path, kind, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    async with through_proxy(url) as (objects, proxy):
        proxy.arm(None, Fault(kind, after=9_000_000, direction="up"), Fault(kind, after=5_000_000, direction="up"))
        with session.begin() as s:
            await objects.put(path, "k")
        assert await read_all(objects, "k") == LARGE
        assert proxy.up < 1.7 * len(LARGE)
        assert s.statistics().in_flight == 0


async def test_parts_are_sent_again(url):
    async with through_proxy(url) as (objects, proxy):
        proxy.arm(None, None, Fault("reset", after=3_000_000, direction="up"))
        await objects.put(Pieces([LARGE[n : n + 1_000_000] for n in range(0, len(LARGE), 1_000_000)]), "k")
        assert await read_all(objects, "k") == LARGE


async def test_an_error_comes_out_as_it_is(url):
    """Whoever catches it catches it: no nursery of ours wraps it."""
    async with through_proxy(url) as (objects, proxy):
        with pytest.raises(Broken):
            async with objects.many([Put(b"x", "k")]):
                raise Broken
        proxy.always = Fault("reset", after=3_000_000, direction="up")
        with pytest.raises(PeerError):
            await objects.put(Pieces([LARGE[:10_000_000]] * 2), "k")


@pytest.mark.parametrize("way", ["error", "cancelled"])
async def test_an_upload_that_is_given_up_leaves_nothing(objects, shelf, way):
    pieces = [LARGE[:5_000_000]] * 4
    source = Pieces(pieces, Broken()) if way == "error" else Pieces(pieces, hang=True)
    with trio.move_on_after(1.5):
        with pytest.raises(Broken) if way == "error" else session.leave():
            await objects.put(source, "k")
    assert await shelf.indexed(lambda index: index.abandoned(1e12, 10)) == []
    await shelf.sweep()
    assert [entry for entry in (await listed(shelf.content, recursive=True)).values() if entry.kind == "file"] == []
    assert await objects.get("k") is None


async def test_a_write_whose_answer_is_lost_is_unknown_without_a_key_and_done_again_with_one(url):
    async with through_proxy(url) as (objects, proxy):
        proxy.always = Fault("cut", after=0, direction="down")
        with pytest.raises(OutcomeUnknown):
            await objects.put(b"x")
        proxy.always = None
        proxy.arm(Fault("cut", after=0, direction="down"))
        assert await objects.put(b"x", "k") == "k"


async def test_nobody_there(nursery):
    async with connect("http://127.0.0.1:9") as objects:
        with pytest.raises(Unreachable):
            await objects.get("k")


async def test_reads_go_to_another_service_when_one_does_not_serve(url, shelf):
    async with (
        through_proxy(url) as (good, proxy),
        connect(["http://127.0.0.1:9", f"http://127.0.0.1:{proxy.port}"]) as both,
    ):
        await good.put(b"x", "k")
        with session.begin() as s:
            for _ in range(3):
                assert (await both.get("k")).body == b"x"
                assert await read_all(both, "k") == b"x"
            asked = {peer.url: peer.asked for peer in statistics(s)}
        assert asked["http://127.0.0.1:9"] == 1
        with pytest.raises(Unreachable):
            await both.put(b"x", "k")


# --- many


async def results(objects, operations, **options):
    async with objects.many(operations, **options) as found:
        return [result async for result in found]


async def test_M8_batched_and_single_are_the_same(objects):
    """Whatever is asked, in whichever way: the same comes back."""
    contents = {"text": TEXT, "small": b"s", "empty": b"", "limit": LARGE[:1_048_576], "over": LARGE[:1_048_577]}
    puts = [
        Put(content, f"{name}-{encoding}", Metadata(encoding=encoding, custom={"n": name}))
        for name, content in contents.items()
        for encoding in (None, "zstd")
    ]
    put = await results(objects, puts, ordered=True)
    assert [result.get() for result in put] == [operation.key for operation in puts]
    for decompress in (True, False):
        gets = [Get(operation.key, decompress=decompress) for operation in puts]
        for result in await results(objects, gets, ordered=True):
            single = await objects.get(result.operation.key, decompress=decompress)
            assert result.get().body == single.body
            assert result.get().metadata.custom == single.metadata.custom
            assert result.get().metadata.encoding == single.metadata.encoding
            if decompress:
                assert single.body == contents[result.operation.key.partition("-")[0]]
    heads = await results(objects, [Head(operation.key) for operation in puts], ordered=True)
    for result in heads:
        assert result.get() == await objects.head(result.operation.key)
    deleted = await results(objects, [Delete(operation.key) for operation in puts])
    assert all(result.error is None for result in deleted)
    assert [result.get() for result in await results(objects, [Get(operation.key) for operation in puts])] == [
        None
    ] * 10


async def test_M13_many_files_are_not_open_at_once(objects, tmp_path):
    for n in range(300):
        (tmp_path / str(n)).write_bytes(b"%d" % n)
    before = open_files()
    most = 0
    async with objects.many((Put(tmp_path / str(n), str(n)) for n in range(300)), concurrency=5) as found:
        async for result in found:
            assert result.error is None
            most = max(most, open_files())
    assert most < before + 40
    assert (await objects.get("299")).body == b"299"


async def test_M14_streams_go_alone_and_missing_files_fail_alone(objects, tmp_path):
    operations = [Put(Pieces([b"a", b"b"]), "stream"), Put(tmp_path / "absent", "file"), Put(b"x", "k"), Get("")]
    found = await results(objects, operations, ordered=True)
    assert [type(result.error) for result in found] == [type(None), SourceUnreadable, type(None), InvalidObject]
    assert (await objects.get("stream")).body == b"ab"


async def test_what_a_service_refuses_fails_alone(nursery, shelf):
    url = await nursery.start(serve.run, objects_app(Service(shelf, most=2_000_000)))
    async with connect(url) as objects:
        found = await results(objects, [Put(LARGE[:2_000_001], "large"), Put(b"x", "small")], ordered=True)
    assert isinstance(found[0].error, InvalidObject)
    assert found[1].get() == "small"


@pytest.mark.parametrize("after", [0, 300, 30_000])
async def test_M3_N7_a_reply_that_breaks_keeps_what_came_and_the_next_is_right(url, objects, after):
    contents = {str(n): os.urandom(1000) for n in range(60)}
    for result in await results(objects, [Put(content, key) for key, content in contents.items()]):
        result.get()
    async with through_proxy(url) as (broken, proxy):
        proxy.arm(Fault("reset", after=after))
        found = await results(broken, [Get(key) for key in contents] + [Put(b"new", "new")], concurrency=1)
        assert sum(result.error is None for result in found) < 61
        assert (after < 30_000) == all(result.error is not None for result in found)
        for result in found:
            if result.error is None:
                assert result.get().body == contents[result.operation.key]
            else:
                assert isinstance(result.error, OutcomeUnknown if isinstance(result.operation, Put) else PeerError)
        for result in await results(broken, [Get(key) for key in contents]):
            assert result.get().body == contents[result.operation.key]


async def test_a_session_counts_requests_and_not_operations(objects):
    with session.begin() as s:
        await results(objects, [Put(b"x", str(n)) for n in range(1500)])
    assert s.statistics().requests == 2
    assert statistics(s)[0].found == 2


async def test_leaving_early_leaves_nothing(url):
    async with through_proxy(url) as (objects, proxy):
        async with objects.many(Put(os.urandom(2_000_000), str(n)) for n in range(1000)) as found:
            await anext(found)
        await trio.testing.wait_all_tasks_blocked()
        assert proxy.open <= 16
        await objects.put(b"x", "k")
        assert (await objects.get("k")).body == b"x"

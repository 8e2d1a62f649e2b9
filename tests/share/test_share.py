"""Sharing: visible at once and whole or not at all, the same bytes for ever, within the room, and closed in good order."""

from __future__ import annotations

import hashlib

import pytest
import trio
import trio.testing

from sessionctx import session
from sessionctx.errors import (
    BlobNotFound,
    FileDamaged,
    FileExists,
    InvalidLocation,
    NoRoom,
    NotInTrio,
    SourceUnreadable,
    StoreClosed,
)
from sessionctx.share import Blob, BlobShare
from sessionctx.storage import LocalStorage, MemoryStorage, open_storage
from sessionctx.testing.storage import Broken, Pieces, listed
from tests.share.conftest import DATA, digest_of, loaded, nothing_left, read

KINDS = ["memory", "file"]


@pytest.fixture(params=KINDS)
def storage(request, tmp_path):
    if request.param == "memory":
        return MemoryStorage()
    (tmp_path / "root").mkdir()
    return LocalStorage(tmp_path / "root")


@pytest.fixture
async def share(storage):
    async with BlobShare.open(storage, grace=0) as share:
        yield share


async def here(share, name):
    async with share.read(name) as reader:
        return await read(reader)


async def files(storage):
    return sorted(path for path, entry in (await listed(storage, recursive=True)).items() if entry.kind == "file")


# --- what is given


@pytest.mark.parametrize("form", ["bytes", "bytearray", "memoryview", "pieces", "path", "text"])
async def test_a_blob_is_given_in_many_forms(share, storage, tmp_path, form):
    (tmp_path / "file").write_bytes(DATA)
    given = {
        "bytes": DATA,
        "bytearray": bytearray(DATA),
        "memoryview": memoryview(DATA),
        "pieces": Pieces([DATA[:10], DATA[10:]]),
        "path": tmp_path / "file",
        "text": str(tmp_path / "file"),
    }[form]
    blob = await share.share("a b", given, expect=digest_of(DATA))
    assert blob == Blob("a b", len(DATA), digest_of(DATA)) == await share.find("a b")
    assert await here(share, "a b") == DATA
    assert await files(storage) == ["blobs/.sha256/a b", "blobs/a b"]
    counted = share.statistics().share
    assert (counted.count, counted.succeeded, counted.bytes) == (1, 1, len(DATA))


async def test_it_is_visible_at_once_and_whole(share, storage):
    """While it comes, nobody sees anything of it."""
    send, receive = trio.open_memory_channel(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(share.share, "x", receive)
        await send.send(b"one")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BlobNotFound):
            async with share.read("y"):
                pass
        assert "blobs/x" not in await files(storage)
        await send.send(b"two")
        await send.aclose()
    assert await here(share, "x") == b"onetwo"


@pytest.mark.parametrize("how", ["error", "cancel", "digest", "unreadable"])
async def test_what_fails_leaves_nothing(share, storage, tmp_path, how):
    source = {
        "error": Pieces([DATA], Broken()),
        "cancel": Pieces([DATA], hang=True),
        "digest": DATA,
        "unreadable": tmp_path / "absent",
    }[how]
    raised = {"error": Broken, "digest": FileDamaged, "unreadable": SourceUnreadable}
    if how == "cancel":
        with trio.move_on_after(0.1) as scope:
            await share.share("x", source)
        assert scope.cancelled_caught
    else:
        with pytest.raises(raised[how]):
            await share.share("x", source, expect=digest_of(b"other"))
    assert await nothing_left(storage)
    with pytest.raises(BlobNotFound):
        await share.find("x")
    counted = share.statistics().share
    assert counted.count == counted.cancelled + sum(counted.failures.values()) == 1
    await share.share("x", DATA)


async def test_the_same_bytes_again_are_fine_and_others_an_error(share):
    """Row: different bytes under an existing id silently ignored."""
    first = await share.share("x", b"one")
    assert await share.share("x", Pieces([b"o", b"ne"])) == first
    with pytest.raises(FileExists, match=f"is shared as 'x', and not {digest_of(b'two')}"):
        await share.share("x", b"two")
    with pytest.raises(FileDamaged):
        await share.share("x", b"one", expect=digest_of(b"two"))
    assert await here(share, "x") == b"one"


async def test_many_who_share_one_id_at_once_agree(storage):
    """Two shares of one storage, as two processes: one of them wins, and the others are told."""
    results = []

    async def one(share, data):
        try:
            results.append((await share.share("x", Pieces([data, data]))).digest)
        except FileExists:
            results.append("exists")

    async with BlobShare.open(storage) as first, BlobShare.open(storage) as second:
        async with trio.open_nursery() as nursery:
            for share in (first, second):
                for data in (b"one", b"two", b"one"):
                    nursery.start_soon(one, share, data)
        won = await here(first, "x")
        assert (await first.find("x")).digest == (await second.find("x")).digest == digest_of(won)
    assert won in (b"oneone", b"twotwo")
    assert results.count(digest_of(won)) == (4 if won == b"oneone" else 2)
    assert results.count("exists") == 6 - results.count(digest_of(won))


@pytest.mark.parametrize("wrong", ["../x", "/abs", "http://a.example/x", "", ".x"])
async def test_an_id_that_is_none_is_refused(share, storage, wrong):
    for call in (share.share(wrong, b""), share.find(wrong), share.remove(wrong)):
        with pytest.raises(InvalidLocation):
            await call
    with pytest.raises(InvalidLocation):
        share.read(wrong)
    assert await nothing_left(storage)


async def test_a_blob_is_removed(share, storage):
    await share.share("x", b"one")
    await share.remove("x")
    await share.remove("x")
    assert await nothing_left(storage)
    assert (await share.share("x", b"two")).digest == digest_of(b"two")


# --- what others put there


async def test_a_file_that_somebody_put_there_is_a_blob(share, storage):
    await storage.write("blobs/x", DATA)
    assert await share.find("x") == Blob("x", len(DATA), digest_of(DATA))
    assert digest_of(DATA).removeprefix("sha256:").encode() in (await _file(storage, "blobs/.sha256/x"))


async def test_a_file_that_somebody_replaced_is_looked_through_again(storage):
    async with BlobShare.open(storage) as share:
        await share.share("x", b"one")
    await storage.write("blobs/x", b"two")
    async with BlobShare.open(storage) as share:
        assert (await share.find("x")).digest == digest_of(b"two")


class NoDigests(MemoryStorage):
    async def write(self, path, source, **kwargs):
        if ".sha256" in path:
            raise NoRoom("the disk is full")
        return await super().write(path, source, **kwargs)


async def test_a_blob_is_shared_though_its_digest_cannot_be_kept_beside_it():
    storage = NoDigests()
    async with BlobShare.open(storage) as share:
        blob = await share.share("x", DATA)
    async with BlobShare.open(storage) as share:
        assert await share.find("x") == blob


class Counting(MemoryStorage):
    """Counts reads."""

    reads = 0

    def read(self, path, **kwargs):
        type(self).reads += path == "blobs/x"
        return super().read(path, **kwargs)


async def test_who_looks_for_the_same_at_once_looks_through_it_once():
    storage = Counting()
    await storage.write("blobs/x", DATA)
    async with BlobShare.open(storage) as share:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(share.find, "x")
    assert Counting.reads == 1


async def test_a_folder_is_no_blob(share, storage):
    await storage.mkdir("blobs/x")
    with pytest.raises(BlobNotFound):
        await share.find("x")


async def test_it_is_known_again_when_it_is_opened_again(storage):
    async with BlobShare.open(storage) as share:
        blob = await share.share("x", DATA)
    async with BlobShare.open(storage) as share:
        assert await share.find("x") == blob


async def _file(storage, path):
    async with storage.read(path) as reader:
        return await read(reader)


# --- room


async def test_what_was_loaded_makes_room_the_least_recently_used_first(autojump_clock, world):
    """Row: no quota, no eviction."""
    blobs = {name: name.encode() * 1000 for name in "abcd"}
    urls = [await world.has(name, data, blob=name) for name, data in blobs.items()]
    storage = MemoryStorage()
    async with BlobShare.open(storage, http=world.http, max_bytes=3500) as share:
        for name in "abc":
            await loaded(share, name, urls)
        await loaded(share, "a", [])
        await loaded(share, "d", urls)
        with pytest.raises(BlobNotFound):
            await share.find("b")
        assert [await here(share, name) for name in "acd"] == [blobs[name] for name in "acd"]
        assert share.statistics().evicted == 1
        assert await files(storage) == [
            *(f"blobs/.sha256/{name}" for name in "acd"),
            *(f"blobs/{name}" for name in "acd"),
        ]
    async with BlobShare.open(storage, http=world.http, max_bytes=2000) as share:
        await loaded(share, "b", urls)
        assert share.statistics().evicted == 2
        assert await loaded(share, "d", []) == blobs["d"], "it was written last"


async def test_what_was_shared_here_does_not_go(autojump_clock, world):
    url = await world.has("a", b"l" * 600, blob="loaded")
    storage = MemoryStorage()
    async with BlobShare.open(storage, http=world.http, max_bytes=1000) as share:
        await share.share("own", b"o" * 600)
        with pytest.raises(NoRoom, match="max_bytes=1000"):
            await loaded(share, "loaded", [url])
        with pytest.raises(NoRoom):
            await share.share("more", Pieces([b"m" * 300] * 3))
        await share.remove("own")
        await loaded(share, "loaded", [url])
        await share.share("own", b"o" * 600)
        with pytest.raises(BlobNotFound):
            await share.find("loaded")
    async with BlobShare.open(storage, http=world.http, max_bytes=1000) as share:
        with pytest.raises(NoRoom):
            await loaded(share, "loaded", [url])
        assert await here(share, "own") == b"o" * 600


async def test_what_was_loaded_and_then_shared_is_own(autojump_clock, world):
    url = await world.has("a", b"l" * 600)
    async with BlobShare.open(MemoryStorage(), http=world.http, max_bytes=1000) as share:
        await loaded(share, "x", [url])
        await share.share("x", b"l" * 600)
        with pytest.raises(NoRoom):
            await share.share("y", b"o" * 600)


async def test_what_is_being_read_does_not_go(autojump_clock, world):
    url = await world.has("a", b"l" * 600)
    async with BlobShare.open(MemoryStorage(), http=world.http, max_bytes=1000) as share:
        async with share.load("x", [url]) as reader:
            with pytest.raises(NoRoom):
                await share.share("y", b"o" * 600)
            assert await reader.read_at(0) == b"l" * 600
        await share.share("y", b"o" * 600)


async def test_what_failed_takes_no_room(autojump_clock, world):
    async with BlobShare.open(MemoryStorage(), http=world.http, max_bytes=1000) as share:
        for _ in range(3):
            with pytest.raises(Broken):
                await share.share("x", Pieces([b"x" * 900], Broken()))
        await share.share("x", b"x" * 900)


# --- the end


async def hanging(scope, receive, send):
    await trio.sleep_forever()


async def test_it_waits_for_what_is_under_way_and_no_longer_than_its_grace(autojump_clock, world, nursery):
    """Row: no cancel; join can hang for an hour."""
    storage, results = MemoryStorage(), []

    urls = {"quick": await world.has("quick", latency=2), "never": world.add("never", hanging)}

    async def one(name):
        try:
            results.append((name, len(await loaded(share, "x" if name == "quick" else "y", [urls[name]]))))
        except StoreClosed:
            results.append((name, "closed"))

    async with BlobShare.open(storage, http=world.http, grace=5) as share:
        for name in urls:
            nursery.start_soon(one, name)
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == 5
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(results) == [("never", "closed"), ("quick", len(DATA))]
    assert "blobs/y" not in await files(storage)
    for call in (share.share("x", b""), share.find("x"), loaded(share, "x", [])):
        with pytest.raises(StoreClosed):
            await call
    assert share.statistics().load.count == 3


async def test_an_error_in_the_block_does_not_wait(autojump_clock, world, nursery):
    urls = [world.add("never", hanging)]
    ended = trio.Event()

    async def one():
        with pytest.raises(StoreClosed):
            await loaded(share, "x", urls)
        ended.set()

    with pytest.raises(Broken):
        async with BlobShare.open(MemoryStorage(), http=world.http, grace=50) as share:
            nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            raise Broken
    await ended.wait()
    assert trio.current_time() == 0


async def test_a_reader_is_waited_for_and_refused_after_that(autojump_clock, nursery):
    async def one(task_status):
        async with share.read("x") as reader:
            task_status.started()
            await trio.sleep(1)
            assert await read(reader) == DATA
            await trio.sleep(1)
            with pytest.raises(StoreClosed):
                await reader.read_at(0)

    async with BlobShare.open("memory://", grace=5) as share:
        await share.share("x", DATA)
        await nursery.start(one)
    assert trio.current_time() == 2


async def test_being_cancelled_it_does_not_wait(autojump_clock, world, nursery):
    urls = [world.add("never", hanging)]

    async def one():
        with pytest.raises(StoreClosed):
            await loaded(share, "x", urls)

    with trio.move_on_after(1):
        async with BlobShare.open(MemoryStorage(), http=world.http, grace=50) as share:
            nursery.start_soon(one)
            await trio.sleep_forever()
    assert trio.current_time() == 1


async def test_it_binds_no_session(storage):
    async with BlobShare.open(storage) as share:
        assert session.current(None) is None
        await share.share("x", b"")
        async with share.load("x") as reader:
            assert session.current(None) is None
            assert reader.blob.size == 0
    with session.begin() as s:
        async with BlobShare.open(storage) as share:
            assert session.current() is s
            await share.share("x", b"")
        assert s.ended is None
        assert s.statistics().found == 1


async def test_it_is_opened_by_a_url(tmp_path):
    async with BlobShare.open(f"file://{tmp_path}/a") as share:
        await share.share("x", DATA)
    assert (tmp_path / "a/blobs/x").read_bytes() == DATA
    async with open_storage(f"file://{tmp_path}/a") as storage:
        assert await _file(storage, "blobs/.sha256/x") == f"{hashlib.sha256(DATA).hexdigest()}  x\n".encode()


def test_outside_trio_it_says_so():
    with pytest.raises(NotInTrio):
        BlobShare.open("memory://").__aenter__().send(None)

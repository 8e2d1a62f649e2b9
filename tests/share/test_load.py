"""Loads: what services do wrong, and how a blob comes all the same, verified, or not at all. On trio's clock."""

from __future__ import annotations

import functools
import itertools

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.errors import (
    BadAnswer,
    BlobNotFound,
    Busy,
    FetchFailed,
    FileExists,
    InvalidLocation,
    InvalidPeer,
    Lied,
    LimitReached,
    NoRoom,
    NotHere,
    PeerFailed,
    SessionEnded,
    Stalled,
    Unreachable,
)
from sessionctx.peers import statistics
from sessionctx.serve import asgi
from sessionctx.share import Blob, BlobShare
from sessionctx.storage import MemoryStorage
from sessionctx.storage.source import pieces as pieces_of
from sessionctx.testing import faults
from sessionctx.testing.storage import Pieces
from tests.share.conftest import DATA, digest_of, loaded, nothing_left, open_world


def answering(status, body=b"", **headers):
    """A service that says always the same."""

    async def app(scope, receive, send):
        about = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
        await asgi.start(send, status, asgi.fields(about))
        await asgi.body(send, body)

    return app


async def hanging(scope, receive, send):
    await trio.sleep_forever()


def once(bad, good):
    """A service that is *bad* at the first request only."""
    asked = []

    async def app(scope, receive, send):
        asked.append(scope)
        await (bad if len(asked) == 1 else good)(scope, receive, send)

    return app


def requests(world, *names):
    return [each for each in world.asked if each[1] in names]


# --- from the nearest place that has it


async def test_a_blob_comes_from_a_service_and_is_kept(autojump_clock, world, share):
    url = await world.has("a")
    assert await loaded(share, "x", [url]) == DATA
    assert await loaded(share, "x", [url]) == DATA
    assert await loaded(share, "x", []) == DATA, "it is here"
    assert len(world.asked) == 1
    counted = share.statistics()
    assert (counted.load.count, counted.load.succeeded, counted.hits) == (3, 3, 2)
    assert (counted.load.bytes, counted.load.retries) == (len(DATA), 0)
    assert counted.sources[url].requests == 1
    assert counted.sources[url].bytes == len(DATA)
    assert counted.read.count == 3
    assert counted.read.bytes == 3 * len(DATA)


async def test_a_reader_gives_ranges(autojump_clock, world, share):
    url = await world.has("a")
    async with share.load("x", [url], offset=10, length=5) as reader:
        assert b"".join([bytes(piece) async for piece in reader]) == DATA[10:15]
        assert await reader.read_at(999_990) == DATA[-10:]
        assert await reader.read_at(5, 7) == DATA[5:12]
        assert await reader.read_at(999_999, 7) == DATA[-1:]
        assert await reader.read_at(1_000_000) == b""


async def test_an_empty_blob_is_a_blob(autojump_clock, world, share):
    url = await world.has("a", b"")
    assert await loaded(share, "x", [url]) == b""


async def test_the_service_that_was_fast_is_asked_first(autojump_clock, world, share):
    """The ledger remembers, in the session of the caller or, without one, as long as the share is open."""
    slow, fast = await world.has("slow", latency=0.9), await world.has("fast", latency=0.01)
    await loaded(share, "x", [slow])
    await share.remove("x")
    await loaded(share, "x", [fast])
    for _ in range(5):
        await share.remove("x")
        world.asked.clear()
        await loaded(share, "x", [slow, fast])
        assert [each[1] for each in world.asked] == ["fast"]


# --- wrong bytes


async def test_the_bytes_of_a_liar_never_enter_and_the_next_one_is_asked(autojump_clock, world, share, storage):
    """Row: a lying service's bytes enter the cache; the others are not tried."""
    liar = await world.has("liar", wrap=faults.lying)
    with session.begin() as s:
        with pytest.raises(FetchFailed) as caught:
            await loaded(share, "x", [liar], expect=digest_of(DATA))
        assert caught.value.lied
        assert isinstance(caught.value.reasons[liar], Lied)
        assert await nothing_left(storage)
        good = await world.has("good")
        assert await loaded(share, "x", [liar, good], expect=digest_of(DATA)) == DATA
        assert {peer.url: peer.state for peer in statistics(s)} == {liar: "banned", good: "good"}
        assert [each[1] for each in world.asked] == ["liar", "good"], "the liar was remembered"
    assert share.statistics().sources[liar].failures == {"Lied": 1}


async def test_without_a_session_of_the_caller_the_share_remembers_the_liar(autojump_clock, world, share):
    liar, good = await world.has("liar", wrap=faults.lying), await world.has("good")
    for n in range(4):
        if n:
            await share.remove("x")
        assert await loaded(share, "x", [liar, good]) == DATA
    assert len(requests(world, "liar")) <= 1


async def test_a_service_that_lies_against_its_own_digest_is_found_out(autojump_clock, world, share, storage):
    liar = await world.has("liar", wrap=faults.lying)
    with pytest.raises(FetchFailed) as caught:
        await loaded(share, "x", [liar])
    assert caught.value.lied
    assert await nothing_left(storage)


async def test_a_service_with_another_blob_of_the_name_is_no_liar(autojump_clock, world, share):
    other, good = await world.has("other", b"other"), await world.has("good")
    assert await loaded(share, "x", [other, good], expect=digest_of(DATA)) == DATA
    assert await share.find("x") == Blob("x", len(DATA), digest_of(DATA))
    await share.remove("x")
    with pytest.raises(BlobNotFound, match="another blob"), session.begin() as s:
        await loaded(share, "x", [other], expect=Blob("x", len(DATA), digest_of(DATA)))
    assert [peer.state for peer in statistics(s)] == ["good"]


@pytest.mark.parametrize("body", [b"", b"Welcome! Please log in."])
async def test_a_200_that_is_no_blob_is_followed_by_the_next_service(autojump_clock, world, share, body):
    """Row: one empty 200 ends the whole load."""
    empty, good = world.add("empty", answering(200, body)), await world.has("good")
    for _ in range(4):
        assert await loaded(share, "x", [empty, good], expect=digest_of(DATA)) == DATA
        await share.remove("x")


async def test_an_empty_200_without_a_digest_is_no_blob(autojump_clock, world, share, storage):
    with pytest.raises(FetchFailed, match="sends nothing, and no digest"):
        await loaded(share, "x", [world.add("empty", answering(200))])
    assert await nothing_left(storage)


async def test_who_of_several_sent_the_wrong_part_is_found_out(autojump_clock, world, share, storage):
    """The first half is forged, the second is not; only the forger is banned."""
    forged = bytes([DATA[0] ^ 1]) + DATA[1:]

    def forging(app):
        async def half(scope, receive, send):
            await asgi.start(send, 200, asgi.fields({"content-length": str(len(DATA)), "etag": f'"{digest_of(DATA)}"'}))
            await asgi.body(send, forged[:300_000], more=True)
            raise ConnectionAbortedError

        return half

    forger, good = world.add("forger", once(forging(None), answering(503))), await world.has("good")
    with session.begin() as s:
        share._loader._chance.sample = lambda ready, count: list(ready)
        assert await loaded(share, "x", [forger, good], expect=digest_of(DATA)) == DATA
        assert {peer.url: peer.state for peer in statistics(s)} == {forger: "banned", good: "good"}
    assert requests(world, "good")[0][3] == "bytes=300000-", "it went on there first"


# --- broken off


async def test_a_download_that_broke_off_goes_on_at_another_service(autojump_clock, world, share):
    """Row: restarts at byte 0."""
    broken = await world.has("broken", wrap=functools.partial(faults.truncating, after=400_000))
    good = await world.has("good")
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [broken, good]) == DATA
    assert [each[1:] for each in world.asked] == [
        ("broken", "/blobs/x", None),
        ("good", "/blobs/x", "bytes=400000-"),
    ]
    counted = share.statistics()
    assert (counted.load.bytes, counted.load.retries) == (len(DATA), 1)
    assert counted.sources[broken].failures == {"PeerFailed": 1}


async def test_a_service_that_breaks_off_again_and_again_still_gives_it_all(autojump_clock, world, share):
    broken = await world.has("broken", wrap=functools.partial(faults.truncating, after=300_000))
    assert await loaded(share, "x", [broken], max_tries=4) == DATA
    assert [each[3] for each in world.asked] == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


async def test_a_service_without_ranges_is_read_from_its_beginning(autojump_clock, world, share):
    def without_ranges(app):
        async def run(scope, receive, send):
            headers = [each for each in scope["headers"] if each[0] != b"range"]
            await app({**scope, "headers": headers}, receive, send)

        return run

    broken = await world.has("broken", wrap=functools.partial(faults.truncating, after=400_000))
    plain = await world.has("plain", wrap=without_ranges)
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [broken, plain]) == DATA


async def test_what_no_digest_names_is_not_patched_together(autojump_clock, world, share):
    """Static servers that tell no digest: what broke off at one is begun anew at another."""

    def bare(data, after=None, tag=None):
        async def app(scope, receive, send):
            if "/.sha256/" in scope["path"]:
                await answering(404)(scope, receive, send)
                return
            tags = {} if tag is None else {"etag": tag}
            about = {"content-length": str(len(data)), "accept-ranges": "bytes", **tags}
            await asgi.start(send, 200, asgi.fields(about))
            await asgi.body(send, data[:after], more=after is not None)
            if after is not None:
                raise ConnectionAbortedError

        return app

    one, other = b"1" * 300_000, b"2" * 300_000
    first, second = world.add("first", bare(one, after=100_000)), world.add("second", bare(other))
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [first, second]) == other


def bare(data):
    """A server that knows of no digests."""

    async def app(scope, receive, send):
        await (answering(404) if "/.sha256/" in scope["path"] else answering(200, data))(scope, receive, send)

    return app


async def test_where_services_have_different_blobs_one_of_them_comes_whole(autojump_clock, world, share):
    """Nobody said which is wanted: the first one's word counts as long as it goes on, and then the next one's."""
    first = await world.has("first", b"1" * 500_000, wrap=functools.partial(faults.truncating, after=200_000))
    second = await world.has("second", b"2" * 400_000)
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [first, second]) == b"2" * 400_000
    with session.begin() as s:
        third = await world.has("third", b"3" * 400_000, wrap=functools.partial(faults.truncating, after=200_000))
        with pytest.raises(FetchFailed):
            await loaded(share, "y", [first.replace("first", "nobody"), third], max_tries=1)
        assert not any(peer.state == "banned" for peer in statistics(s))


async def test_two_that_contradict_each_other_while_one_is_late(autojump_clock, world, share):
    late = await world.has("late", b"1" * 500_000, wrap=functools.partial(faults.slow, rate=100_000))
    other = await world.has("other", b"2" * 500_000)
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [late, other]) == b"1" * 500_000
    assert share.statistics().sources[other].failures == {"BadAnswer": 1}


async def test_bytes_that_only_another_ones_word_speaks_against_are_no_lie(autojump_clock, world, share):
    first = await world.has("first", b"1" * 500_000, wrap=functools.partial(faults.truncating, after=0))
    second = world.add("second", bare(b"2" * 500_000))
    share._loader._chance.sample = lambda ready, count: list(ready)
    with session.begin() as s, pytest.raises(FetchFailed) as caught:
        await loaded(share, "x", [first, second], max_tries=2)
    assert not caught.value.lied
    assert isinstance(caught.value.reasons[second], NotHere)
    assert not any(peer.state == "banned" for peer in statistics(s))


async def test_a_bare_service_goes_on_where_it_broke_off_while_its_tag_is_the_same(autojump_clock, world, share):
    def bare(versions):
        async def app(scope, receive, send):
            if "/.sha256/" in scope["path"]:
                await answering(404)(scope, receive, send)
                return
            headers = asgi.headers_of(scope)
            data, tag = versions[0]
            start = 0
            if "range" in headers and headers.get("if-range", tag) == tag:
                start = int(headers["range"].removeprefix("bytes=").rstrip("-"))
            about = {"content-length": str(len(data) - start), "etag": tag}
            if start:
                about["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            await asgi.start(send, 206 if start else 200, asgi.fields(about))
            await asgi.body(send, data[start : start + 100_000], more=True)
            if start + 100_000 < len(data):
                if len(versions) > 1:
                    del versions[0]
                raise ConnectionAbortedError
            await asgi.body(send)

        return app

    data = DATA[:250_000]
    same = world.add("same", bare([(data, '"1"')]))
    assert await loaded(share, "x", [same], max_tries=5) == data
    assert "bytes=100000-" in [each[3] for each in world.asked]
    changing = world.add("changing", bare([(bytes(250_000), '"1"'), (data, '"2"')]))
    assert await loaded(share, "y", [changing], max_tries=8) == data


# --- slow and silent


async def test_a_service_that_is_late_is_doubled_by_another(autojump_clock, world, share):
    """Row: strictly serial."""
    silent, good = world.add("silent", hanging), await world.has("good", latency=0.1)
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [silent, good]) == DATA
    assert 1.0 <= trio.current_time() < 2.0
    assert [each[:2] for each in world.asked] == [(0.0, "silent"), (1.1, "good")], "0.1 is the way"


async def test_a_service_that_stalls_in_the_middle_is_gone_on_with_elsewhere(autojump_clock, world, share):
    stalling = await world.has("stalling", wrap=functools.partial(faults.stalling, after=500_000))
    good = await world.has("good")
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [stalling, good]) == DATA
    assert trio.current_time() < 3.0
    assert requests(world, "good")[0][3] == "bytes=500000-"


async def test_a_trickle_is_overtaken(autojump_clock, world, share):
    slow = await world.has("slow", wrap=functools.partial(faults.slow, rate=5_000))
    good = await world.has("good", latency=0.2)
    share._loader._chance.sample = lambda ready, count: list(ready)
    assert await loaded(share, "x", [slow, good]) == DATA
    assert trio.current_time() < 4.0


async def test_a_service_that_is_alone_and_dead_does_not_hang_for_ever(autojump_clock, storage):
    """Row: a stalled peer hangs for ever."""
    async with open_world(idle=5, header=5) as world, BlobShare.open(storage, http=world.http) as share:
        stalling = await world.has("stalling", wrap=functools.partial(faults.stalling, after=1000))
        with pytest.raises(FetchFailed) as caught:
            await loaded(share, "x", [stalling], max_tries=1)
        assert isinstance(caught.value.reasons[stalling], Stalled)
        assert trio.current_time() == pytest.approx(5.0, abs=0.5)
        assert await nothing_left(storage)


class SlowStorage(MemoryStorage):
    """Takes 1.5 s for a piece."""

    taken = 0

    async def write(self, path, source, **kwargs):
        return await super().write(path, self._slowly(source), **kwargs)

    async def _slowly(self, source):
        async for piece in pieces_of(source):
            type(self).taken += len(piece)
            await trio.sleep(1.5)
            yield piece


async def test_a_slow_disk_is_nobodys_fault_and_holds_the_service_up(autojump_clock, world, nursery):
    """While the storage takes its time, nobody is late, and no more than a few pieces wait for it."""
    async with BlobShare.open(SlowStorage(), http=world.http) as share:
        a, b = [await world.has(name, wrap=functools.partial(faults.slow, rate=3_000_000)) for name in "ab"]

        async def watch():
            while True:
                assert share.statistics().load.bytes - SlowStorage.taken <= 8 * 64 * 1024
                await trio.sleep(0.7)

        nursery.start_soon(watch)
        assert await loaded(share, "x", [a, b]) == DATA
        assert trio.current_time() > 15
        assert len(world.asked) == 1
        nursery.cancel_scope.cancel()


# --- again, and not for ever


async def test_who_is_not_there_is_asked_again_after_a_pause_and_not_after_the_last_try(autojump_clock, world, share):
    """Row: the pause runs after the last try."""
    down = "http://down.test"
    with pytest.raises(FetchFailed) as caught:
        await loaded(share, "x", [down], max_tries=3, retry_delay=10)
    assert isinstance(caught.value.reasons[down], Unreachable)
    assert 15 <= trio.current_time() <= 30, "two pauses: 5 to 10 s, and 10 to 20 s"
    assert share.statistics().load.failures == {"FetchFailed": 1}
    assert share.statistics().sources[down].failures == {"Unreachable": 3}
    assert share.statistics().load.retries == 2


async def test_it_never_waits_beyond_the_callers_deadline(autojump_clock, world, share):
    """Row: the pause ignores the deadline. There is a proper error at once, and no cancellation later."""
    with trio.fail_after(4), pytest.raises(FetchFailed, match="no time left"):
        await loaded(share, "x", ["http://down.test"], max_tries=5, retry_delay=20)
    assert trio.current_time() == 0


async def test_it_ends_with_the_callers_deadline_in_the_middle_of_a_request(autojump_clock, world, share, storage):
    silent = world.add("silent", hanging)
    with trio.move_on_after(3) as scope:
        await loaded(share, "x", [silent])
    assert scope.cancelled_caught
    assert trio.current_time() == 3
    assert await nothing_left(storage)
    assert share.statistics().load.cancelled == 1
    assert share.statistics().sources[silent].requests == 1


async def test_a_service_that_is_busy_is_left_alone_for_as_long_as_it_asks(autojump_clock, world, share):
    good = await world.has("good")
    app = world._transports["good.test"]._app
    url = world.add("busy", once(answering(503, retry_after="42"), app))
    assert await loaded(share, "x", [url], retry_delay=1) == DATA
    assert [each[:2] for each in requests(world, "busy")] == [(0.0, "busy"), (42.0, "busy")]
    assert good


async def test_another_load_leaves_it_alone_too(autojump_clock, world, share):
    busy, good = world.add("busy", answering(429, retry_after="100")), await world.has("good")
    with pytest.raises(FetchFailed):
        await loaded(share, "x", [busy], max_tries=1)
    assert await loaded(share, "x", [busy, good]) == DATA
    assert len(requests(world, "busy")) == 1
    with trio.fail_after(10), pytest.raises(FetchFailed, match="left alone"):
        await loaded(share, "y", [busy])


async def test_what_nobody_has_is_told_at_once(autojump_clock, world, share):
    """Row: 404 is retried like 503."""
    nobody = [await world.has(name, None) for name in ("a", "b")]
    with pytest.raises(BlobNotFound) as caught:
        await loaded(share, "x", nobody, max_tries=5)
    assert trio.current_time() == 0
    assert len(world.asked) == 2
    assert {url: type(reason) for url, reason in caught.value.reasons.items()} == dict.fromkeys(nobody, NotHere)
    assert share.statistics().sources[nobody[0]].failures == {"NotHere": 1}


async def test_not_here_is_told_from_not_now(autojump_clock, world, share):
    """One does not have it, one is down: it may be there. Only the latter is asked again."""
    without = await world.has("without", None)
    with pytest.raises(FetchFailed) as caught:
        await loaded(share, "x", [without, "http://down.test"])
    assert {type(reason) for reason in caught.value.reasons.values()} == {NotHere, Unreachable}
    assert len(requests(world, "without")) == 1


async def test_what_may_come_is_waited_for(autojump_clock, world, share):
    good = await world.has("good")
    late = world.add("late", once(answering(404), world._transports["good.test"]._app))
    with pytest.raises(BlobNotFound):
        await loaded(share, "x", [late])
    late = world.add("late", once(answering(404), world._transports["good.test"]._app))
    assert await loaded(share, "x", [late], may_come=True) == DATA
    nobody = await world.has("nobody", None)
    with pytest.raises(BlobNotFound):
        await loaded(share, "y", [nobody], may_come=True, max_tries=3)
    assert len(requests(world, "nobody")) == 3
    assert good


async def test_without_services_it_is_not_found(autojump_clock, share):
    with pytest.raises(BlobNotFound, match="no service to ask"):
        await loaded(share, "x", [])


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (answering(500), PeerFailed),
        (answering(503), Busy),
        (answering(301, location="http://elsewhere.test/"), Unreachable),
        (answering(418), BadAnswer),
        (answering(403), BadAnswer),
        (answering(206, DATA), BadAnswer),
        (answering(206, DATA, content_range="bytes 0-9/5"), BadAnswer),
        (answering(200, DATA, content_encoding="gzip"), BadAnswer),
        (hanging, Stalled),
    ],
)
async def test_whatever_a_service_does_the_next_one_is_asked_and_told_why(
    autojump_clock, world, share, storage, app, error
):
    bad, good = world.add("bad", app), await world.has("good")
    with pytest.raises(FetchFailed) as caught:
        await loaded(share, "x", [bad], max_tries=1)
    assert isinstance(caught.value.reasons[bad], error)
    assert await nothing_left(storage)
    assert await loaded(share, "x", [bad, good]) == DATA


@given(
    tries=st.integers(1, 6),
    delay=st.floats(0, 100),
    patience=st.floats(0.01, 500),
    asks=st.lists(st.none() | st.integers(0, 200), max_size=4),
)
def test_pauses_keep_the_laws(tries, delay, patience, asks):
    """However it fails: no more rounds than allowed, none before the service said, no time spent beyond the deadline."""
    times, free = [], [0.0]

    async def app(scope, receive, send):
        assert trio.current_time() >= free[0] - 0.001
        times.append(trio.current_time())
        ask = asks[(len(times) - 1) % len(asks)] if asks else None
        free[0] = trio.current_time() + (ask or 0)
        headers = {} if ask is None else {"retry_after": str(ask)}
        await answering(503, **headers)(scope, receive, send)

    async def main():
        async with open_world() as world, BlobShare.open(MemoryStorage(), http=world.http) as share:
            url = world.add("busy", app)
            with trio.move_on_after(patience) as scope, pytest.raises(FetchFailed):
                await loaded(share, "x", [url], max_tries=tries, retry_delay=delay)
            assert not scope.cancelled_caught, "it knew before"
            assert trio.current_time() == times[-1], "no pause after the last try"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert 1 <= len(times) <= tries
    for n, (one, other) in enumerate(itertools.pairwise(times)):
        least = min(delay * 2**n, max(60, delay)) / 2
        assert other - one >= least - 0.001


# --- several at once


async def test_two_loads_of_one_id_are_one_request(autojump_clock, world, share):
    """Row: two loads of one id download twice and race on the rename."""
    url = await world.has("a", latency=0.5)
    got = []

    async def one():
        got.append(await loaded(share, "x", [url]))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(one)
    assert got == [DATA] * 5
    assert len(world.asked) == 1
    assert len(share._names) == 0


async def test_loads_in_different_sessions_and_with_other_services_do_not_run_at_once(autojump_clock, world, share):
    urls = [await world.has(name, latency=0.5) for name in "abc"]
    got = []

    async def one(url):
        with session.begin():
            got.append(await loaded(share, "x", [url]))

    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(one, url)
    assert got == [DATA] * 3
    assert len(world.asked) == 1


async def test_two_processes_may_load_one_id_into_one_storage(autojump_clock, world, storage):
    urls = [await world.has(name, latency=0.5) for name in "ab"]
    got = []

    async def one(share, url):
        got.append(await loaded(share, "x", [url], expect=digest_of(DATA)))

    async with BlobShare.open(storage, http=world.http) as first, BlobShare.open(storage, http=world.http) as second:
        async with trio.open_nursery() as nursery:
            for share, url in zip([first, second], urls, strict=True):
                nursery.start_soon(one, share, url)
        assert got == [DATA] * 2
        assert await first.find("x") == await second.find("x")


async def test_who_reads_does_not_wait_for_who_shares_it_again(autojump_clock, share, nursery):
    await share.share("x", b"one")
    nursery.start_soon(share.share, "x", Pieces([b"o"], hang=True))
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(1):
        assert await loaded(share, "x", []) == b"one"
        assert (await share.find("x")).size == 3
    nursery.cancel_scope.cancel()


async def test_the_patience_of_one_is_not_that_of_another(autojump_clock, world, share):
    url = await world.has("a", latency=2)
    got = []

    async def one(seconds):
        with trio.move_on_after(seconds):
            got.append(await loaded(share, "x", [url]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(one, 60)
    assert got == [DATA]


async def test_another_with_better_services_has_its_own_luck(autojump_clock, world, share):
    good = await world.has("good", latency=0.2)
    nobody = world.add("nobody", answering(404), latency=1)
    results = []

    async def one(urls):
        try:
            results.append(await loaded(share, "x", urls))
        except BlobNotFound:
            results.append(None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, [nobody])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(one, [good])
    assert sorted(results, key=bool) == [None, DATA]


# --- what the share says


async def test_all_is_counted_per_command_and_per_source(autojump_clock, world, share):
    """Row: metrics are the queue's length only."""
    broken = await world.has("broken", wrap=functools.partial(faults.truncating, after=400_000), latency=0.8)
    good = await world.has("good", latency=0.5)
    share._loader._chance.sample = lambda ready, count: list(ready)
    await share.share("y", b"one")
    with pytest.raises(FileExists):
        await share.share("y", b"two")
    await loaded(share, "x", [broken, good])
    with pytest.raises(BlobNotFound):
        await loaded(share, "z", [good])
    with trio.move_on_after(0.25):
        await loaded(share, "z", [good])
    counted = share.statistics()
    command = counted.share
    assert (command.count, command.succeeded, command.bytes, command.failures) == (2, 1, 6, {"FileExists": 1})
    command = counted.load
    assert (command.count, command.succeeded, command.cancelled, command.running) == (3, 1, 1, 0)
    assert (command.failures, command.retries, command.bytes) == ({"BlobNotFound": 1}, 1, len(DATA))
    assert command.seconds == pytest.approx(0.8 + 0.5 + 0.5 + 0.25)
    command = counted.read
    assert (command.count, command.bytes) == (1, len(DATA))
    source = counted.sources[broken]
    assert (source.requests, source.bytes, source.failures) == (1, 400_000, {"PeerFailed": 1})
    assert source.seconds == pytest.approx(0.8)
    source = counted.sources[good]
    assert (source.requests, source.bytes, source.failures) == (3, 600_000, {"NotHere": 1})
    assert source.seconds == pytest.approx(0.5 + 0.5 + 0.25)


# --- what the session says


async def test_the_session_counts_one_want_and_each_request(autojump_clock, world, share):
    broken = await world.has("broken", wrap=functools.partial(faults.truncating, after=400_000))
    good = await world.has("good")
    share._loader._chance.sample = lambda ready, count: list(ready)
    with session.begin() as s:
        await loaded(share, "x", [broken, good])
    counted = s.statistics()
    assert (counted.wants, counted.found, counted.requests, counted.bytes) == (1, 1, 2, len(DATA))
    assert (counted.open, counted.in_flight) == (0, 0)


async def test_a_budget_of_bytes_ends_a_load(autojump_clock, world, share, storage):
    url = await world.has("a", wrap=functools.partial(faults.slow, rate=1_000_000))
    with session.begin(limits=session.Limits(bytes=200_000)), pytest.raises(LimitReached):
        await loaded(share, "x", [url])
    assert await nothing_left(storage)


async def test_one_request_at_a_time_is_enough(autojump_clock, world, share):
    """With a static server that tells no digest, too, and beside one that is late."""
    silent = world.add("silent", once(hanging, answering(404)))
    good = await world.has("good")
    with session.begin(limits=session.Limits(in_flight=1)), trio.fail_after(60):
        share._loader._chance.sample = lambda ready, count: list(ready)
        assert await loaded(share, "x", [silent, good]) == DATA


async def test_the_end_of_the_session_ends_a_load(autojump_clock, world, share, storage, nursery):
    silent = world.add("silent", hanging)
    with session.begin() as s:
        nursery.start_soon(_end_soon, s)
        with pytest.raises(SessionEnded):
            await loaded(share, "x", [silent])
    assert await nothing_left(storage)


async def _end_soon(s):
    await trio.testing.wait_all_tasks_blocked()
    s.cancel("enough")


# --- what is refused


async def test_wrong_arguments_are_refused_at_once(autojump_clock, share):
    for wrong in ("../x", "/abs", "http://elsewhere.test/x", "", "a\nb", ".x", "a\\b", "x" * 201):
        with pytest.raises(InvalidLocation):
            share.load(wrong, ["http://a.test"])
    with pytest.raises(InvalidPeer):
        share.load("x", ["nonsense"])
    for arguments in ({"expect": "md5:1"}, {"max_tries": 0}, {"retry_delay": -1}, {"retry_delay": float("inf")}):
        with pytest.raises(ValueError):
            share.load("x", ["http://a.test"], **arguments)


async def test_credentials_are_sent_and_not_shown(autojump_clock, world, share):
    url = world.add("a", answering(401))
    secret = url.replace("://", "://user:secret@")
    with pytest.raises(FetchFailed, match="credentials") as caught:
        await loaded(share, "x", [secret], max_tries=1)
    assert "secret" not in f"{caught.value} {caught.value.reasons} {share.statistics()}"


async def test_another_blob_that_is_here_is_told_of(autojump_clock, share):
    await share.share("x", b"one")
    with pytest.raises(FileExists, match="is here with the digest"):
        await loaded(share, "x", [], expect=digest_of(b"two"))
    assert await loaded(share, "x", [], expect=digest_of(b"one")) == b"one"


async def test_what_does_not_fit_is_refused_before_it_comes(autojump_clock, world, storage):
    async with BlobShare.open(storage, http=world.http, max_bytes=999_999) as share:
        url = await world.has("a")
        with pytest.raises(NoRoom):
            await loaded(share, "x", [url])
        assert share._shelf.room.used == 0
    assert await nothing_left(storage)


class FullStorage(MemoryStorage):
    """Has no room, as it turns out."""

    async def write(self, path, source, **kwargs):
        async for _ in pieces_of(source):
            raise NoRoom("the disk is full")


async def test_a_storage_that_fails_says_so_and_no_service_is_blamed(autojump_clock, world):
    url = await world.has("a")
    async with BlobShare.open(FullStorage(), http=world.http) as share:
        with pytest.raises(NoRoom, match="the disk is full"), session.begin() as s:
            await loaded(share, "x", [url])
    assert [peer.failed for peer in statistics(s)] == [0]

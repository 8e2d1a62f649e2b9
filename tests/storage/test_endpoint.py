"""What the session sees of a backend's requests: each counted once, bounded, cancelled with it, and learnt from."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.errors import (
    AccessDenied,
    Busy,
    Denied,
    Lied,
    LimitReached,
    NoSuchFile,
    NotHere,
    PeerFailed,
    SessionEnded,
    Unreachable,
)
from sessionctx.peers import statistics
from sessionctx.session import Limits, events
from sessionctx.storage import Endpoint

AT = Endpoint.at("s3://key:secret@bucket", "s3://bucket", most=4)


async def test_without_a_session_nothing_is_counted_and_nothing_in_the_way():
    async with AT.request("a") as request:
        request.sent()
        request.came(5)
        request.went(5)
    assert AT.record() is None
    with pytest.raises(Unreachable):
        async with AT.request("a"):
            raise Unreachable("gone")


async def test_what_came_is_counted_and_learnt_from(autojump_clock):
    heard = []
    with session.begin() as s, s.subscribe(heard.append):
        async with AT.request("a", 1000) as request:
            await trio.sleep(0.1)
            for _ in range(10):
                request.came(100)
                await trio.sleep(0.05)
    counted = s.statistics()
    assert (counted.requests, counted.found, counted.bytes, counted.in_flight, counted.open) == (1, 1, 1000, 0, 0)
    (peer,) = statistics(s)
    assert (peer.url, peer.found, peer.state) == ("s3://bucket", 1, "good")
    assert peer.latency == pytest.approx(0.1)
    assert peer.throughput == pytest.approx(2000, rel=0.2)
    assert [type(event) for event in heard] == [events.Wanted, events.Asked, events.Answered, events.Settled]
    assert not any("secret" in repr(event) for event in heard)


async def test_an_upload_tells_the_rate_and_is_no_part_of_the_budget(autojump_clock):
    with session.begin(limits=Limits(bytes=10)) as s:
        async with AT.request("a", 1000) as request:
            for _ in range(10):
                await trio.sleep(0.05)
                request.went(100)
        async with AT.request("b"):
            pass
    assert s.statistics().bytes == 0
    (peer,) = statistics(s)
    assert peer.throughput == pytest.approx(2000, rel=0.2)


@pytest.mark.parametrize(
    ("error", "outcome", "counts", "state"),
    [
        (NoSuchFile("x"), "missing", {"missing": 1}, "good"),
        (NotHere("x"), "failed", {"missing": 1}, "good"),
        (Denied("x"), "failed", {"missing": 1}, "good"),
        (Lied("x"), "failed", {"lied": 1}, "banned"),
        (AccessDenied("x"), "failed", {"found": 1}, "good"),
        (PeerFailed("x"), "failed", {"failed": 1}, "resting"),
        (Busy("x", retry_after=7.0), "failed", {"failed": 1}, "resting"),
        (OSError("x"), "failed", {"failed": 1}, "resting"),
    ],
)
async def test_an_error_says_how_it_ended(error, outcome, counts, state):
    heard = []
    with session.begin() as s, s.subscribe(heard.append):
        with pytest.raises(type(error)):
            async with AT.request("a"):
                raise error
    assert getattr(s.statistics(), outcome) == 1
    (peer,) = statistics(s)
    assert {name: getattr(peer, name) for name in counts} == counts
    assert peer.asked == sum((peer.found, peer.missing, peer.failed, peer.lied, peer.cancelled))
    assert peer.state == state
    if isinstance(error, Busy):
        assert [event.seconds for event in heard if isinstance(event, events.Rested)] == [7.0]


async def test_a_cancelled_request_is_dropped():
    with session.begin() as s:
        with trio.CancelScope() as scope:
            async with AT.request("a"):
                scope.cancel()
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert s.statistics().cancelled == 1
    assert statistics(s)[0].cancelled == 1


async def test_the_end_of_the_session_ends_its_requests(nursery):
    with session.begin() as s:
        nursery.start_soon(_cancel_soon, s)
        with pytest.raises(SessionEnded):
            async with AT.request("a"):
                await trio.sleep_forever()
    assert s.statistics().in_flight == s.statistics().open == 0


async def _cancel_soon(s):
    await trio.testing.wait_all_tasks_blocked()
    s.cancel("enough")


async def test_a_time_budget_ends_them_too(autojump_clock):
    with session.begin(limits=Limits(seconds=1)):
        with pytest.raises(LimitReached):
            async with AT.request("a"):
                await trio.sleep_forever()
        assert trio.current_time() >= 1


async def test_a_budget_of_requests_refuses_and_counts_nothing():
    with session.begin(limits=Limits(requests=1)) as s:
        async with AT.request("a"):
            pass
        with pytest.raises(LimitReached):
            async with AT.request("b"):
                pytest.fail("it was let in")
    assert s.statistics().requests == 1
    assert s.statistics().open == s.statistics().in_flight == 0


async def test_a_part_is_a_request_and_no_want():
    with session.begin() as s:
        async with AT.request("a"), AT.request("a", part=True):
            pass
    assert (s.statistics().wants, s.statistics().requests) == (1, 2)


@given(
    tasks=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 60)), min_size=1, max_size=12),
    in_flight=st.integers(1, 4),
    per_peer=st.integers(1, 4),
    memory=st.integers(0, 100),
    forked=st.booleans(),
)
def test_the_bounds_of_a_session_hold_and_nobody_waits_for_ever(tasks, in_flight, per_peer, memory, forked):
    """However requests come and go, in a session or a fork of it: never more than allowed, and all get their turn."""
    now = [0, 0]
    done = []

    async def one(s, start, length, size):
        await trio.sleep(start)
        with session.use(s):
            async with AT.request("x", size):
                now[0] += 1
                now[1] += size
                assert now[0] <= min(in_flight, per_peer)
                assert now[1] <= memory or now[0] == 1
                await trio.sleep(length)
                now[0] -= 1
                now[1] -= size
        done.append(start)

    async def main():
        limits = Limits(in_flight=in_flight, in_flight_per_peer=per_peer, memory=memory)
        with session.begin(limits=limits) as parent, session.fork() as fork:
            async with trio.open_nursery() as nursery:
                for n, task in enumerate(tasks):
                    nursery.start_soon(one, fork if forked and n % 2 else parent, *task)
            assert not parent.account.waiting

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert len(done) == len(tasks)

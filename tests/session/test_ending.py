"""Laws 7 and 8: how a session ends, what ends with it, and what is left to read."""

from __future__ import annotations

from threading import Thread

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from sessionctx import session
from sessionctx.errors import NoSession, SessionEnded, SessionError, SessionLeakWarning
from sessionctx.session import Slot


async def request(s, told, name="x", clean_up=0):
    """A request in flight, and what comes of it."""
    try:
        with s.want(name):
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(clean_up)
    except SessionEnded as error:
        told.append(str(error))
    except trio.Cancelled:
        told.append("cancelled")
        raise


# --- plain with


async def test_leaving_the_block_surfaces_session_ended_in_each_task_in_flight():
    told = []
    async with trio.open_nursery() as nursery:
        with session.begin(name="mine") as s:
            for i in range(3):
                nursery.start_soon(request, s, told, i)
            await wait_all_tasks_blocked()
            assert s.statistics().open == 3
        assert s.ended
        assert told == [], "they learn of it in their own tasks, later"
    assert len(told) == 3
    assert all("mine" in text for text in told)
    assert s.statistics().open == 0
    assert s.statistics().cancelled == 3


async def test_a_request_that_has_its_answer_keeps_it():
    async def quick(s, answers):
        with s.want("x"):
            await trio.lowlevel.checkpoint()
            s.cancel("enough")
            answers.append(42)

    answers = []
    with session.begin() as s:
        await quick(s, answers)
        assert answers == [42]
        assert s.statistics().found == 1


async def test_cancel_does_it_early_and_gives_the_reason():
    told = []
    async with trio.open_nursery() as nursery:
        with session.begin() as s:
            nursery.start_soon(request, s, told)
            await wait_all_tasks_blocked()
            s.cancel("the user pressed stop")
            assert s.ended
            assert session.current(None) is None
            await wait_all_tasks_blocked()
            assert len(told) == 1
            assert "the user pressed stop" in told[0]
            with pytest.raises(SessionEnded, match="the user pressed stop"):
                session.current()


async def test_ending_is_idempotent():
    ends = []
    slot = Slot("counted", make=lambda _: 1, end=ends.append)
    with session.begin() as s:
        slot.of(s)
        s.cancel("first")
        s.cancel("second")
        with pytest.raises(SessionEnded, match="first"):
            session.current()
    s.cancel("third")
    assert ends == [1]
    with pytest.raises(SessionEnded, match="first"), session.use(s):
        pytest.fail("entered")


async def test_the_callers_own_cancellation_is_not_a_session_ended():
    with session.begin() as s:
        with trio.CancelScope() as scope:
            scope.cancel()
            with s.want("x"):
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert s.statistics().cancelled == 1


async def test_an_error_in_a_request_that_was_cancelled_is_not_lost():
    with session.begin() as s:
        with pytest.raises(KeyError), s.want("x"):
            try:
                s.cancel("enough")
                await trio.sleep_forever()
            finally:
                raise KeyError
        assert s.statistics().failed == 1


async def test_a_cancellation_and_an_error_together_are_both_there():
    """A request of several tasks: one was cancelled by the end, another failed while cleaning up."""

    async def fails():
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError

    with session.begin() as s:
        with pytest.RaisesGroup(KeyError), s.want("x"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails)
                nursery.start_soon(trio.sleep_forever)
                await wait_all_tasks_blocked()
                s.cancel("enough")
        assert s.statistics().open == 0


async def test_ending_a_parent_surfaces_in_its_forks_requests():
    told = []
    async with trio.open_nursery() as nursery:
        with session.begin() as parent, session.fork(name="child") as child:
            nursery.start_soon(request, child, told, "x")
            nursery.start_soon(request, parent, told, "y")
            await wait_all_tasks_blocked()
            parent.cancel("enough")
    assert len(told) == 2
    assert any("child" in text and "enough" in text for text in told)


# --- after the end


async def test_after_the_end_everything_on_a_held_session_is_refused_but_statistics():
    with session.begin() as s:
        with s.want("x"):
            await trio.lowlevel.checkpoint()
    with pytest.raises(SessionEnded), s.want("x"):
        pytest.fail("entered")
    with pytest.raises(SessionEnded), session.use(s):
        pytest.fail("entered")
    with pytest.raises(SessionEnded):
        Slot("x", make=lambda _: 1).of(s)
    with pytest.raises(SessionEnded):
        s.start_soon(trio.sleep, 0)
    with pytest.raises(SessionEnded):
        await s.start(trio.sleep, 0)
    with pytest.raises(SessionEnded):
        await session.share(s, "x", trio.lowlevel.checkpoint)
    stats = s.statistics()
    assert (stats.wants, stats.found) == (1, 1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        stats.wants = 2


@pytest.mark.parametrize("opens", [session.begin, session.fork])
async def test_an_inherited_binding_of_an_ended_session(opens, nursery):
    done = trio.Event()

    async def child(ended):
        await ended.wait()
        assert session.current(None) is None
        with pytest.raises(SessionEnded, match="leave"):
            session.current()
        with pytest.warns(SessionLeakWarning) as caught, opens() as fresh:  # noqa: PT031
            assert not fresh.ended
            assert fresh.parent is None
            assert session.current() is fresh
        assert len(caught) == 1
        text = str(caught[0].message)
        assert "mine" in text
        assert "session.begin()" in text
        assert "session.leave()" in text
        assert caught[0].filename == __file__, "the warning points at the line that began"
        with session.begin() as again:  # warnings are errors here: a second one would raise
            assert again is not fresh
        done.set()

    ended = trio.Event()
    with session.begin(name="mine"):
        nursery.start_soon(child, ended)
    ended.set()
    await done.wait()


async def test_the_leak_warning_comes_once_for_a_session_and_all_its_tasks(nursery):
    async def child(ended):
        await ended.wait()
        with session.begin():
            await trio.lowlevel.checkpoint()

    ended = trio.Event()
    with pytest.warns(SessionLeakWarning) as caught:  # noqa: PT031
        for name in ("one", "two"):
            with session.begin(name=name):
                for _ in range(3):
                    nursery.start_soon(child, ended)
        ended.set()
        await wait_all_tasks_blocked()
    assert sorted(str(warning.message).split()[0] for warning in caught) == ["one", "two"]


def test_the_leak_warning_is_a_resource_warning():
    assert issubclass(SessionLeakWarning, ResourceWarning)


async def test_a_task_started_under_leave_is_no_leak(nursery):
    async def child():
        with pytest.raises(NoSession):
            session.current()
        await trio.lowlevel.checkpoint()
        with session.begin():
            await trio.lowlevel.checkpoint()

    with session.begin(), session.leave():
        nursery.start_soon(child)
    await wait_all_tasks_blocked()


async def test_in_a_cancelled_block_that_is_still_open_nothing_begins_silently():
    """What winds down must not begin a session of its own by calling one more operation."""
    with session.begin() as s:
        s.cancel("enough")
        with pytest.raises(SessionEnded, match="enough"), session.begin():
            pytest.fail("began")


# --- async with


@pytest.mark.parametrize("scope", [session.begin, session.fork])
async def test_it_binds_and_ends_as_with_does(scope):
    with session.begin() as before:
        async with scope() as s:
            assert session.current() is s
        assert session.current() is before
        assert not before.ended
        assert bool(s.ended) == (s is not before)


async def test_it_waits_for_its_children(autojump_clock):
    start, seen = trio.current_time(), []

    async def child():
        await trio.sleep(5)
        seen.append(session.current())

    async with session.begin() as s:
        s.start_soon(child)
    assert trio.current_time() == start + 5
    assert seen == [s], "it was alive until the last child had finished"
    assert s.ended


async def test_start_waits_for_started_and_gives_its_value():
    async def service(extra, *, task_status):
        task_status.started((extra, session.current()))
        await trio.sleep_forever()

    async with session.begin() as s:
        assert await s.start(service, "extra") == ("extra", s)
        s.nursery.cancel_scope.cancel()


async def test_children_can_be_named():
    names = []

    async def child():
        names.append(trio.lowlevel.current_task().name)
        await trio.lowlevel.checkpoint()

    async with session.begin() as s:
        s.start_soon(child, name="my child")
    assert names == ["my child"]


async def test_an_error_in_the_block_cancels_the_children():
    ended = []

    async def child():
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    with pytest.RaisesGroup(KeyError):
        async with session.begin() as s:
            s.start_soon(child)
            await wait_all_tasks_blocked()
            raise KeyError
    assert ended == [True]
    assert s.ended
    assert session.current(None) is None


async def test_an_error_in_a_child_cancels_the_block_and_its_requests():
    told = []

    async def bad():
        await wait_all_tasks_blocked()
        raise KeyError

    with pytest.RaisesGroup(KeyError):
        async with session.begin() as s:
            s.start_soon(bad)
            s.start_soon(request, s, told)
            await trio.sleep_forever()
    assert told == ["cancelled"]
    assert s.statistics().open == 0


async def test_the_nursery_of_the_innermost_block_takes_the_children(autojump_clock):
    """A guest that opens its own nursery waits for its own children, and not the host."""
    start = trio.current_time()
    async with session.begin() as s:
        s.start_soon(trio.sleep, 10)
        async with session.begin() as guest:
            assert guest is s
            guest.start_soon(trio.sleep, 3)
        assert trio.current_time() == start + 3
        assert not s.ended
        s.start_soon(trio.sleep, 5)
    assert trio.current_time() == start + 10


async def test_without_a_nursery_start_soon_says_how_to_get_one():
    with session.begin() as s:
        with pytest.raises(SessionError, match="async with"):
            s.start_soon(trio.sleep, 0)
        with pytest.raises(SessionError, match="async with"):
            await s.start(trio.sleep, 0)


async def test_a_fork_without_a_nursery_does_not_borrow_its_parents():
    async with session.begin() as s:
        with session.fork() as child:
            with pytest.raises(SessionError, match="async with"):
                child.start_soon(trio.sleep, 0)
        s.start_soon(trio.sleep, 0)


async def test_after_the_block_the_nursery_is_gone():
    async with session.begin() as s:
        async with session.begin():
            pass
        s.start_soon(trio.sleep, 0)
    with pytest.raises(SessionEnded):
        s.start_soon(trio.sleep, 0)


async def test_a_task_that_outlives_a_guests_nursery_gets_the_hosts(autojump_clock):
    ran = []

    async def child():
        await trio.lowlevel.checkpoint()
        ran.append(True)

    async def outlives(s):
        await trio.sleep(5)
        s.start_soon(child)

    async with session.begin() as s:
        host = s.nursery
        async with session.begin():
            host.start_soon(outlives, s)
    assert ran == [True]
    assert s.nursery is None


async def test_cancel_ends_the_children_and_the_block_is_left_in_peace():
    ended = []

    async def child():
        try:
            await trio.sleep_forever()
        finally:
            ended.append("child")

    async with session.begin() as s:
        s.start_soon(child)
        await wait_all_tasks_blocked()
        s.cancel("enough")
        await trio.sleep_forever()
    assert ended == ["child"]
    assert s.ended


async def test_cancel_from_a_worker_thread_ends_the_children():
    async with session.begin() as s:
        s.start_soon(trio.sleep_forever)
        await trio.to_thread.run_sync(s.cancel, "enough")
        with trio.fail_after(10):
            await trio.sleep_forever()
    assert s.ended


async def test_cancel_from_a_foreign_thread_wakes_the_run():
    async with session.begin() as s:
        thread = Thread(target=s.cancel, args=("enough",))
        with trio.move_on_after(5) as timeout:
            await wait_all_tasks_blocked()
            thread.start()
            await trio.sleep_forever()
    thread.join()
    assert s.ended
    assert not timeout.cancelled_caught, "it learnt of it by chance"


async def test_ending_a_parent_ends_the_children_of_its_forks(nursery):
    """Nothing survives: no task."""
    ended, s_ended = [], trio.Event()

    async def branch():
        async with session.fork() as child:
            child.start_soon(trio.sleep_forever)
            s_ended.set()
            await trio.sleep_forever()
        ended.append(child.ended is not None)

    with session.begin() as s:
        nursery.start_soon(branch)
        await s_ended.wait()
        s.cancel("enough")
        await wait_all_tasks_blocked()
        assert ended == [True]


async def test_after_cancel_requests_under_the_nursery_learn_of_it_and_are_counted():
    told = []
    async with session.begin() as s:
        s.start_soon(request, s, told)
        await wait_all_tasks_blocked()
        s.cancel("enough")
    assert s.statistics().open == 0
    assert s.statistics().cancelled == 1
    assert len(told) == 1


async def test_a_request_in_a_session_with_a_nursery_surfaces_session_ended():
    told = []
    async with trio.open_nursery() as outside:
        async with session.begin() as s:
            outside.start_soon(request, s, told)
            await wait_all_tasks_blocked()
            s.cancel("enough")
    assert len(told) == 1
    assert "enough" in told[0]


@pytest.mark.parametrize("of_fork", [False, True])
async def test_it_returns_only_when_nothing_is_in_flight(autojump_clock, of_fork):
    """A request that takes its time to clean up, in a task outside the nursery, perhaps under a fork."""
    told, start = [], trio.current_time()
    async with trio.open_nursery() as outside:
        async with session.begin() as s:
            with session.fork() as child:
                outside.start_soon(request, child if of_fork else s, told, "x", 7)
                await wait_all_tasks_blocked()
                s.cancel("enough")
        assert s.statistics().open == 0
        assert trio.current_time() == start + 7
        assert len(told) == 1


async def test_leaving_an_async_fork_waits_for_its_own_requests_only(autojump_clock):
    told, start = [], trio.current_time()
    async with trio.open_nursery() as outside:
        with session.begin() as s:
            outside.start_soon(request, s, told, "parents")
            async with session.fork() as child:
                outside.start_soon(request, child, told, "childs", 2)
                await wait_all_tasks_blocked()
            assert trio.current_time() == start + 2
            assert len(told) == 1
            assert s.statistics().open == 1


async def test_it_cannot_be_cut_short_while_something_is_in_flight(autojump_clock):
    """Being cancelled while it waits is no reason to leave requests behind."""
    told, start = [], trio.current_time()
    async with trio.open_nursery() as outside:
        with trio.move_on_after(1):
            async with session.begin() as s:
                outside.start_soon(request, s, told, "x", 5)
                await trio.sleep_forever()
        assert s.statistics().open == 0
        assert trio.current_time() == start + 6


# --- a property


@attrs.frozen
class Request:
    start: int
    length: int
    clean_up: int
    branch: int  # 0: the session, 1 and 2: its forks
    inside: bool  # in the session's nursery


REQUESTS = st.lists(
    st.builds(Request, st.integers(0, 4), st.integers(1, 6), st.integers(0, 3), st.integers(0, 2), st.booleans()),
    max_size=8,
)


async def play(requests, cancel_at, fork_ends_at):
    fates = {}

    async def run(i, one, s):
        await trio.sleep(one.start)
        try:
            with s.want(i):
                try:
                    await trio.sleep(one.length)
                finally:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(one.clean_up)
            fates[i] = "found"
        except SessionEnded:
            fates[i] = "ended"
        except trio.Cancelled:
            fates[i] = "cancelled"
            raise

    async def branch(opened, task_status):
        with session.fork() as child:
            task_status.started(child)
            await trio.sleep(opened)

    start = trio.current_time()
    with trio.fail_after(1000):
        async with trio.open_nursery() as outside:
            async with session.begin() as s:
                forks = [await outside.start(branch, fork_ends_at), await outside.start(branch, fork_ends_at + 2)]
                for i, one in enumerate(requests):
                    (s.start_soon if one.inside else outside.start_soon)(run, i, one, (s, *forks)[one.branch])
                await trio.sleep(cancel_at)
                s.cancel("enough")
            assert all(f.ended for f in forks)
            stats, nursery_free = s.statistics(), trio.current_time() - start
            assert stats.open == 0
            assert all(f.statistics().open == 0 for f in forks)
        assert s.statistics() == stats, "nothing was in flight afterwards"
    assert stats.wants == stats.found + stats.cancelled
    assert stats.found == sum(fate == "found" for fate in fates.values())
    for i, one in enumerate(requests):
        ends = min(cancel_at, {0: cancel_at, 1: fork_ends_at, 2: fork_ends_at + 2}[one.branch])
        if one.start + one.length + one.clean_up < ends:
            assert fates[i] == "found"
        if one.start < ends < one.start + one.length:
            assert fates[i] in ("ended", "cancelled")
            assert fates[i] == "ended" or one.inside, "it surfaces as SessionEnded in its task"
    assert nursery_free <= cancel_at + 3


@given(REQUESTS, st.integers(0, 8), st.integers(0, 8))
def test_whenever_it_ends_nothing_is_in_flight_afterwards(requests, cancel_at, fork_ends_at):
    """However requests, forks and the end collide, each request is told, and none is left behind."""
    trio.run(play, requests, cancel_at, fork_ends_at, clock=MockClock(autojump_threshold=0))


async def test_cancel_ends_the_nurseries_of_guests():
    with session.begin(), trio.move_on_after(5) as patience:
        async with session.begin() as guest:
            guest.start_soon(trio.sleep_forever)
            guest.cancel("enough")
    assert not patience.cancelled_caught


async def test_a_session_cancelled_from_a_thread_closes_its_slots_in_its_run():
    where = []
    slot = session.Slot("here", make=lambda _: None, end=lambda _: where.append(trio.lowlevel.in_trio_task()))
    with session.begin() as s:
        slot.of(s)
        with session.fork() as child:
            slot.of(child)
            await trio.to_thread.run_sync(s.cancel, "enough")
            assert s.ended
            assert child.ended
            await wait_all_tasks_blocked()
            assert len(where) == 2


async def test_the_end_of_a_fork_is_told_by_its_name():
    told = []
    with session.begin(name="whole") as s:
        s.subscribe(told.append)
        with session.fork(name="part"):
            pass
    assert [event.session for event in told] == ["part", "whole"]

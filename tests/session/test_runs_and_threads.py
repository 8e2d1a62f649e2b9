"""Law 10: a session belongs to one trio run; threads read it, and go back into the run to ask."""

from __future__ import annotations

from contextvars import copy_context
from threading import Event, Thread

import pytest
import trio

from sessionctx import session
from sessionctx.errors import NoSession, SessionEnded, SessionError


async def ask(name="x"):
    """One request on the session that is bound here."""
    with session.current().want(name):
        await trio.lowlevel.checkpoint()


# --- runs


def test_begun_outside_it_serves_the_run_inside(play):
    with session.begin() as s:
        play(ask)
        assert s.statistics().found == 1
        assert not s.ended


def test_it_serves_the_same_run_again_and_again(play):
    async def main():
        for _ in range(3):
            await ask()

    with session.begin() as s:
        play(main)
        assert s.statistics().found == 3


def test_begun_outside_it_belongs_to_the_first_run_that_asks(play):
    with session.begin(name="mine") as s:
        play(ask)
        with pytest.raises(SessionError, match=r"mine.*another trio run") as caught:
            play(ask)
        assert not isinstance(caught.value, SessionEnded)
        assert "leave" in str(caught.value), "the advice"
        assert s.statistics().wants == 1, "a refused request is not counted"


def test_looking_makes_it_belong_to_no_run(play):
    async def look():
        await trio.lowlevel.checkpoint()
        return session.current()

    with session.begin() as s:
        assert play(look) is s
        assert play(look) is s
        play(ask)


def test_begun_inside_it_is_refused_in_the_next_run(play):
    async def begin_and_hold():
        scope = session.begin()
        s = scope.__enter__()
        await ask()
        return s  # never left: a bug of the caller, and yet the session stays in its run

    s = play(begin_and_hold)

    async def later():
        with session.use(s):
            await ask()

    with pytest.raises(SessionError, match="another trio run"):
        play(later)


def test_in_a_run_nested_in_a_worker_thread_it_is_refused(play):
    async def main():
        with session.begin():
            await ask()
            with pytest.raises(SessionError, match="another trio run"):
                await trio.to_thread.run_sync(trio.run, ask)
            await ask()

    play(main)


def test_a_fork_made_in_another_run_is_refused_as_its_parent_would_be(play):
    """One tree, one run: flights are shared in the tree, and a task cannot wait for another run's."""

    async def fork_and_ask():
        with session.fork():
            await ask()

    with session.begin() as s:
        play(ask)
        with pytest.raises(SessionError, match="another trio run"):
            play(fork_and_ask)
        assert s.statistics().wants == 1


def test_a_fork_begun_in_a_run_takes_its_parent_there(play):
    async def fork_and_ask():
        with session.fork():
            await ask()

    with session.begin() as s:
        play(fork_and_ask)
        with pytest.raises(SessionError, match="another trio run"):
            play(ask)
        assert s.statistics().wants == 1


def test_a_fork_begun_outside_takes_its_parent_into_the_run_that_asks(play):
    with session.begin() as s, session.fork():
        play(ask)
        with session.use(s), pytest.raises(SessionError, match="another trio run"):
            play(ask)


def test_each_run_may_have_a_session_of_its_own(play):
    async def begin_and_ask():
        with session.begin() as s:
            await ask()
        return s.statistics().found

    assert play(begin_and_ask) == 1
    assert play(begin_and_ask) == 1


def test_it_ends_well_after_its_run_is_over(play):
    with session.begin() as s:
        play(ask)
    assert s.ended
    assert s.statistics().found == 1


def test_outside_any_run_requests_are_refused_with_advice():
    with session.begin(name="mine") as s:
        with pytest.raises(SessionError, match=r"mine.*trio") as caught, s.want("x"):
            pytest.fail("entered")
        assert "trio.run" in str(caught.value)
        assert s.statistics().wants == 0


# --- worker threads


async def test_in_a_worker_thread_current_reads():
    with session.begin() as s:
        assert await trio.to_thread.run_sync(session.current) is s
        assert (await trio.to_thread.run_sync(s.statistics)).wants == 0
    assert await trio.to_thread.run_sync(session.current, None) is None


async def test_in_a_worker_thread_requests_are_refused_with_advice():
    def work():
        with session.current().want("x"):
            pytest.fail("entered")

    with session.begin(name="mine") as s:
        with pytest.raises(SessionError, match="mine") as caught:
            await trio.to_thread.run_sync(work)
        assert "trio.from_thread.run" in str(caught.value)
        assert s.statistics().wants == 0


async def test_from_thread_carries_the_session_back():
    with session.begin() as s:
        await trio.to_thread.run_sync(trio.from_thread.run, ask)
        assert s.statistics().found == 1


async def test_scopes_in_a_worker_thread_bind_there():
    def work():
        with session.fork() as child:
            assert session.current() is child
            trio.from_thread.run(ask)
            with session.leave():
                with pytest.raises(NoSession):
                    session.current()
                with pytest.raises(NoSession):
                    trio.from_thread.run(ask)
            return child

    with session.begin() as s:
        child = await trio.to_thread.run_sync(work)
        assert child.parent is s
        assert child.ended
        assert child.statistics().found == 1
        assert session.current() is s
        assert not s.ended


async def test_a_session_begun_in_a_worker_thread_serves_its_run():
    def work():
        with session.begin() as s:
            trio.from_thread.run(ask)
            return s

    s = await trio.to_thread.run_sync(work)
    assert s.ended
    assert s.statistics().found == 1


async def test_what_is_set_in_a_worker_thread_is_lost_but_the_session_is_shared():
    def work():
        session.current().add_peers(["https://a.example"])
        session.leave().__enter__()

    with session.begin() as s:
        await trio.to_thread.run_sync(work)
        assert session.current() is s
        assert list(s.peers) == ["https://a.example"]


async def test_cancelled_from_a_worker_thread_requests_surface_in_their_tasks(nursery):
    told = trio.Event()

    async def request(s):
        with pytest.raises(SessionEnded, match="stop"), s.want("x"):
            await trio.sleep_forever()
        told.set()

    with session.begin() as s:
        nursery.start_soon(request, s)
        await trio.testing.wait_all_tasks_blocked()
        await trio.to_thread.run_sync(s.cancel, "stop")
        with trio.fail_after(10):
            await told.wait()


def test_the_blocking_face_serves_a_run_in_another_thread():
    """A sync caller holds the session; a portal's run in another thread does the asking."""
    tokens, started = [], Event()

    async def portal(started):
        tokens.append(trio.lowlevel.current_trio_token())
        stop = trio.Event()
        tokens.append(stop)
        started()
        await stop.wait()

    thread = Thread(target=trio.run, args=(portal, started.set))
    thread.start()
    try:
        assert started.wait(10)
        with session.begin() as s:
            trio.from_thread.run(ask, trio_token=tokens[0])
            trio.from_thread.run(ask, trio_token=tokens[0])
            assert s.statistics().found == 2
        assert s.ended
        with pytest.raises(NoSession):
            trio.from_thread.run(ask, trio_token=tokens[0])
    finally:
        tokens[0].run_sync_soon(tokens[1].set)
        thread.join()


def test_in_a_copied_context_of_a_plain_thread_it_reads():
    seen = []
    with session.begin() as s:
        thread = Thread(target=copy_context().run, args=(lambda: seen.append(session.current()),))
        thread.start()
        thread.join()
    assert seen == [s]

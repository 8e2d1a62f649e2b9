"""Who sees a context variable: tasks, threads, other runs, fixtures.

None of this is our code. Sessions rest on it, so that a Python or a trio in which it changes fails here first.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from threading import Thread

import pytest
import trio


@pytest.fixture
def look(variable):
    """An async function that appends what it sees to a list."""

    async def look(seen, *, task_status=trio.TASK_STATUS_IGNORED):
        task_status.started()
        await trio.lowlevel.checkpoint()
        seen.append(variable.get())

    return look


async def test_a_child_sees_what_its_spawner_saw_even_in_an_outer_nursery(bound, variable, look):
    seen = []
    async with trio.open_nursery() as outer:
        with bound("session"):
            outer.start_soon(look, seen)
        assert variable.get() == "unset"
    assert seen == ["session"], "it ran after the block was left, and still saw the value"


async def test_a_child_does_not_see_what_its_nursery_saw(bound, look):
    seen, handed = [], []

    async def holder(task_status):
        with bound("session"):
            async with trio.open_nursery() as inner:
                handed.append(inner)
                task_status.started()
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        await nursery.start(holder)
        handed[0].start_soon(look, seen)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert seen == ["unset"]


async def test_a_value_set_by_a_child_stays_in_the_child(variable):
    async def child():
        variable.set("child")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
    assert variable.get() == "unset"


async def test_a_value_set_before_started_stays_in_the_service(variable):
    async def service(task_status):
        variable.set("service")
        task_status.started()

    async with trio.open_nursery() as nursery:
        await nursery.start(service)
        assert variable.get() == "unset"


async def test_nursery_start_inherits_from_its_caller_too(bound, look):
    seen = []
    async with trio.open_nursery() as outer:
        with bound("session"):
            await outer.start(look, seen)
    assert seen == ["session"]


async def test_an_object_in_a_variable_is_shared_not_copied():
    from contextvars import ContextVar

    held: ContextVar[list] = ContextVar("held")
    held.set([])

    async def child():
        held.get().append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        nursery.start_soon(child)
    assert held.get() == [1, 1]


async def test_spawning_in_an_empty_context_detaches_the_child(bound, look):
    seen = []
    async with trio.open_nursery() as nursery:
        with bound("session"):
            Context().run(nursery.start_soon, look, seen)
    assert seen == ["unset"]


async def test_a_system_task_does_not_inherit(bound, look):
    seen = []
    with bound("session"):
        trio.lowlevel.spawn_system_task(look, seen)
        trio.lowlevel.spawn_system_task(look, seen, context=copy_context())
        await trio.testing.wait_all_tasks_blocked()
    assert sorted(seen) == ["session", "unset"]


async def test_a_scope_around_a_nursery_in_asynccontextmanager_is_fine(bound, variable, look):
    seen = []

    @asynccontextmanager
    async def both():
        with bound("session"):
            async with trio.open_nursery() as nursery:
                yield nursery

    async with both() as nursery:
        nursery.start_soon(look, seen)
        assert variable.get() == "session"
    assert variable.get() == "unset"
    assert seen == ["session"]


# --- threads


async def test_a_worker_thread_sees_a_copy(bound, variable):
    def work():
        seen = variable.get()
        variable.set("thread")
        return seen

    with bound("session"):
        assert await trio.to_thread.run_sync(work) == "session"
        assert variable.get() == "session", "what the thread set is lost"


async def test_a_call_back_from_a_thread_runs_in_the_threads_copy(bound, variable):
    async def back():
        await trio.lowlevel.checkpoint()
        seen = variable.get()
        variable.set("callback")
        return seen

    def work():
        first = trio.from_thread.run(back)
        variable.set("thread")
        second, third = trio.from_thread.run(back), trio.from_thread.run_sync(variable.get)
        return first, second, third, variable.get()

    with bound("session"):
        seen = await trio.to_thread.run_sync(work)
        assert seen == ("session", "thread", "thread", "thread")
        assert variable.get() == "session"


async def test_a_call_from_a_foreign_thread_brings_the_foreign_context(bound, variable):
    """The ground that a blocking facade stands on."""
    token, seen = trio.lowlevel.current_trio_token(), []

    async def inside():
        await trio.lowlevel.checkpoint()
        return variable.get()

    def foreign():
        with bound("foreign"):
            seen.append(trio.from_thread.run(inside, trio_token=token))
            seen.append(trio.from_thread.run_sync(variable.get, trio_token=token))

    thread = Thread(target=foreign)
    thread.start()
    with bound("session"):
        await trio.to_thread.run_sync(thread.join)
    assert seen == ["foreign", "foreign"]


def test_a_plain_thread_sees_nothing_unless_python_says_otherwise(bound, variable):
    seen = []
    with bound("session"):
        thread = Thread(target=lambda: seen.append(variable.get()))
        thread.start()
        thread.join()
    inherits = getattr(sys.flags, "thread_inherit_context", 0)
    assert seen == ["session" if inherits else "unset"]


def test_an_executor_sees_what_it_is_given(bound, variable):
    with bound("session"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(copy_context().run, variable.get).result() == "session"


# --- runs


def test_a_run_sees_what_its_caller_had_bound_and_gives_nothing_back(bound, variable):
    async def main():
        await trio.lowlevel.checkpoint()
        seen = variable.get()
        variable.set("run")
        return seen

    with bound("caller"):
        assert trio.run(main) == "caller"
        assert variable.get() == "caller"


async def test_a_run_in_a_worker_thread_is_another_run_with_the_same_values(bound, variable):
    async def other():
        await trio.lowlevel.checkpoint()
        return variable.get(), trio.lowlevel.current_trio_token()

    with bound("session"):
        seen, token = await trio.to_thread.run_sync(trio.run, other)
    assert seen == "session"
    assert token is not trio.lowlevel.current_trio_token()


async def test_a_run_inside_a_run_is_refused():
    async def other():
        await trio.lowlevel.checkpoint()

    with pytest.raises(RuntimeError, match="run"):
        trio.run(other)


def test_there_is_no_token_outside_a_run():
    with pytest.raises(RuntimeError):
        trio.lowlevel.current_trio_token()


# --- fixtures


@pytest.fixture
def set_by_sync_fixture(variable):
    token = variable.set("sync fixture")
    yield
    variable.reset(token)


@pytest.fixture
async def set_by_async_fixture(bound):
    with bound("async fixture"):
        yield


async def test_a_sync_fixtures_value_is_visible(set_by_sync_fixture, variable, look, nursery):
    seen = []
    await nursery.start(look, seen)
    await trio.testing.wait_all_tasks_blocked()
    assert variable.get() == "sync fixture"
    assert seen == ["sync fixture"]


async def test_an_async_fixtures_value_is_visible(set_by_async_fixture, variable, look, nursery):
    seen = []
    await nursery.start(look, seen)
    await trio.testing.wait_all_tasks_blocked()
    assert variable.get() == "async fixture"
    assert seen == ["async fixture"]

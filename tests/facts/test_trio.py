# ruff: noqa: ASYNC100  (scopes without a checkpoint are the point here)
"""What trio does with cancellation, waking, errors and time, where our laws stand on it."""

from __future__ import annotations

import asyncio
import math

import outcome
import pytest
import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled
from trio.testing import wait_all_tasks_blocked

# --- waking and cancelling: the hand-over of a flight rests on it


async def sleeper(woken, scope=None):
    """Sleep until rescheduled; write down what came of it."""
    with scope or trio.CancelScope() as scope:
        try:
            woken.append(await wait_task_rescheduled(lambda _: Abort.SUCCEEDED))
        except trio.Cancelled:
            woken.append("cancelled")
            raise
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            woken.append("cancelled later")
            raise


async def test_a_task_woken_first_is_not_cancelled_in_that_wait():
    """The cancellation comes at the next checkpoint: what it was handed has arrived."""
    woken, scope, tasks = [], trio.CancelScope(), []

    async def waiter():
        tasks.append(current_task())
        await sleeper(woken, scope)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter)
        await wait_all_tasks_blocked()
        reschedule(tasks[0], outcome.Value("the lead"))
        scope.cancel()
    assert woken == ["the lead", "cancelled later"]


async def test_a_task_cancelled_first_is_no_longer_there_to_be_woken():
    """The abort function runs at once, inside ``cancel()``: whoever keeps a queue must strike the waiter off there."""
    struck, tasks, scope = [], [], trio.CancelScope()

    async def waiter():
        tasks.append(current_task())

        def abort(_):
            struck.append(True)
            return Abort.SUCCEEDED

        with scope:
            await wait_task_rescheduled(abort)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter)
        await wait_all_tasks_blocked()
        scope.cancel()
        assert struck == [True], "before the task itself has run"


async def test_an_event_set_before_the_cancel_wins():
    event, scope, seen = trio.Event(), trio.CancelScope(), []

    async def waiter():
        with scope:
            await event.wait()
            seen.append("woken")
            await trio.lowlevel.checkpoint()
            seen.append("never")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter)
        await wait_all_tasks_blocked()
        event.set()
        scope.cancel()
    assert seen == ["woken"]


async def test_an_event_set_after_the_cancel_loses():
    event, scope, seen = trio.Event(), trio.CancelScope(), []

    async def waiter():
        with scope:
            await event.wait()
            seen.append("never")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter)
        await wait_all_tasks_blocked()
        scope.cancel()
        event.set()
    assert seen == []


async def test_two_deadlines_of_one_instant_are_not_two_instants(autojump_clock):
    """Under a mock clock, whole ticks collide: a sleep and a timeout of the same length end in the same instant."""
    ends = []

    async def sleep():
        await trio.sleep(3)
        ends.append(trio.current_time())

    async def timeout():
        with trio.move_on_after(3):
            await trio.sleep_forever()
        ends.append(trio.current_time())

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep)
        nursery.start_soon(timeout)
    assert ends == [start + 3, start + 3]


# --- scopes


async def test_another_task_may_cancel_a_scope_and_only_the_scope_ends():
    scope = trio.CancelScope()

    async def request():
        with scope:
            await trio.sleep_forever()
        return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(request)
        await wait_all_tasks_blocked()
        scope.cancel()
    assert scope.cancelled_caught
    assert not nursery.cancel_scope.cancelled_caught


async def test_cancelling_a_scope_that_was_left_is_harmless():
    with trio.CancelScope() as scope:
        await trio.lowlevel.checkpoint()
    scope.cancel()
    assert not scope.cancelled_caught
    await trio.lowlevel.checkpoint()


async def test_a_scope_cancelled_before_it_is_entered_cancels_the_first_checkpoint():
    scope = trio.CancelScope()
    scope.cancel()
    with scope:
        await trio.lowlevel.checkpoint()
        pytest.fail("passed the checkpoint")
    assert scope.cancelled_caught


async def test_a_scope_cancelled_after_the_last_checkpoint_catches_nothing():
    """A request that has its answer keeps it, though it was cancelled meanwhile: ``cancelled_caught`` tells them apart."""
    with trio.CancelScope() as scope:
        scope.cancel()
        answer = 42
    assert scope.cancel_called
    assert not scope.cancelled_caught
    assert answer == 42


async def test_an_error_beats_a_cancellation_that_was_only_asked_for():
    with pytest.raises(KeyError), trio.CancelScope() as scope:
        scope.cancel()
        raise KeyError


async def test_when_inner_and_outer_are_both_cancelled_the_outer_catches():
    """So ``SessionEnded`` may be raised only if our own scope caught it: the caller's own timeout stays a timeout."""
    with trio.CancelScope() as outer, trio.CancelScope() as inner:
        inner.cancel()
        outer.cancel()
        await trio.lowlevel.checkpoint()
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


async def test_a_shield_keeps_cancellation_out_until_it_is_left(autojump_clock):
    start = trio.current_time()
    with trio.move_on_after(1) as scope:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        assert trio.current_time() == start + 5
        await trio.lowlevel.checkpoint()
        pytest.fail("passed the checkpoint")
    assert scope.cancelled_caught


async def test_the_deadline_is_the_nearest_of_all_scopes(autojump_clock):
    assert trio.current_effective_deadline() == math.inf
    now = trio.current_time()
    with trio.move_on_after(5):
        with trio.move_on_after(9):
            assert trio.current_effective_deadline() == now + 5
    assert trio.current_effective_deadline() == math.inf


# --- errors


async def test_a_nursery_raises_groups_even_for_one_error():
    with pytest.RaisesGroup(KeyError):
        async with trio.open_nursery():
            raise KeyError


async def test_an_error_in_a_child_cancels_the_block_and_the_other_children():
    cancelled = []

    async def other():
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append("other")

    async def bad():
        await trio.lowlevel.checkpoint()
        raise KeyError

    with pytest.RaisesGroup(KeyError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            nursery.start_soon(bad)
            try:
                await trio.sleep_forever()
            finally:
                cancelled.append("block")
    assert sorted(cancelled) == ["block", "other"]


async def test_a_closed_nursery_refuses_children():
    async with trio.open_nursery() as nursery:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        nursery.start_soon(trio.sleep, 0)


async def test_one_error_object_raised_in_two_tasks_mixes_their_tracebacks():
    """Why each waiter of a flight gets an error object of its own."""
    shared, frames = KeyError("shared"), []

    async def raise_it():
        try:
            raise shared
        except KeyError as error:
            traceback, count = error.__traceback__, 0
            while traceback:
                traceback, count = traceback.tb_next, count + 1
            frames.append(count)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(raise_it)
        nursery.start_soon(raise_it)
    assert frames == [1, 2]


# --- other loops


def test_under_asyncio_a_trio_function_fails_obscurely():
    """Why our public functions check, and say it in a sentence. (When this fails, trio says it itself.)"""
    with pytest.raises((AttributeError, RuntimeError)) as caught:
        asyncio.run(trio.sleep(1))  # noqa: ASYNC105
    assert "trio" not in str(caught.value).lower()


def test_a_token_names_its_run():
    async def token():
        await trio.lowlevel.checkpoint()
        assert trio.lowlevel.current_trio_token() is trio.lowlevel.current_trio_token()
        return trio.lowlevel.current_trio_token()

    assert trio.run(token) is not trio.run(token)


def test_under_asyncio_there_is_no_trio_token():
    async def main():
        with pytest.raises(RuntimeError):
            trio.lowlevel.current_trio_token()

    asyncio.run(main())


async def test_in_a_worker_thread_there_is_no_trio_token():
    def work():
        with pytest.raises(RuntimeError):
            trio.lowlevel.current_trio_token()

    await trio.to_thread.run_sync(work)


# --- who is whose: a flight tells by it who runs inside its fetch


async def test_a_task_knows_the_nurseries_it_has_open_and_a_child_the_one_it_runs_in():
    seen = []

    async def child():
        await trio.lowlevel.checkpoint()
        seen.append(current_task().parent_nursery)

    me = current_task()
    before = list(me.child_nurseries)
    async with trio.open_nursery() as outer, trio.open_nursery() as inner:
        assert list(me.child_nurseries) == [*before, outer, inner]
        assert outer.parent_task is inner.parent_task is me
        inner.start_soon(child)
    assert seen == [inner]
    assert list(me.child_nurseries) == before


async def test_a_call_back_from_a_worker_thread_runs_in_the_task_that_waits_for_it():
    """So a fetch that goes through a thread is still the leader's own."""
    me, seen = current_task(), []

    async def back():
        await trio.lowlevel.checkpoint()
        seen.append(current_task())

    await trio.to_thread.run_sync(trio.from_thread.run, back)
    assert seen == [me]

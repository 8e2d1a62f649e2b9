"""Law 11: a scope left in another task, or out of order, is an error with advice; and the session has been ended."""

from __future__ import annotations

import gc
import logging
from contextlib import aclosing, contextmanager, suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from sessionctx import session
from sessionctx.errors import SessionError, SessionLeakWarning


async def numbers_in(scope, held):
    """What a library must not do: hold a session across a yield."""
    with scope() as s:
        held.append(s)
        yield 1
        yield 2


async def in_another_task(async_fn, *args):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(async_fn, *args)


# --- what is fine


async def test_aclosing_in_one_task_is_fine():
    held = []
    async with aclosing(numbers_in(session.begin, held)) as stream:
        async for _ in stream:
            assert session.current() is held[0], "the leak that PEP 789 is about; nothing can be done here"
            break
    assert session.current(None) is None
    assert held[0].ended


def test_a_context_manager_made_of_a_generator_is_fine():
    @contextmanager
    def managed():
        with session.begin() as s:
            yield s

    with managed() as s:
        assert session.current() is s
    assert session.current(None) is None
    assert s.ended


# --- another task


async def test_left_in_another_task_it_is_an_error_with_advice_and_the_session_has_ended():
    held = []
    stream = numbers_in(session.begin, held)
    await anext(stream)

    async def close():
        with pytest.raises(SessionError, match="task") as caught:
            await stream.aclose()
        assert "generator" in str(caught.value), "the advice names the usual culprit"

    await in_another_task(close)
    assert held[0].ended
    assert session.current(None) is None, "the stale binding is harmless: its session has ended"
    with pytest.warns(SessionLeakWarning), session.begin() as fresh:
        assert fresh is not held[0]


async def test_a_fork_left_in_another_task_ends_and_its_parent_does_not():
    held = []

    async def consume():
        stream = numbers_in(session.fork, held)
        await anext(stream)
        await in_another_task(close, stream)

    async def close(stream):
        with pytest.raises(SessionError, match="task"):
            await stream.aclose()

    with session.begin() as parent:
        await in_another_task(consume)
        assert held[0].ended
        assert not parent.ended
        assert session.current() is parent


async def test_leaving_in_another_task_leaves_that_tasks_binding_alone(nursery):
    scope = session.begin()

    async def enter():
        scope.__enter__()
        await trio.sleep_forever()

    nursery.start_soon(enter)
    await wait_all_tasks_blocked()
    with session.begin() as ours:
        with pytest.raises(SessionError, match="task"):
            scope.__exit__(None, None, None)
        assert session.current() is ours
        assert not ours.ended


async def test_leaving_in_a_worker_thread_is_leaving_elsewhere():
    scope = session.begin()
    s = scope.__enter__()
    with pytest.raises(SessionError, match="task"):
        await trio.to_thread.run_sync(scope.__exit__, None, None, None)
    assert s.ended


async def test_a_nursery_block_left_in_another_task_is_an_error_and_the_session_has_ended():
    """And the run survives, if the task that entered leaves it, too."""
    scope, hand_back = session.begin(), trio.Event()

    async def enter():
        await scope.__aenter__()
        error = None
        try:
            await hand_back.wait()
        except trio.Cancelled as cancelled:  # its block is, by the end of its session
            error = cancelled
        with suppress(SessionError):  # leaving it a second time may be an error or not
            await scope.__aexit__(type(error) if error else None, error, None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        await wait_all_tasks_blocked()
        with pytest.raises(SessionError, match="task"):
            await scope.__aexit__(None, None, None)
        assert session.current(None) is None
        hand_back.set()


# --- another order


async def test_a_block_left_over_a_generators_open_one_is_an_error_and_restores_all():
    held = []
    with session.begin() as before:
        with pytest.raises(SessionError, match="order") as caught:
            with session.fork() as outer:
                stream = numbers_in(session.fork, held)
                await anext(stream)
        assert "aclosing" in str(caught.value), "the advice says how to close generators"
        assert outer.ended
        assert held[0].ended, "a fork ends with its parent"
        assert session.current() is before, "the binding after the block is the one before it"
        with pytest.raises(SessionError, match="order"):
            await stream.aclose()
        assert session.current() is before


async def test_two_generators_closed_in_the_wrong_order():
    held = []
    with session.begin() as before:
        first, second = numbers_in(session.fork, held), numbers_in(session.fork, held)
        await anext(first)
        await anext(second)
        for stream in (first, second):
            with pytest.raises(SessionError, match="order"):
                await stream.aclose()
        assert [s.ended is not None for s in held] == [True, True]
        assert session.current() is before


async def test_the_error_that_was_on_its_way_is_not_lost():
    with pytest.raises(SessionError, match="order") as caught, session.begin():
        stream = numbers_in(session.fork, [])
        await anext(stream)
        raise KeyError("what went wrong first")
    assert isinstance(caught.value.__context__, KeyError)
    with pytest.raises(SessionError):
        await stream.aclose()


async def test_a_nursery_block_left_over_a_generators_open_one_still_closes_its_nursery():
    held, ended = [], []

    async def child():
        try:
            await trio.sleep_forever()
        finally:
            ended.append("child")

    with pytest.RaisesGroup(
        pytest.RaisesExc(SessionError, match="order"), allow_unwrapped=True, flatten_subgroups=True
    ):
        async with session.begin() as s:
            s.start_soon(child)
            stream = numbers_in(session.fork, held)
            await anext(stream)
            await wait_all_tasks_blocked()
            s.nursery.cancel_scope.cancel()
    assert ended == ["child"]
    assert s.ended
    assert session.current(None) is None
    with pytest.raises(SessionError):
        await stream.aclose()
    await trio.lowlevel.checkpoint()


def test_an_abandoned_generator_ends_its_session_and_is_not_silent(caplog):
    held = []

    async def consume():
        with pytest.warns(ResourceWarning, match="garbage collected"):  # noqa: PT031
            async for _ in numbers_in(session.begin, held):
                break
            gc.collect()
            await wait_all_tasks_blocked()
        assert session.current(None) is None

    with caplog.at_level(logging.ERROR, "trio.async_generator_errors"):
        trio.run(consume)
    assert held[0].ended
    assert any(isinstance(record.exc_info[1], SessionError) for record in caplog.records if record.exc_info)

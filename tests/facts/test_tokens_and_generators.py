"""What undoes a binding, what does not, and what generators do to it."""

from __future__ import annotations

import gc
import logging
from contextlib import aclosing
from contextvars import copy_context

import pytest
import trio


async def test_a_token_of_another_task_is_refused(variable):
    token = variable.set("ours")

    async def child():
        variable.reset(token)

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="different Context")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
    variable.reset(token)


async def test_a_token_is_refused_in_a_worker_thread_though_the_values_are_the_same(variable):
    token = variable.set("ours")
    with pytest.raises(ValueError, match="different Context"):
        await trio.to_thread.run_sync(variable.reset, token)
    variable.reset(token)


def test_a_token_is_refused_the_second_time(variable):
    token = variable.set("once")
    variable.reset(token)
    with pytest.raises(RuntimeError, match="already been used"):
        variable.reset(token)


def test_resetting_out_of_order_is_silent_and_leaves_a_stale_value(variable):
    outer = variable.set("outer")
    inner = variable.set("inner")
    variable.reset(outer)
    assert variable.get() == "unset"
    variable.reset(inner)
    assert variable.get() == "outer", "the outer block has been left, and its value is back"
    variable.set("unset")


def test_a_copied_context_has_the_values_but_is_not_the_context(variable):
    token = variable.set("here")
    with pytest.raises(ValueError, match="different Context"):
        copy_context().run(variable.reset, token)
    variable.reset(token)


# --- generators


async def test_a_binding_held_across_a_yield_leaks_to_the_consumer(bound, variable):
    async def numbers():
        with bound("generator"):
            yield 1

    stream = numbers()
    assert variable.get() == "unset"
    await anext(stream)
    assert variable.get() == "generator"
    await stream.aclose()
    assert variable.get() == "unset"


def test_a_plain_generator_leaks_just_the_same(bound, variable):
    def numbers():
        with bound("generator"):
            yield 1

    stream = numbers()
    next(stream)
    assert variable.get() == "generator"
    stream.close()
    assert variable.get() == "unset"


async def test_aclosing_in_the_same_task_restores(bound, variable):
    async def numbers():
        with bound("generator"):
            yield 1
            yield 2

    async with aclosing(numbers()) as stream:
        async for _ in stream:
            break
        assert variable.get() == "generator"
    assert variable.get() == "unset"


def test_an_abandoned_generator_fails_in_its_finaliser_and_the_value_stays_wrong(bound, variable, caplog):
    failed, after = [], []

    async def numbers():
        try:
            with bound("generator"):
                yield 1
        except ValueError as error:
            failed.append(error)
            raise

    async def consume():
        with pytest.warns(ResourceWarning, match="garbage collected"):  # noqa: PT031
            async for _ in numbers():
                break
            gc.collect()
            await trio.testing.wait_all_tasks_blocked()
        after.append(variable.get())

    with caplog.at_level(logging.ERROR, "trio.async_generator_errors"):
        trio.run(consume)
    assert [record.exc_info[1] for record in caplog.records] == failed, "trio tells it in its log, and nowhere else"
    assert "different Context" in str(failed[0])
    assert after == ["generator"]


async def test_a_generator_closed_by_another_task_cannot_reset(bound, variable):
    async def numbers():
        with bound("generator"):
            yield 1

    stream = numbers()
    await anext(stream)
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="different Context")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.aclose)
    assert variable.get() == "generator", "the consumer keeps the leaked value"
    variable.set("unset")


async def test_a_timeout_inside_a_generator_cancels_its_consumer(autojump_clock):
    """Why no API of ours yields inside a cancel scope (PEP 789)."""

    async def impatient():
        with trio.move_on_after(1):
            yield 1

    start = trio.current_time()
    async with aclosing(impatient()) as stream:
        with pytest.raises(trio.Cancelled):
            async for _ in stream:
                await trio.sleep(10)
    assert trio.current_time() == start + 1, "the consumer's own sleep was cut short"

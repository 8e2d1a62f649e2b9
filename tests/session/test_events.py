"""Section 6: one stream of small events, at monotonic times; a sink that fails is dropped, and nothing else is."""

from __future__ import annotations

import inspect
import logging

import attrs
import pytest
import trio

from sessionctx import session
from sessionctx.errors import SessionEnded
from sessionctx.session import events

KINDS = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, events.Event)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_small_frozen_and_documented(kind):
    assert attrs.has(kind)
    assert kind.__doc__
    assert "__slots__" in vars(kind)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        kind(*range(len(attrs.fields(kind)))).at = 0


async def want(s, name="x"):
    with s.want(name):
        await trio.lowlevel.checkpoint()


async def test_a_want_is_told_and_so_is_its_end(autojump_clock):
    told = []
    with session.begin() as s:
        s.subscribe(told.append)
        start = trio.current_time()
        with s.want("x"):
            await trio.sleep(2)
        assert told == [events.Wanted(start, "x"), events.Settled(start + 2, "x", "found")]


async def test_the_end_is_told_once():
    told = []
    with session.begin() as s:
        s.subscribe(told.append)
        s.cancel("enough")
    assert [(type(event), event.reason) for event in told] == [(events.Ended, "enough")]
    await trio.lowlevel.checkpoint()


def test_with_hooks_it_ends_well_outside_any_run_too():
    with session.begin() as s:
        s.subscribe(lambda event: pytest.fail(f"{event} has no time to be told at"))
    assert s.ended


async def test_forks_are_heard_above_and_parents_are_not_heard_below():
    above, below = [], []
    with session.begin() as parent:
        parent.subscribe(above.append)
        with session.fork() as child:
            child.subscribe(below.append)
            await want(parent, "parents")
            await want(child, "childs")
    names = [event.name for event in above if isinstance(event, events.Wanted)]
    assert names == ["parents", "childs"]
    assert [event.name for event in below if isinstance(event, events.Wanted)] == ["childs"]


async def test_several_hooks_hear_in_the_order_they_came():
    told = []
    with session.begin() as s:
        s.subscribe(lambda event: told.append(("first", type(event).__name__)))
        s.subscribe(lambda event: told.append(("second", type(event).__name__)))
        await want(s)
    assert told[:2] == [("first", "Wanted"), ("second", "Wanted")]


async def test_unsubscribing_stops_it_and_may_be_done_twice():
    told = []
    with session.begin() as s:
        stop = s.subscribe(told.append)
        await want(s)
        stop()
        stop()
        await want(s)
    assert len(told) == 2


async def test_a_subscription_lasts_for_a_block():
    told = []
    with session.begin() as s:
        with s.subscribe(told.append):
            await want(s)
        await want(s)
    assert len(told) == 2


async def test_each_subscription_of_a_hook_is_ended_by_itself():
    told = []
    with session.begin() as s:
        stop = s.subscribe(told.append)
        with s.subscribe(told.append):
            stop()
            stop()
            await want(s)
    assert [type(event).__name__ for event in told] == ["Wanted", "Settled"]


async def test_a_hook_may_unsubscribe_itself_or_another_while_it_is_called():
    told = []
    with session.begin() as s:

        def once(event):
            told.append("once")
            stop()
            stop_other()

        stop = s.subscribe(once)
        stop_other = s.subscribe(lambda _: None)
        s.subscribe(lambda _: told.append("stays"))
        with s.want("x"):
            await trio.lowlevel.checkpoint()
    assert told.count("once") == 1
    assert told.count("stays") == 3


async def test_a_hook_that_raises_is_logged_once_and_dropped(caplog):
    told, calls = [], []

    def bad(event):
        calls.append(event)
        raise KeyError("bad hook")

    with caplog.at_level(logging.DEBUG, "sessionctx"), session.begin() as s:
        s.subscribe(bad)
        s.subscribe(told.append)
        await want(s)
        await want(s)
    assert len(calls) == 1
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 1
    assert isinstance(errors[0].exc_info[1], KeyError)
    assert [type(event).__name__ for event in told] == ["Wanted", "Settled", "Wanted", "Settled", "Ended"]
    assert s.statistics().found == 2, "and the work was not disturbed"


async def test_a_hook_on_a_parent_that_raises_does_not_silence_the_forks(caplog):
    told = []

    def bad(_):
        raise KeyError

    with caplog.at_level(logging.CRITICAL, "sessionctx"), session.begin() as s:
        s.subscribe(bad)
        with session.fork() as child:
            child.subscribe(told.append)
            await want(child)
    assert [type(event).__name__ for event in told] == ["Wanted", "Settled", "Ended"]


async def test_an_interrupt_in_a_hook_is_not_swallowed():
    told = []

    def interrupt(event):
        told.append(event)
        if len(told) == 1:
            raise KeyboardInterrupt

    with session.begin() as s:
        s.subscribe(interrupt)
        with pytest.raises(KeyboardInterrupt), s.want("x"):
            pytest.fail("entered")
        assert [type(event).__name__ for event in told] == ["Wanted", "Settled"]
        assert s.statistics().open == 0, "the want that was told is settled all the same"
    await trio.lowlevel.checkpoint()


async def test_a_hook_may_end_the_session_it_listens_to():
    with session.begin() as s:
        s.subscribe(lambda event: s.cancel("seen enough") if isinstance(event, events.Wanted) else None)
        with pytest.raises(SessionEnded, match="seen enough"), s.want("x"):
            await trio.lowlevel.checkpoint()
            pytest.fail("passed the checkpoint")
        assert s.statistics().cancelled == 1


async def test_times_never_go_back(autojump_clock):
    told = []
    async with session.begin() as s:
        s.subscribe(told.append)

        async def several(ticks):
            for _ in range(3):
                with s.want(ticks):
                    await trio.sleep(ticks)

        for ticks in (1, 2, 3):
            s.start_soon(several, ticks)
    times = [event.at for event in told]
    assert times == sorted(times)


async def test_without_hooks_nothing_is_built(monkeypatch):
    def never(*_):
        pytest.fail("an event was built for nobody")

    monkeypatch.setattr(events, "Wanted", never)
    monkeypatch.setattr(events, "Settled", never)
    with session.begin() as s:
        await want(s)
    assert s.statistics().found == 1

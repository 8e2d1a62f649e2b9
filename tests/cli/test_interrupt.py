"""Signals in the middle of work: it is cancelled, cleans up, and the code says which signal it was."""

from __future__ import annotations

import signal

import pytest
import trio

from sessionctx.cli import interrupt
from sessionctx.cli.exits import Exit
from sessionctx.cli.interrupt import Interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)])
def test_a_signal_cancels_and_lets_clean_up(number, code):
    cleaned = []

    async def verb():
        try:
            signal.raise_signal(number)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            cleaned.append(True)

    with pytest.raises(Interrupted) as stopped:
        interrupt.run(verb)
    assert stopped.value.code is code
    assert cleaned


def test_an_error_while_cleaning_up_is_not_lost():
    async def verb():
        try:
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()
        finally:
            raise ValueError("in the way")

    with pytest.raises(Interrupted) as stopped:
        interrupt.run(verb)
    assert isinstance(stopped.value.__cause__, ValueError)


def test_an_error_is_raised_as_it_is():
    async def verb():
        await trio.lowlevel.checkpoint()
        raise ValueError("plain")

    with pytest.raises(ValueError, match="plain"):
        interrupt.run(verb)


def test_a_server_may_end_gently_at_a_first_sigterm():
    asked = trio.Event()

    async def server():
        signal.raise_signal(signal.SIGTERM)
        await asked.wait()

    with pytest.raises(Interrupted) as stopped:
        interrupt.run(server, on_term=asked.set)
    assert stopped.value.code is Exit.TERMINATED


def test_a_second_signal_does_not_wait():
    async def server():
        signal.raise_signal(signal.SIGTERM)
        await trio.sleep(0.01)
        signal.raise_signal(signal.SIGTERM)
        await trio.sleep_forever()

    with pytest.raises(Interrupted):
        interrupt.run(server, on_term=lambda: None)


def test_ctrl_c_does_not_wait_for_a_gentle_end():
    async def server():
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    with pytest.raises(Interrupted) as stopped:
        interrupt.run(server, on_term=lambda: None)
    assert stopped.value.code is Exit.INTERRUPTED

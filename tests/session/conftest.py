"""Every test of the spine starts and ends with nothing bound."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from sessionctx import session


@pytest.fixture(autouse=True)
def nothing_bound():
    assert session.current(None) is None
    yield
    assert session.current(None) is None


@pytest.fixture(scope="session")
def play():
    """``play(async_fn, *args)``: a trio run of its own, in which time jumps to the next deadline."""

    def play(async_fn, *args):
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))

    return play

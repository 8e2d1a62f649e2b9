"""Pools of peers, as numbers for the plan and as fakes for the shell."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from sessionctx.content import Block
from sessionctx.peers import Ask, Health, Ledger, Peer


@pytest.fixture(scope="session")
def play():
    """``play(async_fn, *args)``: a trio run of its own, in which time jumps to the next deadline."""

    def play(async_fn, *args):
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))

    return play


@pytest.fixture(scope="session")
def block():
    """``block(n, size)``: the n-th of a family of different blocks."""

    def block(n, size=1000):
        return Block.of((b"%d " % n * (size // 2 + 1))[:size])

    return block


@pytest.fixture(scope="session")
def good():
    """``good(n, latency, rate, window)``: a record of a peer that is known, and good."""

    def good(n=0, latency=0.1, rate=1000.0, window=8, **more):
        record = Ledger().add(Peer(f"fake://{n}", f"fake://{n}"))
        record.health = Health.GOOD
        record.latency, record.rate, record.window = latency, rate, float(window)
        for name, value in more.items():
            setattr(record, name, value)
        return record

    return good


@pytest.fixture(scope="session")
def fresh():
    """``fresh(n)``: a record of a peer about which nothing is known."""

    def fresh(n=9):
        return Ledger().add(Peer(f"fake://{n}", f"fake://{n}"))

    return fresh


@pytest.fixture(scope="session")
def flying():
    """``flying(job, record)``: note that *job* has asked *record*'s peer."""

    def flying(job, record, began=0.0, *, predicted=1.0, late_at=2.0):
        ask = Ask(record, job.name, job.size, began, predicted=predicted, late_at=late_at)
        job.asks.append(ask)
        return ask

    return flying

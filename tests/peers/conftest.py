"""Ledgers without a network: peers by number, and asks in one line."""

from __future__ import annotations

import pytest

from sessionctx.peers import Ask, Ledger, Peer

LINE = {"in_flight_bytes": "in_flight_bytes", "spoke": "spoke", "owing": "in_flight"}  # what belongs to the line


@pytest.fixture(scope="session")
def peer():
    """``peer(n)``: the n-th peer; always equal to itself."""

    def peer(n, most=8):
        return Peer(f"https://user:secret@peer{n}.example", f"https://peer{n}.example", most)

    return peer


@pytest.fixture(scope="session")
def known(peer):
    """``known(n, latency=, rate=, ...)``: a record about which so much is known."""

    def known(n=0, most=8, **estimates):
        record = Ledger().add(peer(n, most))
        for name, value in estimates.items():
            setattr(*((record.line, LINE[name]) if name in LINE else (record, name)), value)
        return record

    return known


@pytest.fixture(scope="session")
def ask():
    """``ask(record, now)``: a request on its way."""

    def ask(record, now=0.0, *, name="name", size=1000, predicted=1.0):
        return Ask(record, name, size, now, predicted=predicted)

    return ask

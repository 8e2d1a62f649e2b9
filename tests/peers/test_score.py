"""Score: the expected time to finish. More to do, or more trouble, is never sooner."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.peers import Ledger, Typical, outlook, typical

SECONDS = st.floats(0, 1e4)
RATES = st.floats(1e-3, 1e12)
COUNTS = st.integers(0, 1 << 40)
MIDDLE = Typical()
KNOWN = st.fixed_dictionaries(
    {
        "latency": st.one_of(st.none(), SECONDS),
        "rate": st.one_of(st.none(), RATES),
        "success": st.floats(0, 1),
        "in_flight_bytes": COUNTS,
        "owing": st.integers(0, 3),
        "spoke": st.floats(0, 1e4),
    }
)


@pytest.fixture(scope="session")
def expected():
    """``expected(record, size)``: in how many seconds, in a world where nothing else is known."""

    def expected(record, size, middle=MIDDLE, now=0.0, *, queued=0):
        each = outlook(record, middle, now)
        each.queue(queued)
        return each.expected(size)

    return expected


def test_it_is_the_latency_and_the_bytes_ahead_at_the_rate(known, expected):
    record = known(latency=0.5, rate=1000.0, in_flight_bytes=3000)
    assert expected(record, 1000, queued=2000) == pytest.approx(0.5 + 6.0)


def test_a_peer_that_half_fails_is_expected_to_take_twice_as_long(known, expected):
    steady, shaky = known(latency=0.5, rate=1000.0), known(latency=0.5, rate=1000.0, success=0.5)
    assert expected(shaky, 500) == 2 * expected(steady, 500)


def test_how_long_an_answer_takes_does_not_depend_on_how_often_there_is_none(known):
    assert outlook(known(latency=0.5, rate=1.0, success=0.1), MIDDLE, 0.0).duration(2) == 2.5


def test_an_unknown_peer_is_expected_to_be_like_the_middle_of_the_known_ones(known, expected):
    records = [known(latency=latency, rate=rate) for latency, rate in ((0.1, 10.0), (0.2, 1000.0), (9.0, 20.0))]
    middle = typical([*records, known()])
    assert (middle.latency, middle.rate) == (0.2, 20.0)
    assert expected(known(), 40, middle) == 0.2 + 2.0


def test_where_nothing_is_known_the_middle_is_a_sane_guess(known):
    assert typical([]) == typical([known(), known()]) == MIDDLE
    assert 0 < MIDDLE.latency < 1
    assert MIDDLE.rate > 0
    assert typical([known(latency=3.0)]) == attrs.evolve(MIDDLE, latency=3.0)


def test_what_other_forks_ask_of_it_is_in_the_way_too(peer, ask, expected):
    parent = Ledger()
    one, other = parent.child().add(peer(0)), parent.child().add(peer(0))
    one.latency, one.rate = 0.0, 1000.0
    ask(other, size=5000)
    assert expected(one, 1000) == 6.0


def test_a_peer_that_owes_an_answer_and_is_silent_is_expected_ever_later(known, ask, expected):
    record = known(latency=0.5, rate=1000.0)
    idle = expected(record, 0, now=100.0)
    each = ask(record, 100.0, size=0)
    assert [expected(record, 0, now=now) for now in (100.0, 100.5, 101.0, 120.0)] == [idle, idle, 1.0, 20.0]
    each.arrived(1, 120.0)
    assert record.line.silent(120.0) == 0
    each.missing(140.0)
    assert expected(record, 0, now=150.0) == expected(record, 0, now=900.0)  # it owes nothing


@given(about=KNOWN, size=COUNTS, queued=COUNTS)
def test_it_is_a_finite_number_whatever_is_known(known, expected, about, size, queued):
    """Whatever a peer has done, the expected time is finite and not negative."""
    seconds = expected(known(**about), size, now=1e4, queued=queued)
    assert math.isfinite(seconds)
    assert seconds >= 0


@given(
    about=KNOWN,
    size=COUNTS,
    queued=COUNTS,
    what=st.sampled_from(["in_flight_bytes", "size", "queued", "success", "latency", "rate", "silence"]),
    more=st.floats(0, 1e9),
)
def test_more_to_do_or_more_trouble_is_never_sooner(known, expected, about, size, queued, what, more):
    """More in flight, more bytes, more latency or silence, less rate or success: each makes it later, or no sooner."""
    before = expected(known(**about), size, now=1e4, queued=queued)
    if what == "size":
        size += int(more)
    elif what == "queued":
        queued += int(more)
    elif what == "in_flight_bytes":
        about = about | {what: about[what] + int(more)}
    elif what == "silence":
        about = about | {"spoke": about["spoke"] - more}
    elif what == "latency":
        about = about | {what: (MIDDLE.latency if about[what] is None else about[what]) + more}
    elif what == "rate":
        about = about | {what: (MIDDLE.rate if about[what] is None else about[what]) / (1 + more)}
    else:
        about = about | {what: about[what] / (1 + more)}
    assert expected(known(**about), size, now=1e4, queued=queued) >= before * (1 - 1e-12)

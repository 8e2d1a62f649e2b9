"""The window: how many requests at a time keep a line busy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.fetch.window import HEADROOM, LEAST, UNKNOWN, open_up, window


def test_little_is_asked_while_it_is_not_known_how_fast_a_peer_sends(good):
    assert window(good(rate=None), 1000) == UNKNOWN


def test_as_much_as_it_takes_gladly_where_the_line_may_be_of_any_length(good):
    peer = good(nearest=None)
    assert window(peer, 1000) == peer.peer.most


@pytest.mark.parametrize(("size", "requests"), [(1000, 5), (1001, 5), (999, 6), (800, 6), (1e9, LEAST), (1, 8), (0, 8)])
def test_twice_what_the_line_holds_and_one_that_is_being_asked_for(good, size, requests):
    """This line holds 2000 bytes; and the peer takes 8 requests gladly."""
    assert window(good(nearest=0.1, rate=20_000.0), size) == requests


@given(nearest=st.floats(0, 2), rate=st.floats(1, 1e9), size=st.floats(0, 2**21))
def test_there_is_always_enough_on_its_way_to_keep_the_line_busy(good, nearest, rate, size):
    """Within what the peer takes gladly; and never less than a few."""
    record = good(nearest=nearest, rate=rate)
    most = record.peer.most
    assert LEAST <= window(record, size) <= most
    assert (
        window(record, size) == most or (window(record, size) - 1) * max(size, 1) >= HEADROOM * nearest * rate * 0.999
    )


def test_what_a_good_peer_has_earned_opens_at_once_and_never_closes(good):
    peer = good(nearest=0.1, rate=20_000.0, window=2)
    open_up(peer, 800)
    assert peer.window == 6
    open_up(peer, 1e9)
    assert peer.window == 6


@pytest.mark.parametrize("of", [{"failures": 1}, {"success": 0.9}, {"rate": None}])
def test_but_not_that_of_one_that_failed_lately_or_of_whom_little_is_known(good, of):
    peer = good(**{"nearest": 0.1, "rate": 20_000.0, "window": 2} | of)
    open_up(peer, 800)
    assert peer.window == 2

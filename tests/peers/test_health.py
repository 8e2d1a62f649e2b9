"""Health is a table: every legal move is in it, every other one is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import SessionctxError
from sessionctx.peers import AFTER, Health
from sessionctx.peers.health import FIRST_REST, LONGEST_REST, after, rest

HAPPENINGS = ("answered", "failed", "rested", "lied")
LEGAL = {  # as the design says it, not as the code does
    "fresh": {"answered": "good", "failed": "resting", "lied": "banned"},
    "good": {"answered": "good", "failed": "resting", "lied": "banned"},
    "resting": {"answered": "resting", "failed": "resting", "rested": "fresh", "lied": "banned"},
    "banned": {"answered": "banned", "failed": "banned", "lied": "banned"},
}


@pytest.mark.parametrize("happened", HAPPENINGS)
@pytest.mark.parametrize("health", Health)
def test_each_move_is_the_one_in_the_table_or_an_error_that_names_it(health, happened):
    to = LEGAL[health.value].get(happened)
    if to is not None:
        assert after(health, happened) is Health(to)
        return
    with pytest.raises(SessionctxError, match=rf"{health.value}.*{happened}"):
        after(health, happened)


def test_the_table_is_data_and_holds_the_legal_moves_only():
    drawn = {(health.value, happened): to.value for (health, happened), to in AFTER.items()}
    assert drawn == {(health, happened): to for health, moves in LEGAL.items() for happened, to in moves.items()}


def test_every_state_can_be_reached_and_only_a_ban_is_for_ever():
    def reachable(start):
        seen, new = {start}, {start}
        while new:
            new = {to for (health, _), to in AFTER.items() if health in new} - seen
            seen |= new
        return seen

    assert reachable(Health.FRESH) == set(Health)
    assert reachable(Health.BANNED) == {Health.BANNED}
    for health in (Health.GOOD, Health.RESTING):
        assert Health.FRESH in reachable(health)


def test_rests_double_from_a_quarter_of_a_second_to_a_minute():
    assert [rest(n) for n in range(1, 10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60]


@given(
    failures=st.integers(0, 10**9),
    asked_for=st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
)
def test_a_rest_is_bounded_below_by_what_the_peer_asked_for_and_is_never_negative(failures, asked_for):
    """Whatever a peer sends as Retry-After, its rest is a sane number of seconds, and no shorter than it asked for."""
    seconds = rest(failures, asked_for)
    assert seconds > 0
    if asked_for is not None and asked_for > LONGEST_REST:
        assert seconds == asked_for
    else:
        assert FIRST_REST / 2 <= seconds <= LONGEST_REST
        assert asked_for is None or not asked_for > seconds

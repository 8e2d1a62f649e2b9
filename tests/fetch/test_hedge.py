"""Hedging: what is late, and how many requests it may cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionctx.fetch.hedge import HedgeBudget, late_after


def test_a_request_is_late_after_what_is_usual_for_its_peer():
    assert late_after(2.0, 1.5) == 3.0
    assert late_after(2.0, 4.0) == 8.0


def test_jitter_is_never_late():
    assert late_after(0.0, 1.5) == late_after(0.001, 1.5) == 0.05


@given(steps=st.lists(st.sampled_from(["request", "chance", "won"]), max_size=400))
def test_hedges_are_a_small_share_of_the_requests(steps):
    """However requests and chances to hedge alternate: eight, one in twenty requests, and half of those that won."""
    budget = HedgeBudget()
    requests = hedges = won = 0
    for step in steps:
        if step == "request":
            budget.earn()
            requests += 1
        elif step == "won" and won < hedges:
            budget.won()
            won += 1
        elif budget.allows():
            budget.spend()
            hedges += 1
        assert hedges <= 8 + 0.05 * requests + 0.5 * won + 1e-9
        assert hedges <= 2 * (8 + 0.05 * requests) + 1e-9
        assert 0 <= budget.tokens <= budget.most


def test_a_long_calm_saves_up_no_storm():
    budget = HedgeBudget()
    for _ in range(100_000):
        budget.earn()
    hedges = 0
    while budget.allows():
        budget.spend()
        hedges += 1
    assert hedges == budget.most


def test_nor_do_hedges_that_won():
    budget = HedgeBudget()
    for _ in range(100):
        budget.spend()
        budget.earn()
        budget.won()
        for _ in range(40):
            budget.earn()
        budget.won()
    assert budget.tokens == budget.most

"""Choice among peers, against the dullest models: min() and a filter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionctx.peers import Health, Typical, explorable, outlook, soonest

MIDDLE = Typical()
PEERS = st.lists(
    st.fixed_dictionaries(
        {
            "latency": st.sampled_from([None, 0.0, 0.1, 1.0]),
            "rate": st.sampled_from([None, 1e3, 1e6]),
            "success": st.sampled_from([1.0, 0.5, 0.01]),
            "in_flight_bytes": st.sampled_from([0, 1000, 10**6]),
        }
    ),
    max_size=5,
)


@given(
    pool=PEERS,
    size=st.sampled_from([0, 1000, 10**6]),
    queues=st.lists(st.sampled_from([0.0, 1e4, 1e7]), min_size=5, max_size=5),
    barred=st.sets(st.integers(0, 4), max_size=3),
)
def test_the_soonest_is_the_first_minimum_over_all_that_may_be_asked(known, pool, size, queues, barred):
    """Of all peers that may be asked, the chosen one has the least expected time; among equals the first."""
    outlooks = [outlook(known(n, **about), MIDDLE, 0.0) for n, about in enumerate(pool)]
    for each, queued in zip(outlooks, queues, strict=False):
        each.queue(queued)
    allowed = [each for n, each in enumerate(outlooks) if n not in barred]
    chosen = soonest(outlooks, size, lambda record: any(record is each.record for each in allowed))
    assert chosen is (min(allowed, key=lambda each: each.expected(size)) if allowed else None)


STATES = st.lists(
    st.fixed_dictionaries(
        {
            "health": st.sampled_from(Health),
            "rest_until": st.integers(0, 3),
            "try_at": st.integers(0, 3),
            "in_flight": st.sampled_from([0, 0, 0, 1]),
            "failures": st.integers(0, 2),
            "trials": st.integers(0, 2),
        }
    ),
    max_size=6,
)


@given(states=STATES, now=st.integers(0, 3))
def test_one_unknown_peer_is_explored_at_a_time(known, states, now):
    """Of the unknown peers, the one that was tried least is worth a try; none is while one is being tried.

    A peer whose rest is over counts as unknown; one that has lost a trial has to wait.
    """
    records = [known(n, **state) for n, state in enumerate(states)]
    fresh = [
        (record, state)
        for record, state in zip(records, states, strict=True)
        if state["health"] is Health.FRESH or (state["health"] is Health.RESTING and state["rest_until"] <= now)
    ]
    worth = [(state["failures"] + state["trials"], n) for n, (_, state) in enumerate(fresh) if state["try_at"] <= now]
    chosen = explorable(records, now)
    if not worth or any(state["in_flight"] for _, state in fresh):
        assert chosen is None
    else:
        assert chosen is fresh[min(worth)[1]][0]

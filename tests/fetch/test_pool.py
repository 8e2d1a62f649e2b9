"""The pool, against the dullest model: sort everything anew, each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionctx.fetch import Pool
from sessionctx.peers import Health, Ledger, Peer


def record_of(n, **about):
    record = Ledger().add(Peer(f"fake://{n}", f"fake://{n}"))
    for name, value in about.items():
        setattr(record, name, value)
    return record


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
def test_one_unknown_peer_is_explored_at_a_time(states, now):
    """Of the unknown peers, the one that was tried least is worth a try; none is while one is being tried.

    A peer whose rest is over counts as unknown; one that has lost a trial has to wait.
    """
    records = [record_of(n, **state) for n, state in enumerate(states)]
    fresh = [
        (record, state)
        for record, state in zip(records, states, strict=True)
        if state["health"] is Health.FRESH or (state["health"] is Health.RESTING and state["rest_until"] <= now)
    ]
    worth = [(state["failures"] + state["trials"], n) for n, (_, state) in enumerate(fresh) if state["try_at"] <= now]
    pool = Pool(records)
    pool.update(now)
    chosen = pool.explorable()
    if not worth or any(state["in_flight"] for _, state in fresh):
        assert chosen is None
    else:
        assert chosen.record is fresh[min(worth)[1]][0]

"""The pool, against the dullest model: sort everything anew, each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionctx.fetch.pool import Pool
from sessionctx.peers import Ask, Health, Ledger, Peer


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


PEERS = 4
EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["ask", "found", "missing", "fail", "drop", "lie", "bytes"]), st.integers(0, PEERS - 1)
        ),
        st.tuples(st.just("wait"), st.sampled_from([0.05, 0.5, 3.0])),
        st.tuples(st.just("look")),
    ),
    max_size=40,
)


def happen(event, record, asks, now):
    """Let one thing happen to a peer, as the shell tells it to the ledger."""
    if event == "ask":
        if record.room(now):
            asks.append(Ask(record, "x", 1000, now, predicted=0.1, late_at=now + 0.2))
        return
    ask = next((ask for ask in asks if ask.record is record), None)
    if ask is None:
        return
    if event == "bytes":
        ask.arrived(500, now)
        return
    asks.remove(ask)
    {
        "found": lambda: ask.found(now),
        "missing": lambda: ask.missing(now),
        "fail": lambda: ask.failed("failed", now),
        "drop": lambda: ask.dropped(now),
        "lie": lambda: ask.lied("lied"),
    }[event]()


@given(
    events=EVENTS,
    endpoints=st.lists(st.sampled_from("ab"), min_size=PEERS, max_size=PEERS),
    most=st.sampled_from([None, 1]),
)
def test_rows_are_as_if_sorted_anew(events, endpoints, most):
    """Whatever happens to peers, some of them behind one endpoint: each is in the row in which a new pool would put it,
    with as much room, and a row is in the order in which its peers were expected when they were placed."""
    ledger, asks, now = Ledger(), [], 0.0
    peers = [ledger.add(Peer(f"fake://{n}", f"fake://{n}", 8, end)) for n, end in enumerate(endpoints)]
    pool = pool_of(peers, most)
    for event in [*events, ("look",)]:
        if event[0] == "wait":
            now += event[1]
        elif event[0] == "look":
            pool.update(now)
            anew = pool_of(peers, most)
            anew.update(now)
            assert rows(pool) == rows(anew)
            assert pool.known == anew.known
            assert set(pool.resting()) == set(anew.resting())
            assert set(pool.awake()) == set(anew.awake())
            assert getattr(pool.explorable(), "record", None) is getattr(anew.explorable(), "record", None)
            for row in (pool.ready, pool.unknown, pool.busy, pool.doubtful):
                assert row == sorted(row)
            anew.close()
        else:
            happen(event[0], peers[event[1]], asks, now)
    pool.close()
    assert not any(record.line.watchers for record in peers)


def pool_of(records, most):
    pool = Pool(size=1000)
    pool.most = most
    for record in records:
        pool.add(record)
    return pool


def rows(pool):
    named = {"ready": pool.ready, "unknown": pool.unknown, "busy": pool.busy, "doubtful": pool.doubtful}
    return {name: {(each.record.peer.address, each.room) for _, _, each in row} for name, row in named.items()}

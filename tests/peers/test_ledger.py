"""The ledger: what is asked is accounted, in it and in those above; forks know what was known, and fold back."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.peers import LEDGER, Health, Ledger, Peer, Record, statistics
from sessionctx.peers.record import COUNTS

# --- accounts: a tree of ledgers, against a list of what was asked


PARENTS = (None, 0, 0, 1)  # a root, two forks of it, and a fork of the first
ENDINGS = ("found", "missing", "failed", "lied", "dropped")
STEPS = st.lists(
    st.tuples(st.sampled_from(["send", "send", "arrived", *ENDINGS]), st.integers(0, 7), st.integers(0, 3)), max_size=50
)


@given(steps=STEPS)
def test_every_request_is_accounted_here_and_above(steps, peer, ask):
    """However requests come and end, in whatever fork, each record's counts add up to what was asked below it."""
    ledgers = [Ledger()]
    for parent in PARENTS[1:]:
        ledgers.append(ledgers[parent].child())
    diary = []  # (branch, peer number, ask, [bytes], [ending])
    for now, (what, n, branch) in enumerate(steps):
        flying = [entry for entry in diary if not entry[4]]
        if what == "send":
            record = ledgers[branch].add(peer(n % 2))
            diary.append((branch, n % 2, ask(record, now, name=n, size=10 * n), [], []))
        elif flying:
            entry = flying[n % len(flying)]
            if what == "arrived":
                entry[2].arrived(n, now)
                entry[3].append(n)
            else:
                arguments = {"failed": ("no", now), "lied": ("lied",)}.get(what, (now,))
                getattr(entry[2], what)(*arguments)
                entry[4].append(what)
    for branch, ledger in enumerate(ledgers):
        for record in ledger.records():
            theirs = [entry for entry in diary if peer(entry[1]) == record.peer]
            check(record, [entry for entry in theirs if below(entry[0], branch)])
            flying = [entry[2].size for entry in theirs if not entry[4]]
            assert (record.line.in_flight, record.line.in_flight_bytes) == (len(flying), sum(flying))


def below(branch, above):
    while branch is not None:
        if branch == above:
            return True
        branch = PARENTS[branch]
    return False


def check(record, entries):
    counted = record.statistics()
    flying = [entry for entry in entries if not entry[4]]
    assert counted.asked == len(entries)
    assert counted.in_flight == len(flying)
    assert counted.bytes == sum(sum(entry[3]) for entry in entries)
    for ending in ENDINGS:
        name = "cancelled" if ending == "dropped" else ending
        assert getattr(counted, name) == sum(entry[4] == [ending] for entry in entries)
    ended = counted.found + counted.missing + counted.failed + counted.lied + counted.cancelled
    assert counted.asked == ended + counted.in_flight


# --- one ledger


def test_a_peer_has_one_record(peer):
    ledger = Ledger()
    records = [ledger.add(peer(n)) for n in (2, 1, 2, 3, 1)]
    assert records[0] is records[2]
    assert [record.peer for record in ledger.records()] == [peer(2), peer(1), peer(3)]


def test_statistics_are_frozen_and_show_no_credentials(peer, ask):
    ledger = Ledger()
    flying = ask(ledger.add(peer(0)), size=10)
    before = ledger.statistics()
    flying.arrived(10, 1.0)
    flying.lied("it lied")
    (was,), (now,) = before, ledger.statistics()
    assert (was.asked, was.in_flight, was.lied, was.bytes, was.state, was.reason) == (1, 1, 0, 0, "fresh", None)
    assert (now.asked, now.in_flight, now.lied, now.bytes, now.state, now.reason) == (1, 0, 1, 10, "banned", "it lied")
    assert now.url == "https://peer0.example"
    shown = repr(ledger) + repr(ledger.records()) + repr(ledger.statistics()) + repr(flying)
    assert "secret" not in shown


# --- forks


def test_what_the_parent_knew_is_known(peer, ask):
    parent = Ledger()
    quick, busy, liar, unknown = (parent.add(peer(n)) for n in range(4))
    for _ in range(3):
        each = ask(quick, 0.0, name="a")
        each.arrived(100, 0.1)
        each.arrived(100, 0.2)
        each.found(0.2)
    ask(quick, name="b").missing(0.1)
    ask(busy).failed("busy", 0.0, asked_for=9.0)
    ask(liar).lied("it lied")
    child = parent.child()
    for record in (quick, busy, liar, unknown):
        mine = child.add(record.peer)
        assert mine is not record
        for what in (
            "health",
            "reason",
            "rest_until",
            "failures",
            "latency",
            "rate",
            "success",
            "hits",
            "window",
            "usual",
        ):
            assert getattr(mine, what) == getattr(record, what)
        assert mine.room(1.0) == record.room(1.0)
        assert mine.statistics().asked == 0  # what the parent asked is not the child's account
    assert child.add(peer(0)).lacks("b")
    assert not child.add(peer(1)).lacks("b")


def test_a_fork_begins_with_all_that_is_known_but_with_no_counts(peer):
    ledger = Ledger()
    above = ledger.add(peer(0))
    names = {field.name for field in attrs.fields(Record)}
    names -= {*COUNTS, "peer", "above", "line", "neighbours", "absent", "lineage"}
    told = {name: n + 0.5 for n, name in enumerate(sorted(names - {"health", "reason", "cars"}))}
    told |= {"health": Health.RESTING, "reason": "it failed", "cars": False}
    for name, value in told.items():
        setattr(above, name, value)
    above.asked = above.bytes = 7
    mine = ledger.child().add(peer(0))
    assert {name: getattr(mine, name) for name in names} == told
    assert {getattr(mine, name) for name in COUNTS} == {0}


def test_a_no_and_a_ban_above_hold_below_at_once(peer, ask):
    parent = Ledger()
    grandchild = parent.child().child()
    mine = grandchild.add(peer(0))
    above = parent.add(peer(0))
    ask(above, name="a").missing(0.0)
    assert mine.lacks("a")
    ask(above).lied("it lied")
    assert mine.wake(0.0) is Health.BANNED
    assert mine.room(0.0) == 0
    assert mine.reason == "it lied"


def test_what_the_child_learns_stays_in_the_child_until_it_folds(peer, ask):
    parent = Ledger()
    child = parent.child()
    mine, above = child.add(peer(0)), parent.add(peer(0))
    ask(mine, name="a").missing(1.0)
    ask(mine).failed("no", 1.0)
    ask(child.add(peer(1))).lied("it lied")
    assert (above.health, above.latency, above.success, above.lacks("a")) == (Health.FRESH, None, 1.0, False)
    assert parent.add(peer(1)).health is Health.FRESH


def test_estimates_fold_back_at_half_weight(peer, ask):
    parent = Ledger()
    above = parent.add(peer(0))
    learn(above, ask, latency=1.0, rate=1000.0)
    child = parent.child()
    mine = child.add(peer(0))
    mine.latency, mine.rate, mine.success = None, None, 0.5
    learn(mine, ask, latency=2.0, rate=3000.0)
    assert (mine.latency, mine.rate) == (2.0, 3000.0)
    child.fold()
    assert (above.latency, above.rate) == (1.5, 2000.0)
    assert mine.success < above.success < 1.0


def test_estimates_fold_and_nothing_else_does(peer, ask):
    """What a fork has found out of its own affairs, such as its window and its rests, is none of its parent's."""
    parent = Ledger()
    child = parent.child()
    above, mine = parent.add(peer(0)), child.add(peer(0))
    ask(mine).dropped(0.0)
    folded = ("latency", "median", "nearest", "rate", "success", "hits")
    kept = ("failures", "rest_until", "trials", "try_at", "window", "usual")
    for record, value in ((above, 2.0), (mine, 4.0)):
        for name in (*folded, *kept):
            setattr(record, name, value)
    above.cars, mine.cars = True, False
    child.fold()
    assert [getattr(above, name) for name in folded] == [3.0] * len(folded)
    assert [getattr(above, name) for name in kept] == [2.0] * len(kept)
    assert above.cars is False
    mine.cars = None
    child.fold()
    assert above.cars is False


def test_where_the_parent_knew_nothing_the_child_teaches_it_all(peer, ask):
    parent = Ledger()
    child = parent.child()
    learn(child.add(peer(0)), ask, latency=2.0, rate=3000.0)
    child.fold()
    above = parent.add(peer(0))
    assert (above.latency, above.rate, above.health) == (2.0, 3000.0, Health.GOOD)


def test_a_child_that_asked_nothing_teaches_nothing(peer, ask):
    parent = Ledger()
    above = parent.add(peer(0))
    learn(above, ask, latency=1.0, rate=1000.0)
    child = parent.child()
    child.add(peer(0))
    learn(above, ask, latency=3.0, rate=1000.0)
    child.fold()
    assert above.latency == 3.0


def test_a_rest_of_the_child_is_not_one_of_the_parent(peer, ask):
    parent = Ledger()
    child = parent.child()
    above = parent.add(peer(0))
    ask(child.add(peer(0))).failed("no", 0.0)
    child.fold()
    assert above.health is Health.FRESH
    assert above.success < 1.0


def test_a_ban_and_a_no_fold_in_full_through_a_fork_of_a_fork(peer, ask):
    root = Ledger()
    child = root.child()
    grandchild = child.child()
    ask(grandchild.add(peer(0))).lied("it lied")
    ask(grandchild.add(peer(1)), name="a").missing(0.0)
    learn(grandchild.add(peer(2)), ask, latency=2.0, rate=3000.0)
    grandchild.fold()
    assert child.add(peer(0)).health is Health.BANNED
    assert root.add(peer(0)).health is Health.FRESH
    child.fold()
    banned = root.add(peer(0))
    assert (banned.health, banned.reason, banned.lied) == (Health.BANNED, "it lied", 1)
    assert root.add(peer(1)).lacks("a")
    assert (root.add(peer(2)).latency, root.add(peer(2)).health) == (2.0, Health.GOOD)


def test_the_load_of_a_peer_is_that_of_all_forks_together(peer, ask):
    """What one fork has in flight at a peer takes room, and time, from the others."""
    parent = Ledger()
    one, other = parent.child().add(peer(0, most=4)), parent.child().add(peer(0, most=4))
    for _ in range(4):
        ask(one).found(0.0)
        ask(other).found(0.0)
    assert other.room(0.0) == 4
    for _ in range(3):
        ask(one, size=100)
    assert other.room(0.0) == 1
    assert other.line.silent(7.0) == 7.0
    assert other.line.in_flight_bytes == 300


def test_each_fork_may_try_an_unknown_peer_for_itself_within_what_that_takes(peer, ask):
    parent = Ledger()
    forks = [parent.child().add(peer(0, most=2)) for _ in range(3)]
    assert [fork.room(0.0) for fork in forks] == [1, 1, 1]
    ask(forks[0])
    assert [fork.room(0.0) for fork in forks] == [0, 1, 1]
    ask(forks[1])
    assert [fork.room(0.0) for fork in forks] == [0, 0, 0]


def learn(record, ask, *, latency, rate):
    each = ask(record, 0.0)
    each.arrived(10, latency)
    each.arrived(int(rate), latency + 1)
    each.found(latency + 1)


# --- on a session


async def test_the_ledger_hangs_on_the_session_and_folds_when_a_fork_ends(peer, ask):
    with session.begin() as s:
        parent = LEDGER.of(s)
        with session.fork() as forked:
            child = LEDGER.of(forked)
            assert child.parent is parent
            ask(child.add(peer(0))).lied("it lied")
        assert parent.add(peer(0)).health is Health.BANNED


async def test_statistics_are_readable_before_anything_and_after_the_end(peer, ask):
    with session.begin() as unused:
        pass
    assert statistics(unused) == ()
    with session.begin() as s:
        assert statistics(s) == ()
        ask(LEDGER.of(s).add(peer(0))).missing(0.0)
    (of_it,) = statistics(s)
    assert (of_it.missing, of_it.state) == (1, "good")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_fork_of_a_fork_knows_as_much(number, peer, ask):
    ledger = Ledger()
    learn(ledger.add(peer(0)), ask, latency=2.0, rate=3000.0)
    for _ in range(number):
        ledger = ledger.child()
    assert ledger.add(peer(0)).latency == 2.0
    assert len(ledger.add(peer(0)).lineage) == number + 1


def test_peers_at_one_endpoint_share_its_budget_and_its_rests(ask):
    """Two paths on one host: what one has in flight takes room from the other, and both rest when one fails."""
    ledger = Ledger()
    one, other = (ledger.add(Peer(f"https://a/{n}", f"https://a/{n}", 4, "https://a:443")) for n in range(2))
    elsewhere = ledger.add(Peer("https://b", "https://b", 4, "https://b:443"))
    for record in (one, other, elsewhere):
        for _ in range(4):
            ask(record).found(0.0)
    assert other.room(0.0) == 4
    flying = [ask(one) for _ in range(3)]
    assert (other.room(0.0), elsewhere.room(0.0)) == (1, 4)
    flying[0].failed("busy", 1.0, asked_for=5.0)
    assert [record.room(2.0) for record in (one, other)] == [0, 0]
    assert elsewhere.room(2.0) == 4
    assert other.reason == "busy"


def test_the_wait_for_our_own_connections_is_not_the_peers_latency(peer, ask):
    each = ask(Ledger().add(peer(0)), 0.0)
    each.sent(5.0)
    each.arrived(10, 5.5)
    assert each.record.latency == 0.5
    each.sent(6.0)  # says nothing any more
    each.found(6.0)
    assert each.record.latency == 0.5

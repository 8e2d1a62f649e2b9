"""Laws 4 and 12: budgets of a session as a whole, and how forks share them."""

from __future__ import annotations

import math

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.errors import LimitReached, SessionEnded
from sessionctx.session import Limits, events
from sessionctx.session.limits import BUDGETS

# --- the limits themselves


def test_none_means_no_limit():
    assert Limits() == Limits(seconds=None, bytes=None, requests=None, in_flight=None)


@pytest.mark.parametrize(
    "bad", [{"seconds": -1}, {"seconds": math.nan}, {"bytes": -1}, {"requests": -1}, {"in_flight": 0}]
)
def test_a_limit_that_is_none_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Limits(**bad)


@pytest.mark.parametrize("limit", [field.name for field in attrs.fields(Limits)])
@pytest.mark.parametrize("bad", ["10MiB", [3], {}])
def test_what_is_no_number_is_refused_by_name(limit, bad):
    with pytest.raises(TypeError, match=rf"Limits\({limit}=.*number"):
        Limits(**{limit: bad})


def test_limits_are_values():
    assert Limits(bytes=3) == Limits(bytes=3)
    assert len({Limits(bytes=3), Limits(bytes=3)}) == 1
    with pytest.raises(AttributeError):
        Limits().bytes = 3


# --- requests and bytes


@pytest.mark.parametrize("number", [0, 1, 3])
def test_the_request_after_the_last_one_is_refused(number):
    with session.begin(limits=Limits(requests=number), name="mine") as s:
        for _ in range(number):
            s.account.request_begins()
            s.account.request_ends()
        with pytest.raises(LimitReached, match="mine") as caught:
            s.account.request_begins()
        assert caught.value.limit == "requests"
        assert s.statistics().requests == number, "a refused request is not counted"
        assert s.statistics().in_flight == 0
        assert not s.ended


def test_bytes_are_checked_before_each_request():
    with session.begin(limits=Limits(bytes=10)) as s:
        s.account.request_begins()
        s.account.received(9)
        s.account.request_begins()
        s.account.received(100)
        with pytest.raises(LimitReached) as caught:
            s.account.request_begins()
        assert caught.value.limit == "bytes"
        assert s.statistics().bytes == 109, "what was in flight is counted though it exceeds them"


def test_room_is_what_in_flight_leaves():
    with session.begin() as s:
        assert s.account.room() == math.inf
    with session.begin(limits=Limits(in_flight=2)) as s:
        assert s.account.room() == 2
        s.account.request_begins()
        with session.fork(limits=Limits(in_flight=3)) as child:
            assert child.account.room() == 1, "the least of both"
            child.account.request_begins()
            assert s.account.room() == 0
            child.account.request_ends()
        s.account.request_ends()
        assert s.account.room() == 2


# --- forks


AMOUNTS = st.one_of(st.none(), st.integers(0, 6))


def least(*limits):
    given = [limit for limit in limits if limit is not None]
    return min(given) if given else None


@given(
    own=AMOUNTS,
    parents=AMOUNTS,
    used=st.integers(0, 8),
    own_bytes=AMOUNTS,
    parents_bytes=AMOUNTS,
    got=st.integers(0, 8),
)
def test_a_forks_limits_are_the_least_of_its_own_and_its_parents_remainder(
    own, parents, used, own_bytes, parents_bytes, got
):
    """However much the parent has used, its fork never gets more than what is left."""
    with session.begin(limits=Limits(requests=parents, bytes=parents_bytes)) as parent:
        parent.account.received(got)  # which may be more than it was to have
        spent = 0
        for _ in range(used):
            try:
                parent.account.request_begins()
            except LimitReached:
                break
            spent += 1
        with session.fork(limits=Limits(requests=own, bytes=own_bytes)) as child:
            left = None if parents is None else parents - spent
            left_bytes = None if parents_bytes is None else max(parents_bytes - got, 0)
            assert child.limits == Limits(requests=least(own, left), bytes=least(own_bytes, left_bytes))


LIMITS = st.fixed_dictionaries({field.name: st.one_of(st.none(), st.integers(1, 9)) for field in attrs.fields(Limits)})


@given(LIMITS, LIMITS)
def test_no_limit_of_a_parent_is_lost_in_its_fork(parents, own):
    """Whichever limits there are, and however many: while nothing is used, a fork has the least of each."""
    with session.begin(limits=Limits(**parents)), session.fork(limits=Limits(**own)) as child:
        assert attrs.asdict(child.limits) == {name: least(own[name], parents[name]) for name in own}
        with session.fork() as grandchild:
            assert grandchild.limits == child.limits


@pytest.mark.parametrize(("budget", "count"), BUDGETS.items())
def test_every_budget_that_is_counted_holds_here_and_below(budget, count):
    with session.begin(limits=Limits(**{budget: 5})) as s, session.fork() as child, session.fork() as grandchild:
        setattr(s.account, count, 3)
        with session.use(s), session.fork() as late:
            assert getattr(late.limits, budget) == 2
        setattr(s.account, count, 5)
        for each in (s, child, grandchild):
            assert each.account.spent().limit == budget
            assert each.account.spent(budget)
            assert not each.account.spent("something else")
            with pytest.raises(LimitReached, match=f"{s.name} has used up its limit of 5 {budget}"):
                each.account.request_begins()


@st.composite
def trees(draw):
    """Parents (by index, the root first) and limits of a tree of sessions."""
    parents = [None] + [draw(st.integers(0, i - 1)) for i in range(1, draw(st.integers(1, 5)))]
    limits = [(draw(AMOUNTS), draw(AMOUNTS)) for _ in parents]
    return parents, limits


@given(trees(), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), max_size=30))
def test_usage_counts_against_a_session_and_all_above_it(tree, asks):
    """Random requests all over a tree: each is granted iff nobody on the way up has spent a budget; all counts agree."""
    parents, limits = tree
    scopes, sessions = [], []
    for parent, (requests, size) in zip(parents, limits, strict=True):
        wanted = Limits(requests=requests, bytes=size)
        used = session.leave() if parent is None else session.use(sessions[parent])
        scope = session.begin(limits=wanted) if parent is None else session.fork(limits=wanted)
        used.__enter__()
        sessions.append(scope.__enter__())
        scopes += [used, scope]
    counts = [dict.fromkeys(("requests", "in_flight", "bytes", "duplicate_bytes"), 0) for _ in parents]

    def up(i):
        while i is not None:
            yield i
            i = parents[i]

    def is_spent(i):
        requests, size = sessions[i].limits.requests, sessions[i].limits.bytes
        return (requests is not None and counts[i]["requests"] >= requests) or (
            size is not None and counts[i]["bytes"] >= size
        )

    for who, size, useful in asks:
        i = who % len(sessions)
        account = sessions[i].account
        if any(is_spent(j) for j in up(i)):
            with pytest.raises(LimitReached) as caught:
                account.request_begins()
            assert caught.value.limit in ("requests", "bytes")
            continue
        account.request_begins()
        assert all(sessions[j].statistics().in_flight == 1 for j in up(i))
        account.received(size)
        account.request_ends(wasted=0 if useful else size)
        for j in up(i):
            counts[j]["requests"] += 1
            counts[j]["bytes"] += size
            counts[j]["duplicate_bytes"] += 0 if useful else size
    for s, expected in zip(sessions, counts, strict=True):
        stats = s.statistics()
        assert {key: getattr(stats, key) for key in expected} == expected
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)
    for s, expected in zip(sessions, counts, strict=True):
        assert s.statistics().bytes == expected["bytes"], "still readable after the end"


def test_a_fork_cannot_spend_what_its_sister_spent():
    with session.begin(limits=Limits(requests=2)) as parent, session.fork() as one, session.use(parent):
        with session.fork() as two:
            one.account.request_begins()
            one.account.request_begins()
            with pytest.raises(LimitReached):
                two.account.request_begins()
            assert two.statistics().requests == 0
            assert parent.statistics().requests == 2


# --- time


async def test_a_want_ends_when_the_time_is_spent(autojump_clock):
    with session.begin(limits=Limits(seconds=5)) as s:
        start = trio.current_time()
        await trio.sleep(2)
        with pytest.raises(LimitReached, match="5 seconds") as caught, s.want("x"):
            await trio.sleep(10)
        assert caught.value.limit == "seconds"
        assert trio.current_time() == start + 5, "counted from its beginning"
        assert not s.ended, "a spent budget does not end it"


async def test_spent_time_is_told(autojump_clock):
    told = []
    with session.begin(limits=Limits(seconds=5)) as s:
        s.subscribe(told.append)
        with pytest.raises(LimitReached), s.want("x"):
            await trio.sleep(10)
        now = trio.current_time()
    assert told[1:3] == [events.Settled(now, "x", "cancelled"), events.Spent(now, "seconds")]


async def test_after_the_time_is_spent_every_want_fails_at_its_first_checkpoint(autojump_clock):
    with session.begin(limits=Limits(seconds=5)) as s:
        await trio.sleep(6)
        with pytest.raises(LimitReached), s.want("x"):
            await trio.lowlevel.checkpoint()
            pytest.fail("passed the checkpoint")


async def test_no_time_at_all():
    with session.begin(limits=Limits(seconds=0)) as s:
        with pytest.raises(LimitReached), s.want("x"):
            await trio.lowlevel.checkpoint()


async def test_the_callers_own_timeout_stays_a_timeout(autojump_clock):
    with session.begin(limits=Limits(seconds=5)) as s:
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(2), s.want("x"):
                await trio.sleep(10)
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(3), s.want("x"):  # the same instant: the outer scope catches
                await trio.sleep(10)


async def test_the_wants_deadline_is_visible_to_the_planner(autojump_clock):
    with session.begin(limits=Limits(seconds=5)) as s:
        now = trio.current_time()
        with s.want("x"):
            assert trio.current_effective_deadline() == now + 5
        assert trio.current_effective_deadline() == math.inf


async def test_a_fork_has_the_least_of_its_time_and_what_its_parent_has_left(autojump_clock):
    with session.begin(limits=Limits(seconds=10)):
        start = trio.current_time()
        await trio.sleep(4)
        with session.fork(limits=Limits(seconds=3)) as short, pytest.raises(LimitReached), short.want("x"):
            await trio.sleep(100)
        assert trio.current_time() == start + 7
        with session.fork(limits=Limits(seconds=30)) as long:
            assert long.limits.seconds == 3
        with session.fork(limits=Limits(seconds=30)) as long, pytest.raises(LimitReached), long.want("x"):
            await trio.sleep(100)
        assert trio.current_time() == start + 10
        with session.fork() as none, pytest.raises(LimitReached), none.want("x"):
            await trio.lowlevel.checkpoint()


def test_begun_outside_a_run_the_time_counts_from_the_first_request(play):
    with session.begin(limits=Limits(seconds=5)) as s:

        async def main():
            await trio.sleep(20)
            start = trio.current_time()
            with s.want("first"):
                await trio.sleep(3)
            with pytest.raises(LimitReached), s.want("second"):
                await trio.sleep(3)
            return trio.current_time() - start

        assert play(main) == 5


def test_a_fork_begun_outside_a_run_has_no_more_time_than_its_parent(play):
    with session.begin(limits=Limits(seconds=10)) as parent, session.fork() as child:

        async def main():
            start = trio.current_time()
            with parent.want("first"):
                await trio.sleep(8)
            with pytest.raises(LimitReached), child.want("second"):
                await trio.sleep(8)
            return trio.current_time() - start

        assert play(main) == 10


def test_a_fork_made_in_a_worker_thread_has_no_more_time_than_its_parent(play):
    async def request():
        with session.current().want("x"):
            await trio.sleep(100)

    def work():
        with session.fork():
            trio.from_thread.run(request)

    async def main():
        with session.begin(limits=Limits(seconds=10)):
            start = trio.current_time()
            await trio.sleep(8)
            with pytest.raises(LimitReached):
                await trio.to_thread.run_sync(work)
            return trio.current_time() - start

    assert play(main) == 10


async def test_ended_beats_spent():
    with session.begin(limits=Limits(seconds=0, requests=0)) as s:
        pass
    with pytest.raises(SessionEnded), s.want("x"):
        pytest.fail("entered")

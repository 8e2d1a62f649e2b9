"""Law 14: one flight per name.

The property plays callers that arrive, lose patience and see their sessions end in whole ticks, so that all of it
collides. Friendlier times would find nothing.
"""

from __future__ import annotations

import math
from itertools import pairwise

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from sessionctx import session
from sessionctx.errors import BlockNotFound, LimitReached, PeerFailed, SessionEnded
from sessionctx.session import Limits, events, share
from sessionctx.session.flights import flights
from tests.profiles import examples

# --- the property


@attrs.frozen
class Caller:
    """Somebody who wants a name, at a tick, for so many ticks at most, under one of the sessions of a tree."""

    at: int
    patience: int | None
    name: str
    branch: int  # 0 the root, 1 and 2 its forks, 3 a fork of 1
    nested: bool  # asks from a nursery of its own, as a child of its caller
    again: bool  # asks once more, if it got nothing


@attrs.frozen
class Fetch:
    """How the n-th fetch of all goes."""

    cost: int
    clean_up: int  # ticks, shielded, if it is cancelled
    ends: str  # "value", or the error it raises


CALLERS = st.lists(
    st.builds(
        Caller,
        at=st.integers(0, 5),
        patience=st.one_of(st.none(), st.integers(0, 5)),
        name=st.sampled_from("aaab"),
        branch=st.sampled_from([0, 0, 0, 1, 1, 2, 3]),
        nested=st.booleans(),
        again=st.booleans(),
    ),
    min_size=1,
    max_size=10,
)
FETCHES = st.lists(
    st.builds(
        Fetch,
        cost=st.integers(0, 4),
        clean_up=st.sampled_from([0, 0, 1, 3]),
        ends=st.sampled_from(["value", "value", "value", "missing", "failed"]),
    ),
    min_size=1,
    max_size=5,
)
ENDS = st.tuples(*[st.one_of(st.none(), st.integers(0, 7)) for _ in range(4)])  # when each session ends, if ever
PARENTS = (None, 0, 0, 1)


@attrs.frozen
class Fate:
    """What came of a caller's wish."""

    caller: int
    at: float
    kind: str
    what: object
    tick: float


@attrs.define
class Fetched:
    """One fetch that ran: for whom, when, and what came of it."""

    caller: int
    name: str
    branch: int
    started: float
    ended: float = math.inf
    result: object = None


class Play:
    """A tree of sessions, its callers, and a diary."""

    def __init__(self, callers, fetches, ends):
        self.callers, self.fetches, self.ends = callers, fetches, ends
        self.log: list[Fetched] = []
        self.fates: list[Fate] = []
        self.events = []

    async def main(self):
        self.start = trio.current_time()
        with trio.fail_after(10_000):  # a caller who is forgotten would sleep until then
            with session.begin() as root:
                root.subscribe(self.events.append)
                self.table = flights(root)
                async with trio.open_nursery() as nursery:
                    self.sessions = [root]
                    for branch in (1, 2, 3):
                        with session.use(self.sessions[PARENTS[branch]]):
                            self.sessions.append(await nursery.start(self.fork))
                    for branch, tick in enumerate(self.ends):
                        if tick is not None:
                            nursery.start_soon(self.end, branch, tick)
                    async with trio.open_nursery() as crowd:
                        for i in range(1, len(self.callers)):
                            crowd.start_soon(self.call, i)
                        await self.call(0)  # the parent of the others is a caller like them
                    nursery.cancel_scope.cancel()
                self.statistics = root.statistics()
        return self

    async def fork(self, task_status):
        with session.fork() as s:
            task_status.started(s)
            await trio.sleep_forever()

    async def end(self, branch, tick):
        await trio.sleep(tick)
        self.sessions[branch].cancel(f"tick {tick}")

    def tick(self):
        return trio.current_time() - self.start

    async def call(self, i):
        one = self.callers[i]
        await trio.sleep(one.at)
        if one.nested:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.insist, i, one)
        else:
            await self.insist(i, one)

    async def insist(self, i, one):
        for _ in range(1 + one.again):
            at = self.tick()
            kind, what = await self.ask(i, one)
            self.fates.append(Fate(i, at, kind, what, self.tick()))
            if kind == "value":
                break

    async def ask(self, i, one):
        try:
            with trio.move_on_after(math.inf if one.patience is None else one.patience):
                return "value", await share(self.sessions[one.branch], one.name, lambda: self.fetch(i, one))
        except (BlockNotFound, PeerFailed) as error:
            return "error", error
        except SessionEnded as error:
            return "ended", error
        return "gave up", None

    async def fetch(self, i, one):
        plan = self.fetches[len(self.log) % len(self.fetches)]
        entry = Fetched(i, one.name, one.branch, self.tick())
        self.log.append(entry)
        try:
            await trio.sleep(plan.cost)
            if plan.ends == "missing":
                raise BlockNotFound(f"fetch {len(self.log)}", reasons={"peer": KeyError()})
            if plan.ends == "failed":
                raise PeerFailed(f"fetch {len(self.log)}", peer="http://a.example")
            entry.result = [len(self.log)]
            return entry.result
        except Exception as error:
            entry.result = error
            raise
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(plan.clean_up)
            raise
        finally:
            entry.ended = self.tick()

    # --- what must be so

    def session_end(self, branch):
        """The tick at which a session ends: its own, or an ancestor's."""
        ticks = []
        while branch is not None:
            ticks.append(math.inf if self.ends[branch] is None else self.ends[branch])
            branch = PARENTS[branch]
        return min(ticks)

    def check(self):
        self.check_never_two_at_a_time()
        errors = [fate.what for fate in self.fates if fate.kind == "error"]
        assert len({id(error) for error in errors}) == len(errors), "an error object of its own for each"
        assert {fate.caller for fate in self.fates} == set(range(len(self.callers)))
        for fate in self.fates:
            self.check_fate(self.callers[fate.caller], fate)
        assert len(self.table) == 0, "the table ends empty"
        self.check_account()

    def check_never_two_at_a_time(self):
        for name in "ab":
            ours = [fetched for fetched in self.log if fetched.name == name]
            for before, after in pairwise(ours):
                assert before.ended <= after.started, f"two fetches of {name} at a time: {before} and {after}"

    def check_fate(self, one, fate):
        kind, what, tick = fate.kind, fate.what, fate.tick
        patience_ends = math.inf if one.patience is None else fate.at + one.patience
        if kind == "value":
            (fetched,) = [fetched for fetched in self.log if fetched.result is what]
            assert fetched.name == one.name
            assert fate.at <= fetched.ended == tick
        elif kind == "error":
            assert any(
                fetched.name == one.name
                and fetched.branch == one.branch  # another session's peers say nothing about ours
                and fate.at <= fetched.ended == tick
                and type(fetched.result) is type(what)
                and fetched.result.args == what.args
                for fetched in self.log
            )
        elif kind == "ended":
            assert self.session_end(one.branch) <= tick
        else:
            assert kind == "gave up"
            assert patience_ends <= tick, "nobody leaves empty-handed unless its own patience ran out"
        leads = [fetched for fetched in self.log if fetched.caller == fate.caller]
        if kind in ("gave up", "ended") and not leads:  # a sleeper has nothing to clean up
            assert tick in (patience_ends, max(self.session_end(one.branch), fate.at))

    def check_account(self):
        stats = self.statistics
        wanted = sum(isinstance(event, events.Wanted) for event in self.events)
        settled = [event.outcome for event in self.events if isinstance(event, events.Settled)]
        assert stats.open == 0
        assert stats.wants == wanted == len(settled)
        for outcome in ("found", "missing", "failed", "cancelled"):
            assert getattr(stats, outcome) == settled.count(outcome)
        kinds = [fate.kind for fate in self.fates]
        assert stats.found >= kinds.count("value")
        errors = [type(fate.what) for fate in self.fates if fate.kind == "error"]
        assert stats.missing == errors.count(BlockNotFound)
        assert stats.failed == errors.count(PeerFailed)
        assert stats.joined == sum(isinstance(event, events.Joined) for event in self.events)


@examples(400)  # it has broken most drafts, so it gets more than its share
@given(CALLERS, FETCHES, ENDS)
def test_however_callers_come_and_go_a_name_is_in_flight_once_and_nobody_is_forgotten(callers, fetches, ends):
    """Never two fetches of one name at a time; value, error, own patience or own session's end; the table ends empty."""
    trio.run(Play(callers, fetches, ends).main, clock=MockClock(autojump_threshold=0)).check()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=12), st.integers(0, 4))
def test_undisturbed_callers_share_as_much_as_can_be_shared(arrivals, cost):
    """Nobody gives up and nothing fails: then who arrives during a fetch never causes one."""
    callers = [Caller(2 * at, None, "a", 0, nested=False, again=False) for at in arrivals]
    play = trio.run(
        Play(callers, [Fetch(2 * cost + 1, 0, "value")], (None,) * 4).main, clock=MockClock(autojump_threshold=0)
    )
    play.check()
    expected, busy_until = [], -1
    for at in sorted(arrivals):
        if 2 * at > busy_until:
            expected.append(2 * at)
            busy_until = 2 * at + 2 * cost + 1
    assert [fetched.started for fetched in play.log] == expected


# --- by hand


class Counter:
    """A fetch that counts how many of it run at a time."""

    def __init__(self, ticks=3):
        self.ticks, self.now, self.worst, self.calls = ticks, 0, 0, 0

    async def __call__(self):
        self.calls += 1
        self.now += 1
        self.worst = max(self.worst, self.now)
        try:
            await trio.sleep(self.ticks)
            return [self.calls]
        finally:
            self.now -= 1


async def test_a_lone_caller_gets_what_it_fetches():
    with session.begin() as s:
        assert await share(s, "x", Counter(0)) == [1]
        assert len(flights(s)) == 0


async def test_two_callers_share_one_fetch(autojump_clock):
    fetch, got = Counter(), []

    async def ask(s):
        got.append(await share(s, "x", fetch))

    async with session.begin() as s:
        s.start_soon(ask, s)
        s.start_soon(ask, s)
        await wait_all_tasks_blocked()
        assert len(flights(s)) == 1
    assert got[0] is got[1]
    assert fetch.calls == 1
    assert s.statistics().joined == 1


async def test_other_names_and_later_callers_fetch_on_their_own(autojump_clock):
    fetch = Counter()
    async with session.begin() as s:
        s.start_soon(share, s, "x", fetch)
        s.start_soon(share, s, "y", fetch)
        await trio.sleep(5)
        await share(s, "x", fetch)
    assert fetch.calls == 3


async def test_names_that_mean_the_same_share_under_a_common_key(autojump_clock):
    fetch, told = Counter(), []
    async with session.begin() as s:
        s.subscribe(told.append)
        s.start_soon(lambda: share(s, "v0", fetch, key="multihash"))
        s.start_soon(lambda: share(s, "v1", fetch, key="multihash"))
    assert fetch.calls == 1
    assert {event.name for event in told if isinstance(event, events.Wanted)} == {"v0", "v1"}


async def test_sessions_of_one_tree_share_and_others_do_not(autojump_clock):
    fetch = Counter()
    async with trio.open_nursery() as nursery:
        with session.begin() as root, session.fork() as one, session.fork() as two:
            with session.leave(), session.begin() as stranger:
                for s in (root, one, two, stranger):
                    nursery.start_soon(share, s, "x", fetch)
                await trio.sleep(10)
    assert fetch.calls == 2


async def test_the_parent_task_of_a_caller_is_a_caller_like_any_other(autojump_clock):
    """It leads, and its child joins: the child does not run inside the fetch, only inside a nursery of the same task."""
    fetch, got = Counter(), []

    async def child(s):
        await trio.sleep(1)
        got.append(await share(s, "x", fetch))

    async with session.begin() as s:
        s.start_soon(child, s)
        got.append(await share(s, "x", fetch))
    assert fetch.worst == 1
    assert fetch.calls == 1
    assert got[0] is got[1]


async def test_the_child_of_one_who_took_over_the_lead_is_a_caller_like_any_other(autojump_clock):
    """As above, where the parent did not lead at first: what it had open before it fetched is no part of its fetch."""
    fetch, got = Counter(), []

    async def impatient(s):
        with trio.move_on_after(1):
            await share(s, "x", fetch)

    async def child(s):
        await trio.sleep(2)
        got.append(await share(s, "x", fetch))

    async with session.begin() as s:
        s.start_soon(impatient, s)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, s)
            got.append(await share(s, "x", fetch))
    assert (fetch.worst, fetch.calls) == (1, 2)
    assert got[0] is got[1]


async def test_one_who_took_over_the_lead_may_ask_again_inside_its_fetch(autojump_clock):
    inner, got = Counter(), []

    async def impatient(s):
        with trio.move_on_after(1):
            await share(s, "x", trio.sleep_forever)

    async def outer(s):
        async with trio.open_nursery() as nursery:

            async def child():
                got.append(await share(s, "x", inner))

            nursery.start_soon(child)
        return "outer"

    async with session.begin() as s:
        s.start_soon(impatient, s)
        await wait_all_tasks_blocked()
        with trio.fail_after(100):
            assert await share(s, "x", lambda: outer(s)) == "outer"
    assert got == [[1]]


async def test_a_fetch_that_asks_for_its_own_name_does_not_wait_for_itself(autojump_clock):
    """A layer inside the leader's fetch asks again, in its task or in a nursery of its own."""
    inner, got = Counter(), []

    async def outer(s):
        got.append(await share(s, "x", inner))
        async with trio.open_nursery() as nursery:

            async def child():
                got.append(await share(s, "x", inner))

            nursery.start_soon(child)
        return "outer"

    with session.begin() as s, trio.fail_after(100):
        assert await share(s, "x", lambda: outer(s)) == "outer"
    assert got == [[1], [2]]
    assert inner.worst == 1
    assert s.statistics().found == 3


async def test_a_cancelled_leader_passes_the_lead_when_its_fetch_has_unwound(autojump_clock):
    diary, start = [], trio.current_time()

    async def fetch(who):
        diary.append((who, "starts", trio.current_time() - start))
        try:
            await trio.sleep(4)
            return who
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            raise
        finally:
            diary.append((who, "ends", trio.current_time() - start))

    async def impatient(s):
        with trio.move_on_after(2):
            await share(s, "x", lambda: fetch("first"))

    async with session.begin() as s:
        s.start_soon(impatient, s)
        await trio.sleep(1)
        assert await share(s, "x", lambda: fetch("second")) == "second"
    assert diary == [("first", "starts", 0), ("first", "ends", 5), ("second", "starts", 5), ("second", "ends", 9)]


async def test_the_lead_passes_in_the_order_of_arrival(autojump_clock):
    leaders = []

    async def fetch(who):
        leaders.append(who)
        await trio.sleep_forever()

    async def ask(s, who):
        with trio.move_on_after(10 + who):
            await share(s, "x", lambda: fetch(who))

    async with session.begin() as s:
        for who in range(4):
            s.start_soon(ask, s, who)
            await wait_all_tasks_blocked()
    assert leaders == [0, 1, 2, 3]
    assert s.statistics().cancelled == 4


async def test_when_all_leave_the_fetch_is_cancelled_and_the_table_is_empty(autojump_clock):
    fetch = Counter(100)
    with session.begin() as s:
        with trio.move_on_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(share, s, "x", fetch)
                nursery.start_soon(share, s, "x", fetch)
        assert fetch.now == 0
        assert len(flights(s)) == 0


async def test_a_leader_without_budget_passes_the_lead(autojump_clock):
    """What one session may not spend says nothing about the name."""
    got = []

    async def fetch(s):
        await trio.sleep(1)
        s.account.request_begins()
        s.account.request_ends()
        return "value"

    async def poor(s):
        with pytest.raises(LimitReached):
            await share(s, "x", lambda: fetch(s))

    async with session.begin() as s:
        with session.fork(limits=Limits(requests=0)) as child:
            s.start_soon(poor, child)
            await wait_all_tasks_blocked()
            got.append(await share(s, "x", lambda: fetch(s)))
    assert got == ["value"]


async def test_the_lead_of_an_ended_fork_passes_to_its_parent(autojump_clock):
    async with session.begin() as s:
        with session.fork() as child:

            async def in_fork():
                with pytest.raises(SessionEnded):
                    await share(child, "x", Counter(100))

            s.start_soon(in_fork)
            await wait_all_tasks_blocked()
            s.start_soon(end_after, child, 2)
            assert await share(s, "x", Counter(1)) == [1]


async def end_after(s, ticks):
    await trio.sleep(ticks)
    s.cancel("enough")


async def test_a_new_session_may_fetch_what_an_ended_one_still_cleans_up(autojump_clock):
    """Two trees, two tables."""

    async def slow_to_die():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)

    async def ask(s):
        with pytest.raises(SessionEnded):
            await share(s, "x", slow_to_die)

    async with trio.open_nursery() as nursery:
        with session.begin() as s:
            nursery.start_soon(ask, s)
            await wait_all_tasks_blocked()
        with session.begin() as s:
            assert await share(s, "x", Counter(1)) == [1]


# --- errors


async def errors_of(error, number=3):
    """What *number* callers get when the fetch they share raises *error*."""
    errors = []

    async def fetch():
        await trio.sleep(1)
        raise error

    async def ask(s):
        try:
            await share(s, "x", fetch)
        except Exception as caught:
            errors.append(caught)

    with session.begin() as s:
        with trio.move_on_after(100):
            async with trio.open_nursery() as nursery:
                for _ in range(number):
                    nursery.start_soon(ask, s)
        assert len(flights(s)) == 0
    assert len(errors) == number, "each caller gets an error"
    return errors


async def test_each_caller_gets_an_error_of_its_own(autojump_clock):
    cause = OSError("cable")
    original = PeerFailed("it fell over", peer="http://a.example")
    original.__cause__ = cause
    errors = await errors_of(original)
    assert len({id(error) for error in errors}) == 3
    assert original in errors, "the leader raises the original"
    for error in errors:
        assert type(error) is PeerFailed
        assert str(error) == "it fell over"
        assert error.peer == "http://a.example"
        assert error.__cause__ is cause
        assert error.__traceback__ is not None
    traces = [id(error.__traceback__) for error in errors]
    assert len(set(traces)) == 3


async def test_what_an_error_came_from_is_told_or_hidden_as_its_raiser_wished(autojump_clock):
    original, hidden = PeerFailed("it fell over"), KeyError("how it works inside")
    original.__context__, original.__suppress_context__ = hidden, True  # as "raise ... from None" leaves it
    for error in await errors_of(original):
        assert error.__context__ is hidden
        assert error.__suppress_context__


async def test_a_note_on_one_error_is_not_on_the_others(autojump_clock):
    original = PeerFailed("it fell over")
    original.add_note("from the fetch")
    one, two, three = await errors_of(original)
    one.add_note("only here")
    assert one.__notes__ == ["from the fetch", "only here"]
    assert two.__notes__ == three.__notes__ == ["from the fetch"]


async def test_the_reasons_of_an_error_are_there_for_each(autojump_clock):
    errors = await errors_of(BlockNotFound("nobody has it", reasons={"http://a.example": KeyError("no")}))
    assert all(list(error.reasons) == ["http://a.example"] for error in errors)


async def test_an_error_group_reaches_each_caller(autojump_clock):
    errors = await errors_of(ExceptionGroup("several", [KeyError("a"), ValueError("b")]))
    for error in errors:
        assert isinstance(error, ExceptionGroup)
        assert [type(inner) for inner in error.exceptions] == [KeyError, ValueError]
    assert len({id(error) for error in errors}) == 3


class KeywordOnly(Exception):
    """As some libraries' are."""

    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class Stubborn(Exception):
    """It cannot be made without what only its maker knows."""

    def __new__(cls, *, code):
        return super().__new__(cls, f"code {code}")

    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Group(ExceptionGroup):
    """With a constructor of its own, as the documentation of ExceptionGroup shows."""

    def __new__(cls, errors, code):
        group = super().__new__(cls, f"code {code}", errors)
        group.code = code
        return group

    def derive(self, errors):
        return Group(errors, self.code)


@pytest.mark.parametrize(
    "error",
    [KeywordOnly(code=7), Slotted(7), Stubborn(code=7), Group([KeyError("a")], 7)],
    ids=lambda error: type(error).__name__,
)
async def test_errors_with_constructors_of_their_own_reach_each_caller(autojump_clock, error):
    """However hard an error is to copy: nobody is left asleep, and what arrives is of its kind and says the same."""
    for caught in await errors_of(error):
        assert type(caught) is type(error)
        assert "code 7" in str(caught)
        assert caught.code == 7


async def test_errors_of_the_system_keep_their_fields(autojump_clock):
    for caught in await errors_of(FileNotFoundError(2, "No such file", "/tmp/x")):
        assert caught.errno == 2
        assert caught.filename == "/tmp/x"


async def test_another_sessions_failure_is_not_ours(autojump_clock):
    """It may have other peers: its waiters get the error, ours takes the lead."""
    outcomes = []

    async def fails():
        await trio.sleep(1)
        raise PeerFailed("its peers are bad")

    async def in_fork(child):
        with pytest.raises(PeerFailed):
            await share(child, "x", fails)
        outcomes.append("failed")

    async with session.begin() as s:
        with session.fork() as child:
            s.start_soon(in_fork, child)
            await wait_all_tasks_blocked()
            s.start_soon(in_fork, child)
            await wait_all_tasks_blocked()
            outcomes.append(await share(s, "x", Counter(1)))
    assert outcomes == ["failed", "failed", [1]]


async def test_a_fetch_that_never_waits_is_fine():
    async def immediate():
        return 1

    with session.begin() as s:
        assert await share(s, "x", immediate) == 1
        assert len(flights(s)) == 0
    await trio.lowlevel.checkpoint()


async def test_a_tree_has_one_table():
    with session.begin() as s:
        assert len(flights(s)) == 0
        with session.fork() as child:
            assert flights(child) is flights(s)
    await trio.lowlevel.checkpoint()


async def test_who_joins_is_told_of_by_the_name_that_it_wanted():
    """The key under which two names mean one thing is nobody else's concern."""
    told = []

    async def slow():
        await wait_all_tasks_blocked()
        return b""

    async def want(s, name):
        await share(s, name, slow, key=b"key")

    with session.begin() as s:
        s.subscribe(told.append)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(want, s, "one")
            nursery.start_soon(want, s, "other")
    joined = [event.name for event in told if isinstance(event, events.Joined)]
    assert joined in (["one"], ["other"])

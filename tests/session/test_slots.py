"""Law 6: each layer hangs its own state on a session, which knows no layer."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.errors import NoSession, SessionEnded
from sessionctx.session import Slot


class Layer:
    """A slot that writes down what is done with it."""

    def __init__(self, name, log, *, forks=True):
        self.name, self.log = name, log
        self.slot = Slot(name, make=self.make, fork=self.fork if forks else None, end=self.end)

    def make(self, s):
        self.log.append(("make", self.name, s.name))
        return s.name

    def fork(self, parents):
        self.log.append(("fork", self.name, parents))
        return f"{parents}+"

    def end(self, value):
        self.log.append(("end", self.name, value))


@pytest.fixture
def log():
    return []


# --- making


def test_a_value_is_made_on_first_use_and_once(log):
    slot = Layer("ledger", log).slot
    with session.begin(name="s") as s:
        assert log == [], "beginning is cheap"
        assert slot.of(s) == "s"
        assert slot.here() is slot.of(s)
        assert log == [("make", "ledger", "s")]


def test_each_session_has_its_own_value():
    slot = Slot("list", make=lambda _: [])
    with session.begin() as one, session.leave(), session.begin() as two:
        assert slot.of(one) is not slot.of(two)
        assert slot.here() is slot.of(two)


def test_each_slot_has_its_own_value_whatever_its_name():
    first, second = Slot("same", make=lambda _: 1), Slot("same", make=lambda _: 2)
    with session.begin():
        assert (first.here(), second.here()) == (1, 2)


@pytest.mark.parametrize("value", [None, 0, "", []])
def test_falsy_values_are_values(value):
    calls = []
    slot = Slot("any", make=lambda _: calls.append(1) or value)
    with session.begin():
        assert slot.here() is value
        assert slot.here() is value
    assert calls == [1]


def test_here_needs_a_session():
    with pytest.raises(NoSession):
        Slot("x", make=lambda _: 1).here()


def test_a_make_that_raises_leaves_nothing_behind():
    attempts, ended = [], []

    def make(_):
        attempts.append(1)
        if len(attempts) == 1:
            raise KeyError("not yet")
        return "made"

    slot = Slot("fragile", make=make, end=ended.append)
    with session.begin() as s:
        with pytest.raises(KeyError):
            slot.of(s)
        assert slot.of(s) == "made"
    assert ended == ["made"]


def test_a_slot_may_use_another_one_while_it_is_made():
    inner = Slot("inner", make=lambda _: [])
    outer = Slot("outer", make=lambda s: {"inner": inner.of(s)})
    with session.begin():
        assert outer.here()["inner"] is inner.here()


def test_its_repr_names_it():
    assert "ledger" in repr(Slot("ledger", make=lambda _: 1))


# --- forks


def test_a_fork_gets_its_value_from_its_parents(log):
    slot = Layer("ledger", log).slot
    with session.begin(name="s") as parent, session.fork() as child:
        assert slot.of(child) == "s+"
        assert log == [("make", "ledger", "s"), ("fork", "ledger", "s")], "the parent's is made first"
        assert slot.of(parent) == "s"


def test_a_fork_of_a_fork():
    slot = Slot("depth", make=lambda _: 0, fork=lambda depth: depth + 1)
    with session.begin() as a, session.fork() as b, session.fork() as c:
        assert (slot.of(c), slot.of(b), slot.of(a)) == (2, 1, 0)


def test_without_a_fork_callback_a_fork_starts_anew(log):
    slot = Layer("anew", log, forks=False).slot
    with session.begin(name="s"), session.fork(name="child") as child:
        assert slot.of(child) == "child"
        assert log == [("make", "anew", "child")], "and the parent's is not made for its sake"


def test_an_unused_slot_of_a_fork_is_never_made(log):
    slot = Layer("unused", log).slot
    with session.begin(name="s") as parent:
        slot.of(parent)
        with session.fork():
            pass
        assert log == [("make", "unused", "s")]


# --- ending


def test_values_end_in_reverse_order_of_making_forks_first(log):
    a, b = Layer("a", log).slot, Layer("b", log).slot
    with session.begin(name="s") as s, session.fork() as child:
        b.of(s)
        a.of(s)
        a.of(child)
        b.of(child)
        log.clear()
        s.cancel("enough")
        assert log == [("end", "b", "s+"), ("end", "a", "s+"), ("end", "a", "s"), ("end", "b", "s")]
    assert len(log) == 4, "each ends once"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("use"), st.integers(0, 3), st.integers(0, 5)),
            st.tuples(st.just("fork"), st.integers(0, 5), st.just(0)),
            st.tuples(st.just("end"), st.integers(0, 5), st.just(0)),
        ),
        max_size=25,
    )
)
def test_whatever_was_made_ends_once_in_reverse_and_before_its_parents(steps):
    """Random trees of sessions, random slots: the ends are the makes of each session in reverse, forks first."""
    log = []

    class Value:
        def __init__(self, s, slot):
            self.s, self.slot = s, slot

    def slot(i):
        return Slot(str(i), make=lambda s: Value(s, i), end=lambda value: log.append((value.s, value.slot)))

    slots = [slot(i) for i in range(4)]
    with session.begin() as root:
        sessions, scopes, made = [root], [], {root: []}
        for what, a, b in steps:
            if what == "use":
                s = sessions[b % len(sessions)]
                if s.ended:
                    continue
                slots[a].of(s)
                made[s] += [a] if a not in made[s] else []
            elif what == "fork" and not sessions[a % len(sessions)].ended:
                used = session.use(sessions[a % len(sessions)])
                forked = session.fork()
                used.__enter__()
                s = forked.__enter__()
                scopes += [used, forked]
                sessions.append(s)
                made[s] = []
            elif what == "end":
                sessions[a % len(sessions)].cancel("enough")
        root.cancel("enough")
        for s in sessions:
            assert [i for theirs, i in log if theirs is s] == made[s][::-1]
            above = s.parent
            while above is not None:
                ends = [theirs for theirs, _ in log if theirs in (s, above)]
                assert ends == sorted(ends, key=lambda theirs: theirs is above), "forks first"
                above = above.parent
        for scope in reversed(scopes):
            scope.__exit__(None, None, None)


def test_the_state_has_turned_before_the_first_slot_ends():
    seen = []
    slot = Slot("looks", make=lambda s: s, end=lambda s: seen.append((bool(s.ended), session.current(None))))
    with session.begin():
        slot.here()
    assert seen == [(True, None)]


def test_a_slot_cannot_be_made_while_its_session_ends():
    late = Slot("late", make=lambda _: pytest.fail("made"))
    errors = []

    def end(s):
        with pytest.raises(SessionEnded) as caught:
            late.of(s)
        errors.append(caught.value)

    with session.begin():
        Slot("early", make=lambda s: s, end=end).here()
    assert len(errors) == 1


def test_after_the_end_no_slot_is_made():
    slot = Slot("late", make=lambda _: pytest.fail("made"))
    with session.begin() as s:
        pass
    with pytest.raises(SessionEnded):
        slot.of(s)


def test_an_error_in_one_end_does_not_spare_the_others(log):
    def bad(_):
        raise KeyError("bad")

    a, b = Layer("a", log).slot, Layer("b", log).slot
    with pytest.raises(KeyError, match="bad"), session.begin(name="s") as s:
        a.of(s)
        Slot("bad", make=lambda _: 1, end=bad).of(s)
        b.of(s)
    assert log[-2:] == [("end", "b", "s"), ("end", "a", "s")]
    assert s.ended
    assert session.current(None) is None, "and the binding is restored"


def test_errors_in_several_ends_all_arrive():
    def bad(error):
        raise error

    with pytest.RaisesGroup(KeyError, ValueError) as caught, session.begin() as s:
        with session.fork() as child:
            Slot("k", make=lambda _: KeyError("k"), end=bad).of(s)
            Slot("v", make=lambda _: ValueError("v"), end=bad).of(s)
            Slot("child", make=lambda _: 1).of(child)
    assert s.name in str(caught.value)


def test_errors_of_forks_arrive_with_their_parents():
    def bad(error):
        raise error

    with session.begin() as s, session.fork() as child:
        Slot("k", make=lambda _: KeyError("k"), end=bad).of(s)
        Slot("v", make=lambda _: ValueError("v"), end=bad).of(child)
        with pytest.RaisesGroup(KeyError, ValueError, flatten_subgroups=True):
            s.cancel("enough")
        assert child.ended
        assert s.ended


async def test_an_error_in_an_end_does_not_keep_requests_in_flight():
    def bad(_):
        raise KeyError("bad")

    outcomes = []

    async def request(s):
        with pytest.raises(SessionEnded), s.want("x"):
            await trio.sleep_forever()
        outcomes.append("ended")

    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyError), session.begin() as s:
            Slot("bad", make=lambda _: 1, end=bad).of(s)
            nursery.start_soon(request, s)
            await trio.testing.wait_all_tasks_blocked()
    assert outcomes == ["ended"]

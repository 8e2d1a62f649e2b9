"""Laws 2, 3, 4, 5, 8, 9 and 11 against the dullest possible model: a list of what is bound.

The first machine enters and leaves scopes by hand, in any order. The second property runs random programs of nested
blocks in several trio tasks, whose children may outlive the sessions they inherited.
"""

from __future__ import annotations

import warnings

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule
from trio.testing import MockClock

from sessionctx import session
from sessionctx.errors import NoSession, SessionConflict, SessionEnded, SessionError, SessionLeakWarning
from sessionctx.session import Limits


@attrs.define(eq=False)
class Model:
    """What a session should be like."""

    name: str
    limits: Limits
    peers: list[str]
    parent: Model | None = None
    real: session.Session | None = None
    alive: bool = True
    left: bool = False
    """Its own block was left (not only cancelled early, or ended by its parent)."""
    warned: bool = False
    forks: list[Model] = attrs.field(factory=list)

    def end(self):
        self.alive = False
        for fork in self.forks:
            fork.end()

    def all_peers(self):
        above = self.parent.all_peers() if self.parent else []
        return above + [peer for peer in self.peers if peer not in above]

    def add(self, peers):
        self.peers += [peer for peer in dict.fromkeys(peers) if peer not in self.peers]


def check_binding(top):
    """The real binding is what the model says: *top*, or nothing."""
    if top is None:
        assert session.current(None) is None
        with pytest.raises(NoSession):
            session.current()
    elif top.alive:
        assert session.current() is top.real
        assert session.current(None) is top.real
    else:
        assert session.current(None) is None
        with pytest.raises(SessionEnded, match="leave"):
            session.current()


def check_session(model):
    assert (model.real.ended is None or model.real.ended is False) == model.alive
    assert model.real.name == model.name
    assert model.real.parent is (model.parent.real if model.parent else None)
    assert list(model.real.peers) == model.all_peers()


@attrs.define(eq=False)
class Entered:
    """A scope that was entered: what it bound, and whether it owns it."""

    real: object
    bound: Model | None
    owns: bool


PEERS = st.lists(st.sampled_from(["http://a", "http://b", "http://c"]), max_size=2)
NAMES = st.sampled_from([None, "one", "two"])
LIMITS = st.sampled_from([None, Limits(requests=5), Limits(bytes=9)])


class Binding(RuleBasedStateMachine):
    """Whatever is entered and left, in whatever order, the binding is what a list of open blocks says."""

    sessions = Bundle("sessions")
    scopes = Bundle("scopes")

    @initialize()
    def start(self):
        self.stack: list[Entered] = []
        self.known: list[Model] = []

    @property
    def top(self):
        return self.stack[-1].bound if self.stack else None

    def push(self, real, model, owns):
        entered = Entered(real, model, owns)
        self.stack.append(entered)
        return entered

    def afresh(self, scope):
        """Enter a scope that finds no live session: it begins one, and tells of a leak, unless a block must wind down."""
        top = self.top
        if top is not None and not top.left:
            with pytest.raises(SessionEnded):  # cancelled, and its block is still open
                scope.__enter__()
            return None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            real = scope.__enter__()
        leaks = [str(w.message) for w in caught if issubclass(w.category, SessionLeakWarning)]
        assert len(leaks) == len(caught) == (0 if top is None or top.warned else 1)
        assert all("session.leave()" in leak for leak in leaks)
        if top is not None:
            top.warned = True
        return real

    @rule(peers=PEERS, name=NAMES, limits=LIMITS, outermost=st.booleans(), target=scopes)
    def begin(self, peers, name, limits, outermost):
        scope = session.begin(peers, limits=limits, name=name, outermost=outermost)
        top = self.top
        if top is not None and top.alive:
            differs = (name is not None and name != top.name) or (limits is not None and limits != top.limits)
            if differs or outermost:
                with pytest.raises(SessionConflict, match="fork"):
                    scope.__enter__()
                return self.nothing()
            assert scope.__enter__() is top.real
            top.add(peers)
            return self.push(scope, top, owns=False)
        real = self.afresh(scope)
        if real is None:
            return self.nothing()
        model = Model(name or "session", limits or Limits(), list(dict.fromkeys(peers)), real=real)
        self.known.append(model)
        return self.push(scope, model, owns=True)

    @rule(peers=PEERS, name=NAMES, target=scopes)
    def fork(self, peers, name):
        scope, top = session.fork(peers, name=name), self.top
        if top is not None and top.alive:
            real = scope.__enter__()
        elif (real := self.afresh(scope)) is None:
            return self.nothing()
        else:
            top = None
        limits = Limits() if top is None else top.limits
        model = Model(name or real.name, limits, list(dict.fromkeys(peers)), parent=top, real=real)
        assert name is not None or real.name.startswith("session" if top is None else top.name)
        if top is not None:
            top.forks.append(model)
        self.known.append(model)
        return self.push(scope, model, owns=True)

    @rule(target=scopes)
    def leave(self):
        scope = session.leave()
        assert scope.__enter__() is None
        return self.push(scope, None, owns=False)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), target=scopes)
    def use(self, data):
        model = data.draw(st.sampled_from(self.known))
        scope = session.use(model.real)
        if not model.alive:
            with pytest.raises(SessionEnded, match="leave"):
                scope.__enter__()
            return self.nothing()
        assert scope.__enter__() is model.real
        return self.push(scope, model, owns=False)

    @rule(entered=consumes(scopes))
    def exit(self, entered):
        """Leaving any open block, not only the innermost one, restores what was bound before it."""
        if entered is None:
            return
        in_order = bool(self.stack) and self.stack[-1] is entered
        if entered.owns:
            entered.bound.left = True
            entered.bound.end()
        if in_order:
            assert not entered.real.__exit__(None, None, None)
        else:
            with pytest.raises(SessionError, match="order"):
                entered.real.__exit__(None, None, None)
        if entered in self.stack:
            del self.stack[self.stack.index(entered) :]

    @precondition(lambda self: self.stack)
    @rule()
    def exit_innermost(self):
        """What programs do."""
        entered = self.stack[-1]
        self.exit(entered)
        entered.real = self.Left()

    class Left:
        """Stands for a scope that was left already; the bundle may still hold it."""

        def __exit__(self, *_):
            raise SessionError("order")

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data):
        model = data.draw(st.sampled_from(self.known))
        model.real.cancel("enough")
        model.end()

    @precondition(lambda self: self.known)
    @rule(data=st.data(), peers=PEERS)
    def add_peers(self, data, peers):
        model = data.draw(st.sampled_from(self.known))
        model.real.add_peers(peers)
        model.add(peers)

    @invariant()
    def the_binding_is_the_top_of_the_list(self):
        check_binding(self.top)

    @invariant()
    def every_session_is_as_it_should_be(self):
        for model in self.known:
            check_session(model)

    def nothing(self):
        return None

    def teardown(self):
        while getattr(self, "stack", None):
            self.exit_innermost()
        assert session.current(None) is None


TestBinding = Binding.TestCase


# --- several tasks


@attrs.frozen
class Block:
    scope: str
    body: tuple


@attrs.frozen
class Sleep:
    ticks: int


@attrs.frozen
class Spawn:
    body: tuple
    outer: bool
    """Into the outermost nursery, where it may outlive every session; otherwise it is awaited here."""


@attrs.frozen
class Cancel:
    pass


def programs():
    leaf = st.one_of(st.builds(Sleep, st.integers(1, 3)), st.just(Cancel()))
    return st.lists(
        st.recursive(
            leaf,
            lambda body: st.one_of(
                st.builds(Block, st.sampled_from(["begin", "begin", "fork", "leave"]), body.map(lambda op: (op,))),
                st.builds(
                    Block,
                    st.sampled_from(["begin", "begin", "fork", "leave"]),
                    st.lists(body, max_size=3).map(tuple),
                ),
                st.builds(Spawn, st.lists(body, max_size=3).map(tuple), st.booleans()),
            ),
            max_leaves=12,
        ),
        min_size=1,
        max_size=4,
    )


class Player:
    """Runs a program in real tasks and blocks, with the list of what should be bound beside it."""

    def __init__(self):
        self.leaks = 0

    async def main(self, program):
        with trio.fail_after(1000):
            async with trio.open_nursery() as self.nursery:
                await self.run(program, ())
        assert session.current(None) is None

    async def run(self, program, stack):
        for op in program:
            await self.step(op, stack)
            check_binding(stack[-1] if stack else None)

    async def step(self, op, stack):
        match op:
            case Sleep(ticks):
                await trio.sleep(ticks)
            case Cancel() if stack and stack[-1] is not None:
                stack[-1].real.cancel("enough")
                stack[-1].end()
            case Spawn(body, outer=True):
                self.nursery.start_soon(self.run, body, stack)
            case Spawn(body):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.run, body, stack)
                    check_binding(stack[-1] if stack else None)
            case Block("leave", body):
                with session.leave():
                    check_binding(None)
                    await self.run(body, (*stack, None))
            case Block("begin", body):
                await self.begin(body, stack)
            case Block("fork", body):
                await self.fork(body, stack)

    async def begin(self, body, stack):
        top = stack[-1] if stack else None
        if top is None or not top.alive:
            await self.afresh(session.begin(), body, stack)
            return
        scope = session.begin()
        assert scope.__enter__() is top.real
        await self.inside(scope, top, body, stack, owns=False)

    async def fork(self, body, stack):
        top = stack[-1] if stack else None
        if top is None or not top.alive:
            await self.afresh(session.fork(), body, stack)
            return
        scope = session.fork()
        model = Model("", Limits(), [], parent=top, real=scope.__enter__())
        top.forks.append(model)
        await self.inside(scope, model, body, stack, owns=True)

    async def afresh(self, scope, body, stack):
        """No live session is bound."""
        top = stack[-1] if stack else None
        if top is not None and not top.left:
            with pytest.raises(SessionEnded), scope:
                pytest.fail("began")
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = Model("session", Limits(), [], real=scope.__enter__())
        expected = top is not None and not top.warned
        assert [w.category for w in caught] == [SessionLeakWarning] * expected
        if expected:
            top.warned = True
            self.leaks += 1
        assert model.real.parent is None
        await self.inside(scope, model, body, stack, owns=True)

    async def inside(self, scope, model, body, stack, owns):
        try:
            check_binding(model)
            await self.run(body, (*stack, model))
        finally:
            if owns:
                model.left = True
                model.end()
            scope.__exit__(None, None, None)


@given(programs())
def test_each_task_sees_what_its_spawner_saw_and_what_it_entered_itself(program):
    """However blocks nest and tasks outlive them, each task's binding is the list it inherited and its own blocks."""
    trio.run(Player().main, program, clock=MockClock(autojump_threshold=0))


def test_the_programs_do_outlive_sessions():
    """What the property above rests on: here a child begins afresh, and warns."""
    program = [Block("begin", (Spawn((Sleep(1), Block("begin", (Sleep(1),))), outer=True),)), Sleep(3)]
    player = Player()
    trio.run(player.main, program, clock=MockClock(autojump_threshold=0))
    assert player.leaks == 1

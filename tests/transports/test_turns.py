"""Turns at an endpoint: whoever comes and gives up, they are fair, and none is lost."""

from __future__ import annotations

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from sessionctx.transports.http.turns import Turns


@attrs.frozen
class User:
    """Comes at a time, wants to stay for a while, with its own idea of how many are too many, and perhaps gives up."""

    comes: int
    stays: int
    at_once: int
    gives_up: int | None


users = st.builds(
    User,
    comes=st.integers(0, 8),
    stays=st.integers(0, 4),
    at_once=st.integers(1, 4),
    gives_up=st.none() | st.integers(0, 6),
)


@attrs.define(eq=False)
class Play:
    """What happens, in order."""

    turns: Turns = attrs.field(factory=Turns)
    waiting: list[User] = attrs.field(factory=list)
    using: list[User] = attrs.field(factory=list)

    async def main(self, crowd: list[User]) -> None:
        with trio.fail_after(100):
            await self.play(crowd)
        assert not self.using
        assert not self.turns.in_use
        assert not await self.turns.take(1)

    async def play(self, crowd: list[User]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.watch)
            async with trio.open_nursery() as visits:
                for user in crowd:
                    visits.start_soon(self.visit, user)
            nursery.cancel_scope.cancel()

    async def visit(self, user: User) -> None:
        await trio.sleep(user.comes)
        with trio.CancelScope() as patience:
            if user.gives_up is not None:
                patience.deadline = trio.current_time() + user.gives_up
            self.waiting.append(user)
            try:
                await self.turns.take(user.at_once)
            except trio.Cancelled:
                self.waiting.remove(user)
                raise
            self.waiting.remove(user)
            self.using.append(user)
            try:
                await trio.sleep(user.stays)
            finally:
                self.using.remove(user)
                self.turns.give()

    async def watch(self) -> None:
        """Whenever all is quiet, as many are there as the last one to be let in allows, and the first waits for a reason."""
        while True:
            await trio.testing.wait_all_tasks_blocked()
            assert self.turns.in_use == len(self.using)
            assert len(self.using) <= max((user.at_once for user in self.using), default=0)
            assert not self.waiting or len(self.using) >= self.waiting[0].at_once
            await trio.sleep(0.5)


@given(crowd=st.lists(users, max_size=10))
def test_turns_are_taken_below_ones_own_bound_and_none_is_lost(crowd):
    """Each begins while fewer than it allows are going on, waits only for a reason, and all come to their end."""
    trio.run(Play().main, crowd, clock=MockClock(autojump_threshold=0))


@given(crowd=st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=10))
def test_first_come_first_served(crowd):
    """However much each allows, and whoever gives up: the turns come in the order of arrival."""

    async def main() -> None:
        turns, served, scopes = Turns(), [], []

        async def visit(number: int, at_once: int, scope: trio.CancelScope) -> None:
            with scope:
                await turns.take(at_once)
                served.append((number, trio.current_time()))
                await trio.sleep(1)
                turns.give()

        await turns.take(1)
        async with trio.open_nursery() as nursery:
            for number, (at_once, _) in enumerate(crowd):
                scopes.append(trio.CancelScope())
                nursery.start_soon(visit, number, at_once, scopes[-1])
                await trio.testing.wait_all_tasks_blocked()
            for scope, (at_once, patient) in zip(scopes, crowd, strict=True):
                if not patient and at_once == 1:
                    scope.cancel()
            turns.give()
        times = [time for _, time in sorted(served)]
        assert times == sorted(times)
        assert {n for n, _ in served} >= {n for n, (at_once, patient) in enumerate(crowd) if patient or at_once > 1}

    trio.run(main, clock=MockClock(autojump_threshold=0))

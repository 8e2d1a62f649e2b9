"""Law 15: each want ends in exactly one of found, missing, failed, cancelled; and the events tell the same story."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from sessionctx import session
from sessionctx.errors import BlockNotFound, LimitReached, NotFound, PathNotFound, PeerFailed, SessionEnded
from sessionctx.session import Limits, Statistics, events, share

OUTCOMES = ("found", "missing", "failed", "cancelled")

ERRORS = {
    "missing": [NotFound("x"), BlockNotFound("x"), PathNotFound("x")],
    "failed": [PeerFailed("x"), KeyError("x"), ExceptionGroup("x", [KeyError()])],
}


def counts(s):
    stats = s.statistics()
    return {outcome: getattr(stats, outcome) for outcome in OUTCOMES}


@pytest.mark.parametrize(
    ("outcome", "error"), [(outcome, error) for outcome, errors in ERRORS.items() for error in errors]
)
async def test_an_error_is_counted_as_what_it_is(outcome, error):
    told = []
    with session.begin() as s:
        s.subscribe(told.append)
        with pytest.raises(type(error)) as caught, s.want("x"):
            await trio.lowlevel.checkpoint()
            raise error
        assert caught.value is error
        assert counts(s) == dict.fromkeys(OUTCOMES, 0) | {outcome: 1}
    assert [event.outcome for event in told if isinstance(event, events.Settled)] == [outcome]


async def test_nested_wants_are_each_counted():
    with session.begin() as s:
        with pytest.raises(BlockNotFound), s.want("file"):
            with s.want("root"):
                await trio.lowlevel.checkpoint()
            with s.want("leaf"):
                raise BlockNotFound("leaf")
        assert counts(s) == {"found": 1, "missing": 2, "failed": 0, "cancelled": 0}


async def test_a_refused_want_is_not_counted():
    with session.begin() as s:
        pass
    with pytest.raises(SessionEnded), s.want("x"):
        pytest.fail("entered")
    assert s.statistics().wants == 0
    await trio.lowlevel.checkpoint()


async def test_statistics_are_a_frozen_snapshot():
    with session.begin() as s:
        before = s.statistics()
        assert before == Statistics(**{field.name: 0 for field in attrs.fields(Statistics)})
        with s.want("x"):
            assert s.statistics().open == 1
            assert before.open == 0
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            before.wants = 1
    await trio.lowlevel.checkpoint()


async def test_a_forks_wants_count_for_its_parent_and_not_for_its_sister():
    with session.begin() as parent, session.fork() as one, session.use(parent), session.fork() as two:
        with one.want("x"):
            await trio.lowlevel.checkpoint()
        assert [s.statistics().found for s in (parent, one, two)] == [1, 1, 0]


# --- any history


@attrs.frozen
class Episode:
    """One want: under which session of a tree, when, how long, and how it would end if nothing came between."""

    branch: int  # 0 the root, 1 its fork, 2 the fork's fork
    at: int
    takes: int
    patience: int | None
    ends: str
    shared: bool  # through a flight, with all others that are


EPISODES = st.lists(
    st.builds(
        Episode,
        branch=st.integers(0, 2),
        at=st.integers(0, 5),
        takes=st.integers(0, 4),
        patience=st.one_of(st.none(), st.integers(0, 4)),
        ends=st.sampled_from(["found", "found", "missing", "failed"]),
        shared=st.booleans(),
    ),
    max_size=10,
)


class Fold:
    """What the events say, counted by somebody who knows nothing else."""

    def __init__(self, s):
        self.wanted, self.settled, self.joined, self.open = 0, Counter(), 0, Counter()
        self.ends = 0
        s.subscribe(self.hear)

    def hear(self, event):
        match event:
            case events.Wanted(name=name):
                self.wanted += 1
                self.open[name] += 1
            case events.Settled(name=name, outcome=outcome):
                self.settled[outcome] += 1
                self.open[name] -= 1
                assert self.open[name] >= 0, "settled before it was wanted"
            case events.Joined(name=name):
                self.joined += 1
                assert self.open[name] >= 1, "joined before it was wanted"
            case events.Ended():
                self.ends += 1

    def check(self, s):
        stats = s.statistics()
        assert stats.wants == self.wanted
        assert {outcome: getattr(stats, outcome) for outcome in OUTCOMES} == {o: self.settled[o] for o in OUTCOMES}
        assert stats.joined == self.joined
        assert stats.open == self.open.total()
        assert stats.wants == stats.found + stats.missing + stats.failed + stats.cancelled + stats.open


class History:
    def __init__(self, episodes, ends, seconds):
        self.episodes, self.ends, self.seconds = episodes, ends, seconds
        self.fates = Counter()

    async def main(self):
        with trio.fail_after(10_000):
            with session.begin(limits=Limits(seconds=self.seconds)) as root, session.fork() as one:
                with session.fork() as two:
                    self.sessions = [root, one, two]
                    self.folds = [Fold(s) for s in self.sessions]
                    async with trio.open_nursery() as nursery:
                        for branch, tick in enumerate(self.ends):
                            if tick is not None:
                                nursery.start_soon(self.end, branch, tick)
                        for episode in self.episodes:
                            nursery.start_soon(self.play, episode)
                        for _ in range(12):
                            self.check()
                            await trio.sleep(1)
            self.check()
        return self

    def check(self):
        for s, fold in zip(self.sessions, self.folds, strict=True):
            fold.check(s)

    async def end(self, branch, tick):
        await trio.sleep(tick)
        self.sessions[branch].cancel("enough")

    async def play(self, episode):
        await trio.sleep(episode.at)
        s = self.sessions[episode.branch]
        try:
            with trio.move_on_after(episode.patience if episode.patience is not None else 1000):
                if episode.shared:
                    await share(s, "shared", lambda: self.work(episode))
                else:
                    with s.want(object()):
                        await self.work(episode)
                self.fates["found"] += 1
        except NotFound:
            self.fates["missing"] += 1
        except PeerFailed:
            self.fates["failed"] += 1
        except (SessionEnded, LimitReached):
            pass  # never begun, or cancelled

    async def work(self, episode):
        await trio.sleep(episode.takes)
        if episode.ends != "found":
            raise {"missing": BlockNotFound, "failed": PeerFailed}[episode.ends]("x")


@given(EPISODES, st.tuples(*[st.one_of(st.none(), st.integers(0, 9))] * 3), st.sampled_from([None, None, 0, 4]))
def test_whatever_happens_the_counts_add_up_and_the_events_tell_the_same(episodes, ends, seconds):
    """At every tick of any history: wants are the sum of their ends and what is open, and the events say so, too."""
    history = trio.run(History(episodes, ends, seconds).main, clock=MockClock(autojump_threshold=0))
    root = history.sessions[0].statistics()
    assert root.open == 0
    assert (root.found, root.missing, root.failed) == tuple(history.fates[o] for o in ("found", "missing", "failed"))
    for s, below in zip(history.sessions, history.sessions[1:], strict=False):
        assert all(getattr(s.statistics(), o) >= getattr(below.statistics(), o) for o in OUTCOMES)
    assert [fold.ends for fold in history.folds] == [3, 2, 1], "each session's end is told once, and heard above"

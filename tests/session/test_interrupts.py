"""Ctrl-C at any line of the spine: it is raised in somebody, and leaves nothing bound, open or forgotten.

Each play is run again and again, and interrupted a line later each time, until it comes to its end undisturbed.
"""

from __future__ import annotations

import linecache
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from sessionctx import session
from sessionctx.errors import PeerFailed, SessionEnded
from sessionctx.session import Slot, share
from sessionctx.session.flights import flights

SPINE = str(Path(session.__file__).parent)
END = 10_000  # ticks; whoever was forgotten would sleep until then


class Interrupt:
    """Sends SIGINT to this process at the n-th line that runs in the spine from now on."""

    def __init__(self, line):
        self.left = line
        self._blocks = set()

    def __enter__(self):
        self._outer = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(self._outer)

    @property
    def sent(self):
        return self.left < 0

    def _call(self, frame, event, _):
        if self.sent or not frame.f_code.co_filename.startswith(SPINE) or frame.f_code.co_name.startswith("<"):
            return None
        return self._line

    def _line(self, frame, event, _):
        if event == "line" and not self.sent and not self._leaves_a_block(frame):
            self.left -= 1
            if self.sent:
                signal.raise_signal(signal.SIGINT)
        return self._line

    def _leaves_a_block(self, frame):
        """Whether this is a ``with`` for the second time: between a block and its __exit__ Python takes no signal."""
        where = (id(frame), frame.f_lineno)
        seen = where in self._blocks
        if linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith(("with ", "async with ")):
            self._blocks.add(where)
        return seen


def interrupted(play, async_fn):
    """Run *async_fn* with an interrupt at its first line, then at its second, and so on; yield what came of each."""
    for line in range(2_000):
        interrupt = Interrupt(line)
        try:
            play(async_fn, interrupt)
        except BaseException as error:  # an interrupt is what this is about
            result = error
        else:
            result = None
        yield line, result
        if not interrupt.sent:
            assert line > 20, "the play is interrupted in many places"
            return
    pytest.fail("the play never ended")


def only_interrupts(error):
    if error is None:
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(only_interrupts(each) for each in error.exceptions)
    return isinstance(error, KeyboardInterrupt)


class Crowd:
    """Callers that share a fetch, each ready for an interrupt of its own; so is the task above them."""

    def __init__(self, fails):
        self.fails = fails
        self.fates = {}

    async def main(self, interrupt):
        with session.begin() as s, trio.fail_after(END):
            self.session = s
            table = flights(s)
            async with trio.open_nursery() as nursery:
                for i, patience in enumerate((1, END, 2, END)):
                    nursery.start_soon(self.call, i, patience)
                with interrupt:
                    while len(self.fates) < 4:
                        try:
                            await trio.sleep(1)
                        except KeyboardInterrupt:
                            continue
            assert len(table) == 0, "the table ends empty"
            assert s.statistics().open == 0
        assert s.ended

    async def call(self, i, patience):
        try:
            with trio.move_on_after(patience):
                self.fates[i] = await share(self.session, "x", self.fetch)
        except (KeyboardInterrupt, PeerFailed) as error:
            self.fates[i] = error
        self.fates.setdefault(i, "gave up")

    async def fetch(self):
        await trio.sleep(2)
        if self.fails:
            raise PeerFailed("no", peer="http://a.example")
        return "value"


@pytest.mark.parametrize("fails", [False, True])
def test_an_interrupt_in_a_shared_fetch_is_one_callers(play, fails):
    """Whoever is interrupted, the others get what they came for, and none sleeps for ever."""
    crowd = None

    async def main(interrupt):
        nonlocal crowd
        crowd = Crowd(fails)
        await crowd.main(interrupt)

    for line, error in interrupted(play, main):
        assert error is None, f"line {line}: {error!r}"
        fates = [type(fate) if isinstance(fate, BaseException) else fate for fate in crowd.fates.values()]
        assert fates.count(KeyboardInterrupt) <= 1
        got = PeerFailed if fails else "value"
        assert set(fates) <= {got, "gave up", KeyboardInterrupt}, f"line {line}"
        assert fates.count(got) >= 1, f"line {line}"


class Scopes:
    """A session, a guest of it and a fork, each with something that has to be closed."""

    def __init__(self):
        self.begun, self.made, self.closed = [], [], []
        self.slot = Slot("interrupted", make=self.make, end=self.closed.append)

    def make(self, s):
        self.made.append(s)
        return s

    def note(self, s):
        self.begun.append(s)
        self.slot.of(s)

    def check(self):
        assert session.current(None) is None, "nothing stays bound"
        assert all(s.ended for s in self.begun)
        assert sorted(map(id, self.closed)) == sorted(map(id, self.made)), "whatever was made is closed, once"
        assert not any(s.statistics().open for s in self.begun)

    async def plain(self):
        with session.begin(["http://a.example"]) as s:
            self.note(s)
            with session.begin(), session.fork() as child:
                self.note(child)
                with session.leave(), session.use(child), child.want("x"):
                    await trio.lowlevel.checkpoint()

    async def owning(self):
        async with session.begin() as s:
            self.note(s)
            s.start_soon(self.work, s)
            async with session.begin(), session.fork() as child:
                self.note(child)
                child.start_soon(self.work, child)
                await trio.sleep(1)

    async def work(self, s):
        with s.want("x"):
            await trio.sleep(2)

    async def cancelled(self):
        with session.begin() as s:
            self.note(s)
            with session.fork() as child:
                self.note(child)
                with suppress(SessionEnded), child.want("x"):
                    s.cancel("enough")
                    await trio.sleep_forever()


@pytest.mark.parametrize("kind", ["plain", "owning", "cancelled"])
def test_an_interrupt_around_a_scope_leaves_nothing_bound_and_nothing_open(play, kind):
    """Entering or leaving, the binding is the one before, and what has begun has ended."""
    scopes = None

    async def main(interrupt):
        nonlocal scopes
        scopes = Scopes()
        try:
            with interrupt:
                await getattr(scopes, kind)()
        finally:
            scopes.check()

    for line, error in interrupted(play, main):
        assert only_interrupts(error), f"line {line}: {error!r}"

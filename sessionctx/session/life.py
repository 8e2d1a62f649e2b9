"""The life of a session: the trio run it belongs to, what goes on under it, and its end, once for all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import Protocol

import attrs
import trio

from sessionctx.errors import SessionEnded, SessionError
from sessionctx.session import events
from sessionctx.session.account import Account
from sessionctx.session.want import Want


class Closes(Protocol):
    """What a session needs to know of a slot: how its value ends."""

    def close(self, value: object) -> None:
        """End *value*."""
        ...


@attrs.define(eq=False)
class Life:
    """How one session lives and ends. For the session package; its users have `Session.ended` and `Session.cancel`."""

    name: str
    """Whose life it is, for errors."""
    account: Account
    hooks: events.Hooks
    slots: dict[Closes, object]
    """What has to be closed when it ends."""
    parent: Life | None = None

    ended: str | None = attrs.field(default=None, init=False)
    """Why it has ended, or None while it lives."""
    left: bool = attrs.field(default=False, init=False)
    """Whether its block was left: whoever still has it bound has leaked it."""
    leak_told: bool = attrs.field(default=False, init=False)
    deadline: float = attrs.field(default=inf, init=False)
    """The trio time at which its budget of seconds is spent; infinite without one."""
    nurseries: dict[trio.Nursery, bool] = attrs.field(init=False)
    """All that are open under it, those of guests included, and whether it is the one of the block that owns it."""
    _forks: dict[Life, None] = attrs.field(init=False)
    _wants: dict[Want, None] = attrs.field(init=False)
    _token: trio.lowlevel.TrioToken | None = attrs.field(default=None, init=False)
    _quiet: trio.Event | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.nurseries, self._forks, self._wants = {}, {}, {}
        parent = self.parent
        if parent is not None:
            parent._forks[self] = None
        if trio.lowlevel.in_trio_run() and (parent is None or parent._token is trio.lowlevel.current_trio_token()):
            self._belong()

    # --- its run

    def _belong(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        seconds = self.account.limits.seconds
        if seconds is not None:
            self.deadline = trio.current_time() + seconds
        if self.parent is not None:
            self.deadline = min(self.deadline, self.parent.deadline)

    def _join_run(self) -> None:
        """Bind a session that was begun outside any trio run to this one; refuse the work of other runs."""
        if not trio.lowlevel.in_trio_run():
            raise SessionError(
                f"{self.name}: requests are made from trio tasks. In a worker thread, go back with "
                f"trio.from_thread.run(...); at top level, use trio.run(...)."
            )
        if self._token is trio.lowlevel.current_trio_token():
            return
        if self._token is not None:
            raise SessionError(
                f"{self.name} belongs to another trio run. Begin a session inside this one, or step out "
                f"of the other with 'with session.leave():' before trio.run(...)."
            )
        if self.parent is not None:
            self.parent._join_run()
        self._belong()

    def seconds_left(self) -> float | None:
        """Seconds until its time budget is spent, or None without one."""
        seconds = self.account.limits.seconds
        if seconds is None or self._token is None or not trio.lowlevel.in_trio_run():
            return seconds
        return max(self.deadline - trio.current_time(), 0)

    # --- what goes on under it

    def begin(self, want: Want) -> None:
        """Register *want* so that the end cancels it."""
        self.check_usable()
        self._join_run()
        self._wants[want] = None
        if want.counted:
            self.account.want_begins()

    def settle(self, want: Want, outcome: events.Outcome) -> None:
        """Count *want* as settled."""
        del self._wants[want]
        if not want.counted:
            return
        self.account.settle(outcome)
        life: Life | None = self
        while life is not None:
            if life._quiet is not None and not life.account.open:
                life._quiet.set()
            life = life.parent

    async def quiet(self) -> None:
        """Wait until nothing is in flight under it and its forks. Used on the way out of ``async with``."""
        while self.account.open:
            self._quiet = trio.Event()
            await self._quiet.wait()

    # --- its end

    def check_usable(self) -> None:
        """Raise `SessionEnded` if it has ended."""
        if self.ended is not None:
            raise self.ended_error()

    def ended_error(self) -> SessionEnded:
        """Build the error for use after the end."""
        return SessionEnded(
            f"{self.name} has ended ({self.ended}). If a task outlived its session, open its nursery inside "
            f"'with session.begin():', or start it under 'with session.leave():'."
        )

    @trio.lowlevel.enable_ki_protection  # half an end would be one for ever
    def end(self, reason: str) -> None:
        """End it: the state turns at once, forks end first, slots close in reverse, what is in flight is cancelled.

        Ending twice does nothing. Raises what slots raised while closing, after everything has ended.
        """
        if self.ended is None:
            self._mark_ended(reason or "ended")
            self._in_its_run(self._close)

    def leave(self) -> None:
        """End it because its block is left."""
        self.left = True
        self.end("its block was left")

    def _mark_ended(self, reason: str) -> None:
        self.ended = reason
        for fork in tuple(self._forks):
            if fork.ended is None:
                fork._mark_ended(f"its parent {self.name} ended: {reason}")

    def _in_its_run(self, fn: Callable[[], None]) -> None:
        """Call *fn* where nothing else runs meanwhile: at once, or soon in its trio run when this is another thread."""
        if self._token is not None and not (
            trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token
        ):
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(_logged, fn)
                return
        fn()

    def _close(self) -> None:
        failures = _failures(fork._close for fork in reversed(tuple(self._forks)))
        failures += _failures(partial(slot.close, value) for slot, value in reversed(tuple(self.slots.items())))
        for nursery in self.nurseries:
            nursery.cancel_scope.cancel(reason="the session ended")
        for want in tuple(self._wants):
            want.cancel()
        if self.parent is not None:
            self.parent._forks.pop(self, None)
        if self.hooks and trio.lowlevel.in_trio_run():
            self.hooks.tell(events.Ended(trio.current_time(), self.name, self.ended or ""))
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup(f"{self.name} ended, and parts of it failed to close", failures)


def _failures(closing: Iterable[Callable[[], object]]) -> list[Exception]:
    """Call each, and return what they raised."""
    failures: list[Exception] = []
    for close in closing:
        try:
            close()
        except Exception as error:  # noqa: BLE001  # it is raised when all has ended
            failures.append(error)
    return failures


def _logged(fn: Callable[[], None]) -> None:
    """Call *fn*; there is nobody whom an error could be raised in."""
    for error in _failures([fn]):
        events.log.error("a session was ended from another thread, and parts of it failed to close", exc_info=error)

"""The session itself: its place in the tree, its life, its account, and what hangs on it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import TypeVarTuple

import attrs
import trio

from sessionctx.errors import LimitReached, SessionEnded, SessionError
from sessionctx.session import closing, events
from sessionctx.session.account import Account, Statistics
from sessionctx.session.binding import bound
from sessionctx.session.events import Hook, Hooks, Outcome
from sessionctx.session.limits import Limits, reached, within
from sessionctx.session.seeds import PeerLike, by_address
from sessionctx.session.want import Want

Ts = TypeVarTuple("Ts")


@attrs.define(eq=False, repr=False)
class Session:
    """A peer and request tracker, shared by every task that finds it bound.

    Get one from ``session.begin()`` or ``session.current()``, not by calling this class. Its methods are plain calls
    between checkpoints, so any number of tasks may use it without locks.
    """

    name: str = "session"
    """What it is called in errors, events and reports."""
    limits: Limits = attrs.field(factory=Limits)
    """Its budgets; for a fork the least of its own and what its parent had left when it was forked."""
    parent: Session | None = None
    """The session that it was forked from."""

    ended: str | None = attrs.field(default=None, init=False)
    """Why it has ended, or None while it lives. After that nothing can be requested, statistics can still be read."""
    slots: dict[closing.Closes, object] = attrs.field(factory=dict[closing.Closes, object], init=False)
    """What the layers hung on it; they get at it through their `Slot`."""
    account: Account = attrs.field(init=False)
    """What was wanted, asked and received, held against its limits. For the layers; read it with `statistics`."""
    hooks: Hooks = attrs.field(init=False)
    """Who hears its events. For the layers; listen with `subscribe`."""
    deadline: float = attrs.field(default=float("inf"), init=False)
    """The trio time at which its budget of seconds is spent; infinite without one."""
    nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    """The nursery of the ``async with`` block that owns it."""
    nurseries: dict[trio.Nursery, None] = attrs.field(factory=dict[trio.Nursery, None], init=False)
    """All that are open under it, those of guests included."""

    _peers: dict[str, PeerLike] = attrs.field(factory=dict[str, PeerLike], init=False)
    _forks: dict[Session, None] = attrs.field(factory=dict["Session", None], init=False)
    _wants: dict[Want, None] = attrs.field(factory=dict[Want, None], init=False)
    _token: trio.lowlevel.TrioToken | None = attrs.field(default=None, init=False)
    _left: bool = attrs.field(default=False, init=False)
    _leak_told: bool = attrs.field(default=False, init=False)
    _quiet: trio.Event | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        parent = self.parent
        if parent is not None:
            self.limits = within(self.limits, parent.account.remainder(parent.seconds_left()))
            parent._forks[self] = None
        self.account = Account(self.name, self.limits, None if parent is None else parent.account)
        self.hooks = Hooks(None if parent is None else parent.hooks)
        if trio.lowlevel.in_trio_run() and (parent is None or parent._token is trio.lowlevel.current_trio_token()):
            self._belong()

    def __repr__(self) -> str:
        state = "live" if self.ended is None else f"ended: {self.ended}"
        return f"<Session {self.name!r}, {len(self.peers)} peers, {state}>"

    # --- what it is

    @property
    def root(self) -> Session:
        """The session at the top of its tree; itself when it is no fork."""
        return self if self.parent is None else self.parent.root

    @property
    def peers(self) -> tuple[PeerLike, ...]:
        """The peers it was given, its parent's first, in the order they were given."""
        if self.parent is None:
            return tuple(self._peers.values())
        return tuple(by_address((*self.parent.peers, *self._peers.values())).values())

    def add_peers(self, peers: Iterable[PeerLike]) -> None:
        """Add to its peers; nothing is removed, and one that is known already stays as it is.

        Raises:
            TypeError: one of them is neither a text nor has a ``url``.
        """
        for address, peer in by_address(peers).items():
            self._peers.setdefault(address, peer)

    def statistics(self) -> Statistics:
        """Return its account as a frozen record, the usage of its forks included; works after the end, too."""
        return self.account.statistics()

    def subscribe(self, hook: Hook) -> Callable[[], None]:
        """Call *hook* with each event of this session and its forks; the returned callable stops that.

        Hooks are called at once, in the task where the event happens, and must not block. One that raises is logged
        once and dropped.
        """
        return self.hooks.add(hook)

    def tell(self, kind: Callable[[float, *Ts], events.Event], *fields: *Ts) -> None:
        """Tell whoever listens that an event of this *kind* happens now, with these *fields*. For layers.

        Where nobody listens nothing is built; outside any trio run there is no time to tell it at.
        """
        if self.hooks and trio.lowlevel.in_trio_run():
            self.hooks.tell(kind(trio.current_time(), *fields))

    # --- work under it

    def start_soon(self, async_fn: Callable[[*Ts], Awaitable[object]], *args: *Ts, name: object = None) -> None:
        """Start a child task in the nursery of the innermost ``async with`` block of this session.

        Raises:
            SessionEnded: the session has ended.
            SessionError: there is no nursery; the session was begun with a plain ``with``.
        """
        self._innermost_nursery().start_soon(async_fn, *args, name=name)

    async def start(self, async_fn: Callable[..., Awaitable[object]], *args: object, name: object = None) -> object:
        """Start a child task as `start_soon` does, wait until it calls ``task_status.started(value)``, return value."""
        nursery = self._innermost_nursery()
        result: object = await nursery.start(async_fn, *args, name=name)
        return result

    def _innermost_nursery(self) -> trio.Nursery:
        self.check_usable()
        link = bound.get()
        while link is not None:
            if link.session is self and link.nursery is not None:
                return link.nursery
            link = link.outer
        if self.nursery is None:
            raise SessionError(f"{self.name} has no nursery: begin it with 'async with session.begin() as s:'")
        return self.nursery

    def want(self, name: Hashable, *, counted: bool = True) -> Want:
        """Return the scope of one want: entered around the work of getting *name*, it is counted and can be cancelled.

        With *counted* false it is only cancelled with the session: for work on behalf of wants that are counted.
        Entering raises `SessionEnded`, or `SessionError` outside the session's trio run.
        """
        return Want(self, name, counted=counted)

    # --- its wants; called by Want

    def want_begins(self, want: Want) -> None:
        """Register *want* so that ending the session cancels it."""
        self.check_usable()
        self._join_run()
        self._wants[want] = None
        if want.counted:
            self.account.want_begins()

    def want_ends(self, want: Want, outcome: Outcome) -> None:
        """Count *want* as settled."""
        del self._wants[want]
        if not want.counted:
            return
        self.account.settle(outcome)
        s: Session | None = self
        while s is not None:
            if s._quiet is not None and not s.account.open:
                s._quiet.set()
            s = s.parent

    # --- its life

    def seconds_left(self) -> float | None:
        """Seconds until its time budget is spent, or None without one."""
        if self.limits.seconds is None:
            return None
        if self._token is None or not trio.lowlevel.in_trio_run():
            return self.limits.seconds
        return max(self.deadline - trio.current_time(), 0)

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

    def time_spent(self) -> LimitReached:
        """Build the error for a spent budget of seconds, and tell it."""
        self.tell(events.Spent, "seconds")
        return reached("seconds", self.limits, self.name)

    def cancel(self, reason: str = "cancelled") -> None:
        """End it now, before its block is left: its forks first, then its nursery and every request in flight.

        Requests surface `SessionEnded` in their tasks. Cancelling twice, or after the end, does nothing. May be called
        from any thread.
        """
        self.end(reason)

    @trio.lowlevel.enable_ki_protection  # half an end would be one for ever
    def end(self, reason: str) -> None:
        """End it: the state turns at once, forks end first, slots close in reverse, what is in flight is cancelled.

        Ending twice does nothing. Raises what slots raised while closing, after everything has ended.
        """
        if self.ended is None:
            self._mark_ended(reason or "ended")
            self._in_its_run(self._close)

    def _mark_ended(self, reason: str) -> None:
        self.ended = reason
        for fork in tuple(self._forks):
            if fork.ended is None:
                fork._mark_ended(f"its parent {self.name} ended: {reason}")

    def _close(self) -> None:
        failures: list[Exception] = []
        for fork in reversed(tuple(self._forks)):
            closing.attempt(failures, fork._close)
        for slot, value in reversed(tuple(self.slots.items())):
            closing.attempt(failures, slot.close, value)
        for nursery in self.nurseries:
            nursery.cancel_scope.cancel(reason="the session ended")
        for want in tuple(self._wants):
            want.cancel()
        if self.parent is not None:
            self.parent._forks.pop(self, None)
        self.tell(events.Ended, self.name, self.ended or "")
        closing.raise_all(failures, f"{self.name} ended, and parts of it failed to close")

    def left(self) -> None:
        """Note that its block was left: whoever still has it bound has leaked it."""
        self._left = True

    def check_left(self) -> None:
        """Raise `SessionEnded` if it was cancelled while its block is still open: the block has to wind down."""
        if not self._left:
            raise self.ended_error()

    def tell_leak_once(self) -> bool:
        """Whether this is the first leak of it to be told."""
        first = not self._leak_told
        self._leak_told = True
        return first

    async def quiet(self) -> None:
        """Wait until nothing is in flight under it and its forks. Used on the way out of ``async with``."""
        while self.account.open:
            self._quiet = trio.Event()
            await self._quiet.wait()

    def _in_its_run(self, fn: Callable[[], None]) -> None:
        """Call *fn* where nothing else runs meanwhile: at once, or soon in its trio run when this is another thread."""
        if self._token is not None and not (
            trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token
        ):
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(closing.logged, fn)
                return
        fn()

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

    def _belong(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if self.limits.seconds is not None:
            self.deadline = trio.current_time() + self.limits.seconds
        if self.parent is not None:
            self.deadline = min(self.deadline, self.parent.deadline)

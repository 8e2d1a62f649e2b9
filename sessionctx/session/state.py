"""The session itself: its place in the tree, its peers, what it tells, and the work that is done under it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import TypeVarTuple

import attrs
import trio

from sessionctx.errors import SessionError
from sessionctx.session.account import Account, Statistics
from sessionctx.session.binding import bound
from sessionctx.session.events import Event, Hook, Hooks, Subscription
from sessionctx.session.life import Closes, Life
from sessionctx.session.limits import Limits, within
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

    account: Account = attrs.field(init=False)
    """For layers: what was wanted, asked and received, held against its limits. Users read it with `statistics`."""
    hooks: Hooks = attrs.field(init=False)
    """For layers: who hears its events. Users listen with `subscribe`."""
    slots: dict[Closes, object] = attrs.field(init=False)
    """For layers: what they hung on it; they get at it through their `Slot`."""
    life: Life = attrs.field(init=False)
    """For the session package itself."""
    _peers: dict[str, PeerLike] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.slots, self._peers = {}, {}
        parent = self.parent
        if parent is None:
            self.account = Account(self.name, self.limits)
            self.hooks = Hooks()
            self.life = Life(self.name, self.account, self.hooks, self.slots)
        else:
            self.limits = within(self.limits, parent.account.remainder(parent.life.seconds_left()))
            self.account = Account(self.name, self.limits, parent.account)
            self.hooks = Hooks(parent.hooks)
            self.life = Life(self.name, self.account, self.hooks, self.slots, parent.life)

    def __repr__(self) -> str:
        state = "live" if self.ended is None else f"ended: {self.ended}"
        return f"<Session {self.name!r}, {len(self.peers)} peers, {state}>"

    # --- for users

    @property
    def ended(self) -> str | None:
        """Why it has ended, or None while it lives. After that nothing can be requested, statistics can be read."""
        return self.life.ended

    @property
    def nursery(self) -> trio.Nursery | None:
        """The nursery of the ``async with`` block that owns it, while that is open."""
        return next((nursery for nursery, owns in self.life.nurseries.items() if owns), None)

    @property
    def root(self) -> Session:
        """The session at the top of its tree; itself when it is no fork."""
        return self if self.parent is None else self.parent.root

    @property
    def peers(self) -> tuple[PeerLike, ...]:
        """The peers it was given, its parent's first, in the order and form in which they were given.

        That includes credentials in their addresses; to show peers, take ``sessionctx.peers.statistics(s)``.
        """
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

    def subscribe(self, hook: Hook) -> Subscription:
        """Call *hook* with each event of this session and its forks, until what this returns is called or left::

            with s.subscribe(print):
                await node.files.export(cid, "./out")

        Hooks are called at once, in the task where the event happens, and must not block. One that raises is logged
        once and dropped.
        """
        return self.hooks.add(hook)

    def cancel(self, reason: str = "cancelled") -> None:
        """End it now, before its block is left: its forks first, then its nursery and every request in flight.

        Requests surface `SessionEnded` in their tasks. Cancelling twice, or after the end, does nothing. May be called
        from any thread. Raises what layers raised while closing, after everything has ended.
        """
        self.life.end(reason)

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
        self.life.check_usable()
        link = bound.get()
        while link is not None:
            if link.session is self and link.nursery is not None:
                return link.nursery
            link = link.outer
        nursery = self.nursery
        if nursery is None:
            raise SessionError(f"{self.name} has no nursery: begin it with 'async with session.begin() as s:'")
        return nursery

    # --- for layers

    def want(self, name: Hashable, *, counted: bool = True) -> Want:
        """Return the scope of one want: entered around the work of getting *name*, it is counted and can be cancelled.

        With *counted* false it is only cancelled with the session: for work on behalf of wants that are counted.
        Entering raises `SessionEnded`, or `SessionError` outside the session's trio run.
        """
        return Want(self, name, counted=counted)

    def tell(self, kind: Callable[[float, *Ts], Event], *fields: *Ts) -> None:
        """Tell whoever listens that an event of this *kind* happens now, with these *fields*.

        Where nobody listens nothing is built; outside any trio run there is no time to tell it at.
        """
        if self.hooks and trio.lowlevel.in_trio_run():
            self.hooks.tell(kind(trio.current_time(), *fields))

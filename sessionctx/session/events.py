"""What a session tells about its work: one stream of small frozen events, and the hooks that hear it.

Wants are told by `Wanted`, `Joined` and `Settled`; requests to peers by `Asked` and exactly one of `Answered`,
`Refused`, `Failed`, `Lied` or `Dropped`. Peers appear in their public form, so an event never carries a secret.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Literal, Self, TypeAlias

import attrs

Outcome: TypeAlias = Literal["found", "missing", "failed", "cancelled"]
"""How a want ends; each want ends in exactly one of these."""

What: TypeAlias = Literal["block", "car", "file"]
"""What a request is for: the block called so, a CAR of it and of what hangs below, or (some of) a file in a storage."""

log = logging.getLogger("sessionctx.session")


@attrs.frozen
class Event:
    """Something that happened, at a monotonic time in seconds (``trio.current_time()``)."""

    at: float


@attrs.frozen
class Wanted(Event):
    """Somebody wants the thing called *name*."""

    name: Hashable


@attrs.frozen
class Joined(Event):
    """A want found its name in flight already, and shares that fetch."""

    name: Hashable


@attrs.frozen
class Settled(Event):
    """A want ended."""

    name: Hashable
    outcome: Outcome


@attrs.frozen
class Asked(Event):
    """A request for *name* was sent to *peer*."""

    peer: str
    name: Hashable
    what: What = "block"


@attrs.frozen
class Hedged(Event):
    """The request for *name* that is sent to *peer* next doubles one that is late elsewhere."""

    peer: str
    name: Hashable
    what: What = "block"


@attrs.frozen
class Answered(Event):
    """*peer* sent *bytes* bytes that match *name*, *seconds* after it was asked; of a CAR, those of blocks of use."""

    peer: str
    name: Hashable
    bytes: int
    seconds: float
    what: What = "block"


@attrs.frozen
class Refused(Event):
    """*peer* says that it does not have *name*, or will not give it."""

    peer: str
    name: Hashable
    reason: str
    what: What = "block"


@attrs.frozen
class Failed(Event):
    """*peer* could not answer."""

    peer: str
    name: Hashable
    reason: str
    what: What = "block"


@attrs.frozen
class Lied(Event):
    """*peer* sent bytes that do not match *name*; no session of this trio run asks it any more."""

    peer: str
    name: Hashable
    reason: str
    what: What = "block"


@attrs.frozen
class Dropped(Event):
    """A request was no longer needed and was cancelled: somebody else was faster, or nobody wants it any more."""

    peer: str
    name: Hashable
    bytes: int
    what: What = "block"


@attrs.frozen
class Rested(Event):
    """*peer* is left alone for *seconds* seconds."""

    peer: str
    seconds: float
    reason: str


@attrs.frozen
class Searched(Event):
    """*router* was asked who has *name*, and brought so many new *peers*; *error* says what went wrong, if anything."""

    router: str
    name: Hashable
    peers: int
    error: str


@attrs.frozen
class Spent(Event):
    """The budget called *limit* is used up."""

    limit: str


@attrs.frozen
class Ended(Event):
    """The session called *session* ended: nothing new follows from it, only how what was in flight comes to its end."""

    session: str
    reason: str


Hook: TypeAlias = Callable[[Event], object]


@attrs.frozen(eq=False)
class Subscription:
    """What `Session.subscribe` returns: call it, or leave its ``with`` block, to hear no more. Twice does no harm."""

    _hooks: Hooks

    def __call__(self) -> None:
        """End it."""
        self._hooks.drop(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self()


@attrs.define(eq=False)
class Hooks:
    """The callables that hear a session's events, and its parent's. One that raises is logged once and dropped."""

    parent: Hooks | None = None
    _hooks: dict[Subscription, Hook] = attrs.field(factory=dict["Subscription", Hook], init=False)

    def __bool__(self) -> bool:
        """Whether anybody listens; spares building events when nobody does."""
        return True if self._hooks else self.parent is not None and bool(self.parent)

    def add(self, hook: Hook) -> Subscription:
        """Call *hook* with every event from now on, until what is returned is called or left."""
        subscription = Subscription(self)
        self._hooks[subscription] = hook
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Call the hook of *subscription* no more."""
        self._hooks.pop(subscription, None)

    def tell(self, event: Event) -> None:
        """Hand *event* to every hook, those of the parent last."""
        for subscription, hook in tuple(self._hooks.items()):
            try:
                hook(event)
            except Exception:
                log.exception("a session hook raised and was dropped: %r", hook)
                self.drop(subscription)
        if self.parent is not None:
            self.parent.tell(event)

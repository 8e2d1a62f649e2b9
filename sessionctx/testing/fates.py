"""What can become of a request to a simulated peer: faults that compose, each a plain function.

::

    network.peer("a", faults=[busy(until=2.0, retry_after=2), lying(0.01), stalling(after=100_000, share=0.1)])

A fault is called once for each request, with what was `Asked` and with its `Fate`, which it changes; it decides by the
request's own dice and by the time. Anybody's function of that form is one. Shares are from 0 to 1; times are seconds,
those of day count from the first request to the network.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal, TypeAlias

import attrs

from sessionctx.content import CID
from sessionctx.errors import BadAnswer, Busy, PeerError, PeerFailed, Unreachable

__all__ = [
    "Asked",
    "Fate",
    "Fault",
    "busy",
    "churning",
    "crowded",
    "during",
    "failing",
    "late",
    "losing",
    "lying",
    "raising",
    "refusing",
    "resetting",
    "stalling",
    "truncating",
    "without_cars",
]

INF = float("inf")


@attrs.frozen
class Asked:
    """One request, as its peer sees it."""

    what: Literal["block", "car"]
    cid: CID
    number: int
    """The how manieth request to this peer it is, from 0."""
    at: float
    """Seconds since the first request to the network."""
    in_flight: int
    """Requests that this peer has now, with this one."""
    random: Random = attrs.field(repr=False)
    """Its dice: the n-th request for one name to one peer has always the same."""


@attrs.define
class Fate:
    """What will become of a request. The default: it is answered."""

    error: PeerError | None = None
    """Raised instead of an answer, a latency after the question."""
    delay: float = 0.0
    """Seconds that the answer is late."""
    lost: bool = False
    """Whether nothing comes, not even the head of an answer."""
    silent_after: int | None = None
    """After how many bytes of the body nothing comes any more..."""
    silent_for: float = INF
    """... for how many seconds."""
    cut_after: int | None = None
    """After how many bytes of the body the answer ends."""
    cut_quietly: bool = False
    """Whether a CAR that is cut seems to end as it should."""
    reset_after: int | None = None
    """After how many bytes of the body the connection breaks."""
    gone_at: float = INF
    """When the peer goes away, and the connection with it."""
    lies: float = 0.0
    """The chance of each block in the answer to be wrong."""


Fault: TypeAlias = Callable[[Asked, Fate], None]


def lying(share: float = 1.0) -> Fault:
    """A *share* of the blocks it sends has a wrong byte."""

    def fault(_: Asked, fate: Fate) -> None:
        fate.lies = max(fate.lies, share)

    return fault


def losing(share: float = 1.0) -> Fault:
    """A *share* of the requests is never answered."""
    return _of(share, lambda fate: setattr(fate, "lost", True))


def resetting(share: float = 1.0, *, after: int = 0) -> Fault:
    """On a *share* of the requests, the connection breaks *after* so many bytes of the body."""
    return _of(share, lambda fate: setattr(fate, "reset_after", after))


def stalling(share: float = 1.0, *, after: int = 0, seconds: float = INF) -> Fault:
    """A *share* of the answers stops *after* so many bytes, for so many *seconds*, then goes on; default: for ever."""

    def change(fate: Fate) -> None:
        fate.silent_after, fate.silent_for = after, seconds

    return _of(share, change)


def truncating(share: float = 1.0, *, after: int = 0, quietly: bool = False) -> Fault:
    """A *share* of the answers ends *after* so many bytes.

    It is `PeerFailed` for a block and `CarTruncated` for a CAR; a CAR that ends *quietly* seems to be whole.
    """

    def change(fate: Fate) -> None:
        fate.cut_after, fate.cut_quietly = after, quietly

    return _of(share, change)


def late(share: float = 1.0, *, seconds: float) -> Fault:
    """A *share* of the answers begins so many *seconds* later than usual."""

    def change(fate: Fate) -> None:
        fate.delay += seconds

    return _of(share, change)


def failing(share: float = 1.0) -> Fault:
    """A *share* of the requests is answered with an internal error (500)."""
    return _of(share, lambda fate: _say(fate, PeerFailed("failed (500)")))


def raising(error: Callable[[int], PeerError | None]) -> Fault:
    """Each request comes to what *error* returns for its number, from 0: an error, or ``None`` for an answer."""

    def fault(asked: Asked, fate: Fate) -> None:
        if (found := error(asked.number)) is not None:
            _say(fate, found)

    return fault


def refusing(share: float = 1.0) -> Fault:
    """A *share* of the requests gets no connection."""
    return _of(share, lambda fate: _say(fate, Unreachable("refuses connections")))


def busy(share: float = 1.0, *, retry_after: float | None = None) -> Fault:
    """A *share* of the requests is sent away (429), to come back *retry_after* seconds later, if it says when."""
    return _of(share, lambda fate: _say(fate, _busy(retry_after)))


def crowded(most: int, *, retry_after: float | None = None) -> Fault:
    """Requests above *most* at a time are sent away (429), as with `busy`."""

    def fault(asked: Asked, fate: Fate) -> None:
        if asked.in_flight > most:
            _say(fate, _busy(retry_after))

    return fault


def without_cars() -> Fault:
    """It serves no CARs, and says so only when it is asked for one: `BadAnswer`, as a gateway's 406 is."""

    def fault(asked: Asked, fate: Fate) -> None:
        if asked.what == "car":
            _say(fate, BadAnswer("answered 406: it sends no CARs"))

    return fault


def churning(*, joins: float = 0.0, leaves: float = INF) -> Fault:
    """It can be reached from the time it *joins* until it *leaves*, which breaks what is under way."""

    def fault(asked: Asked, fate: Fate) -> None:
        if joins <= asked.at < leaves:
            fate.gone_at = min(fate.gone_at, leaves)
        else:
            _say(fate, Unreachable("is not there"))

    return fault


def during(fault: Fault, *, since: float = 0.0, until: float = INF) -> Fault:
    """Apply *fault* to the requests that are sent from *since* on, before *until*."""

    def timed(asked: Asked, fate: Fate) -> None:
        if since <= asked.at < until:
            fault(asked, fate)

    return timed


def _of(share: float, change: Callable[[Fate], object]) -> Fault:
    def fault(asked: Asked, fate: Fate) -> None:
        if share >= 1.0 or asked.random.random() < share:
            change(fate)

    return fault


def _say(fate: Fate, error: PeerError) -> None:
    """Answer with *error*, unless an earlier fault has something to say already."""
    fate.error = fate.error or error


def _busy(retry_after: float | None) -> Busy:
    when = "" if retry_after is None else f"; it asks to wait {retry_after:g} s"
    return Busy(f"is busy (429){when}", retry_after=retry_after)

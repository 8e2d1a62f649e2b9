"""Quarantine: a peer that lied to one session is asked by no other in the same trio run, until it is pardoned.

A session may be a single call; a liar that each of them has to find out by itself would cost each of them a lie.
"""

from __future__ import annotations

import logging
from typing import Protocol
from weakref import WeakSet

import attrs
import trio

from sessionctx.peers import Peer
from sessionctx.transports import normalised

log = logging.getLogger("sessionctx.fetch")


@attrs.frozen
class Quarantined:
    """A peer that nobody asks any more."""

    url: str
    """Its address without credentials."""
    reason: str
    since: float
    """When it lied, in trio's time (``trio.current_time()``)."""


class Shuns(Protocol):
    """Somebody who asks peers."""

    def shun(self, liar: Peer, reason: str) -> None:
        """Ask *liar* no more."""
        ...


@attrs.define(eq=False)
class _Quarantine:
    """That of one trio run."""

    liars: dict[str, Quarantined] = attrs.field(factory=dict[str, Quarantined])
    """By address, which may hold credentials."""
    told: WeakSet[Shuns] = attrs.field(factory=WeakSet["Shuns"])
    """Who may have met a liar before it lied."""


_QUARANTINE: trio.lowlevel.RunVar[_Quarantine] = trio.lowlevel.RunVar("sessionctx.quarantine")


def quarantine(peer: Peer, reason: str) -> None:
    """Let no session of this trio run ask *peer* from now on, and say so."""
    here = _here()
    if peer.address not in here.liars:
        here.liars[peer.address] = Quarantined(peer.public, reason, trio.current_time())
        for other in tuple(here.told):
            other.shun(peer, reason)
        log.warning(
            "%s is not asked any more: %s. Remove it from your peers, or fix it and call sessionctx.fetch.pardon(url)",
            peer.public,
            reason,
        )


def tell_of_liars(asker: Shuns) -> None:
    """Let *asker* know of each peer that is quarantined from now on, as long as it lives."""
    _here().told.add(asker)


def in_quarantine(peer: Peer) -> Quarantined | None:
    """Return why *peer* is not asked any more, if it is not."""
    return _here().liars.get(peer.address)


def quarantined() -> tuple[Quarantined, ...]:
    """Return the peers that lied in this trio run, the first one first. They are asked by no session any more."""
    return tuple(_here().liars.values())


def pardon(url: str) -> None:
    """Let sessions that begin from now on ask the peer at *url* again (its address, with or without credentials).

    Raises:
        LookupError: it is not in quarantine.
        InvalidPeer: *url* is no address.
    """
    liars, same = _here().liars, normalised(url)
    found = [address for address, liar in liars.items() if same in (address, liar.url)]
    if not found:
        raise LookupError(f"that peer is not in quarantine; those that are: {[liar.url for liar in liars.values()]}")
    for address in found:
        del liars[address]


def _here() -> _Quarantine:
    try:
        return _QUARANTINE.get()
    except LookupError:
        here = _Quarantine()
        _QUARANTINE.set(here)
        return here

"""Bans: a peer that lied to one session is asked by no other in the same trio run, until its ban is lifted.

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
class Ban:
    """Why a peer is asked no more."""

    url: str
    """Its address without credentials."""
    reason: str
    since: float
    """When it lied, in trio's time (``trio.current_time()``)."""


class Asker(Protocol):
    """Somebody who asks peers."""

    def was_banned(self, peer: Peer, reason: str) -> None:
        """Ask *peer* no more: it lied to somebody else."""
        ...


@attrs.define(eq=False)
class _Bans:
    """Those of one trio run."""

    bans: dict[str, Ban] = attrs.field(factory=dict[str, Ban])
    """By address, which may hold credentials."""
    told: WeakSet[Asker] = attrs.field(factory=WeakSet["Asker"])
    """Who may have met a peer before it lied."""


_BANS: trio.lowlevel.RunVar[_Bans] = trio.lowlevel.RunVar("sessionctx.bans")


def ban(peer: Peer, reason: str) -> None:
    """Let no session of this trio run ask *peer* from now on, and say so."""
    here = _here()
    if peer.address not in here.bans:
        here.bans[peer.address] = Ban(peer.public, reason, trio.current_time())
        for other in tuple(here.told):
            other.was_banned(peer, reason)
        log.warning(
            "%s is not asked any more: %s. Remove it from your peers, or fix it and call sessionctx.fetch.unban(url)",
            peer.public,
            reason,
        )


def tell_of_bans(asker: Asker) -> None:
    """Let *asker* know of each peer that is banned from now on, as long as it lives."""
    _here().told.add(asker)


def ban_of(peer: Peer) -> Ban | None:
    """Return why *peer* is not asked any more, if it is not."""
    return _here().bans.get(peer.address)


def banned() -> tuple[Ban, ...]:
    """Return the bans of peers that lied in this trio run, the first one first. No session asks them any more."""
    return tuple(_here().bans.values())


def unban(url: str) -> None:
    """Let sessions that begin from now on ask the peer at *url* again (its address, with or without credentials).

    Raises:
        LookupError: it is not banned.
        InvalidPeer: *url* is no address.
    """
    bans, same = _here().bans, normalised(url)
    found = [address for address, each in bans.items() if same in (address, each.url)]
    if not found:
        raise LookupError(f"that peer is not banned; those that are: {[each.url for each in bans.values()]}")
    for address in found:
        del bans[address]


def _here() -> _Bans:
    try:
        return _BANS.get()
    except LookupError:
        here = _Bans()
        _BANS.set(here)
        return here

"""Quarantine: a peer that lied to one session is asked by no other in the same trio run, until it is pardoned.

A session may be a single call; a liar that each of them has to find out by itself would cost each of them a lie.
"""

from __future__ import annotations

import logging

import attrs
import trio

from sessionctx.peers import Peer

log = logging.getLogger("sessionctx.fetch")


@attrs.frozen
class Quarantined:
    """A peer that nobody asks any more."""

    url: str
    """Its address without credentials."""
    reason: str
    since: float
    """When it lied, in trio's time (``trio.current_time()``)."""


_LIARS: trio.lowlevel.RunVar[dict[str, Quarantined]] = trio.lowlevel.RunVar("sessionctx.quarantine")


def quarantine(peer: Peer, reason: str) -> None:
    """Let no session of this trio run ask *peer* from now on, and say so."""
    liars = _liars()
    if peer.address not in liars:
        liars[peer.address] = Quarantined(peer.public, reason, trio.current_time())
        log.warning(
            "%s is not asked any more: %s. Remove it from your peers, or fix it and call sessionctx.fetch.pardon(url)",
            peer.public,
            reason,
        )


def in_quarantine(peer: Peer) -> Quarantined | None:
    """Return why *peer* is not asked any more, if it is not."""
    return _liars().get(peer.address)


def quarantined() -> tuple[Quarantined, ...]:
    """Return the peers that lied in this trio run, the first one first. They are asked by no session any more."""
    return tuple(_liars().values())


def pardon(url: str) -> None:
    """Let sessions that begin from now on ask the peer at *url* again (its address, with or without credentials).

    Raises:
        LookupError: it is not in quarantine.
    """
    liars = _liars()
    found = [address for address, liar in liars.items() if url.rstrip("/") in (address, liar.url)]
    if not found:
        raise LookupError(f"{url!r} is not in quarantine; those that are: {[liar.url for liar in liars.values()]}")
    for address in found:
        del liars[address]


def _liars() -> dict[str, Quarantined]:
    try:
        return _LIARS.get()
    except LookupError:
        liars: dict[str, Quarantined] = {}
        _LIARS.set(liars)
        return liars

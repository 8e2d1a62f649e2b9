"""Meeting peers: a session's addresses become transports to ask, records to judge by, and places in the pool."""

from __future__ import annotations

from collections.abc import KeysView
from statistics import median
from typing import Final, cast

import attrs

from sessionctx.fetch.bans import ban_of
from sessionctx.fetch.pool import Pool
from sessionctx.fetch.priors import Priors
from sessionctx.fetch.stripe import SMALL, small_block
from sessionctx.peers import Ledger, Peer, Record
from sessionctx.session import HasUrl, Session
from sessionctx.transports import Transport, open_transport

USUAL_IN_FLIGHT: Final = 8
"""Requests on one line, when it is full of small blocks."""


@attrs.define(eq=False)
class Acquaintances:
    """The peers that one session has met, and how to ask each of them."""

    _session: Session
    _ledger: Ledger
    _pool: Pool
    _transports: dict[Record, Transport] = attrs.field(factory=dict[Record, Transport], init=False)
    priors: list[Priors] = attrs.field(factory=list[Priors], init=False)
    """What the nodes that are used in the session know of peers from before."""
    _known: set[str] = attrs.field(factory=set[str], init=False, repr=False)

    @property
    def records(self) -> KeysView[Record]:
        """Their records, in the order in which they were met."""
        return self._transports.keys()

    def transport(self, record: Record) -> Transport:
        """Return how to ask the peer of *record*."""
        return self._transports[record]

    @property
    def complete(self) -> bool:
        """Whether every peer of the session has been met."""
        return len(self._known) >= len(self._session.peers)

    def meet(self) -> bool:
        """Meet the peers that the session has got since the last look; return whether there were any.

        Raises:
            InvalidPeer: an address is none.
            TypeError: something is no peer.
        """
        if self.complete:
            return False
        for peer in self._session.peers:
            key = peer if isinstance(peer, str) else peer.url
            if key not in self._known:
                self.welcome(open_transport(peer) if isinstance(peer, str) else _own_transport(peer))
                self._known.add(key)
        return True

    def welcome(self, transport: Transport) -> Record:
        """Take in a peer by the transport that asks it; one that lied before is known for that."""
        peer = Peer(transport.url, transport.public, transport.can.best_in_flight, transport.endpoint)
        record = self._ledger.add(peer)
        if not transport.can.car:
            record.cars = False
        if (ban := ban_of(peer)) is not None:
            record.ban(ban.reason)
        for priors in self.priors:
            priors.recall(record)
        self._transports.setdefault(record, transport)
        self._pool.add(record)
        return record

    def remember(self, priors: Priors) -> None:
        """Begin from what *priors* say of peers that are not proven yet, and tell it what was learnt in the end."""
        if priors not in self.priors:
            self.priors.append(priors)
            priors.attach(self)
            for record in self._transports:
                priors.recall(record)
                record.line.changed()

    def was_banned(self, peer: Peer, reason: str) -> bool:
        """Ask *peer* no more, which lied to somebody else; return whether it was a peer here."""
        found = [record for record in self._transports if record.peer.address == peer.address]
        for record in found:
            record.ban(reason)
            record.line.changed()
        return bool(found)

    def may_carry(self) -> bool:
        """Whether any peer may send a CAR, as far as is known."""
        return not self.complete or any(record.cars is not False for record in self._transports)

    def small_block(self) -> float:
        """Return how many bytes a block must have, for round trips not to be what takes the time."""
        known = [(record.nearest, record.rate) for record in self._transports if record.nearest and record.rate]
        return median(small_block(*each, USUAL_IN_FLIGHT) for each in known) if known else SMALL


def _own_transport(peer: HasUrl) -> Transport:
    missing = [name for name in ("public", "endpoint", "can", "block") if not hasattr(peer, name)]
    if missing:
        lacks = ", ".join(missing)
        raise TypeError(f"{peer!r} has a url but no {lacks}: see sessionctx.transports.Transport; or give its address")
    return cast("Transport", peer)

"""The ledger of a session: a record per peer, which a fork begins with and adds to in the end. Pure."""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from sessionctx.peers.health import Health, after
from sessionctx.peers.line import Line
from sessionctx.peers.peer import Peer
from sessionctx.peers.record import INHERITED, PeerStatistics, Record
from sessionctx.session import Session, Slot


@attrs.define(eq=False)
class Ledger:
    """What a session knows of its peers. A fork's ledger is a child: it starts from what its parent knows."""

    parent: Ledger | None = None
    _records: dict[str, Record] = attrs.field(factory=dict[str, Record], init=False, repr=False)
    """By address, which may hold credentials."""
    _behind: dict[Hashable, list[Record]] = attrs.field(factory=dict[Hashable, list[Record]], init=False, repr=False)
    """By endpoint."""

    def add(self, peer: Peer) -> Record:
        """Return the record of *peer*, made if need be."""
        record = self._records.get(peer.address)
        if record is None:
            above = None if self.parent is None else self.parent.add(peer)
            neighbours = self._behind.setdefault(peer.endpoint, [])
            line = above.line if above is not None else neighbours[0].line if neighbours else Line()
            record = self._records[peer.address] = Record(peer, above, line, neighbours)
            if above is not None:
                _inherit(record, above)
        return record

    def records(self) -> tuple[Record, ...]:
        """Return all records, in the order in which their peers were added."""
        return tuple(self._records.values())

    def statistics(self) -> tuple[PeerStatistics, ...]:
        """Return a frozen snapshot of each record."""
        return tuple(record.statistics() for record in self._records.values())

    def child(self) -> Ledger:
        """Return the ledger of a fork."""
        return Ledger(self)

    def fold(self) -> None:
        """Tell the parent, at reduced weight, what was learnt; a lie and a plain no are facts and count in full."""
        for record in self._records.values():
            if record.above is not None:
                _fold(record, record.above)


def _inherit(record: Record, above: Record) -> None:
    for name, _ in INHERITED:
        setattr(record, name, getattr(above, name))


def _fold(record: Record, above: Record) -> None:
    if record.health is Health.BANNED:
        above.ban(record.reason or "it lied in a fork")
    for name in record.absent:
        above.forget_me_not(name)
    if record.asked:
        for name, fold in INHERITED:
            if fold is not None:
                setattr(above, name, fold(getattr(above, name), getattr(record, name)))
        if above.health is Health.FRESH and record.health is Health.GOOD:
            above.health = after(above.health, "answered")


LEDGER: Slot[Ledger] = Slot("peers", make=lambda _: Ledger(), fork=Ledger.child, end=Ledger.fold)


def statistics(s: Session) -> tuple[PeerStatistics, ...]:
    """Return what session *s* knows of each peer it has dealt with; works after its end, too."""
    return LEDGER.of(s).statistics() if LEDGER in s.slots or s.ended is None else ()

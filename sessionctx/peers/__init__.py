"""Who can be asked, and what they did: a ledger per session, scores, and the requests on their way. Pure arithmetic."""

from __future__ import annotations

from sessionctx.peers.ask import Ask
from sessionctx.peers.health import AFTER, Health
from sessionctx.peers.ledger import LEDGER, Ledger, statistics
from sessionctx.peers.line import Line
from sessionctx.peers.peer import Peer
from sessionctx.peers.priors import Prior, from_json, learnt, merged, recall, to_json
from sessionctx.peers.record import PeerStatistics, Record
from sessionctx.peers.score import Outlook, Typical, outlook, typical

__all__ = [
    "AFTER",
    "LEDGER",
    "Ask",
    "Health",
    "Ledger",
    "Line",
    "Outlook",
    "Peer",
    "PeerStatistics",
    "Prior",
    "Record",
    "Typical",
    "from_json",
    "learnt",
    "merged",
    "outlook",
    "recall",
    "statistics",
    "to_json",
    "typical",
]

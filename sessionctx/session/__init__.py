"""The session: a peer and request tracker that every layer finds by itself, in one context variable.

::

    with session.begin():                  join the current session, or begin one
    with session.begin(peers=[...]):       joining: peers are added
    with session.fork(limits=...):         a new session that knows what its parent knew
    with session.leave():                  no session in this block, nor in tasks started from it
    with session.use(s):                   bind a session you hold
    session.current()                      the session; NoSession or SessionEnded otherwise
    async with session.begin() as s:       the same as with, and a nursery: s.start_soon(fn, ...)

Layers hang their state on it with `Slot`, share work with `share`, and mark their public functions with `operation`.
"""

from __future__ import annotations

from sessionctx.session import events
from sessionctx.session.account import Account, Statistics
from sessionctx.session.flights import share
from sessionctx.session.limits import Limits
from sessionctx.session.operation import operation
from sessionctx.session.scope import OwningScope, Scope
from sessionctx.session.seeds import HasUrl, PeerLike, by_address
from sessionctx.session.slots import Slot
from sessionctx.session.state import Session
from sessionctx.session.trio_only import require_trio
from sessionctx.session.verbs import begin, current, fork, leave, use
from sessionctx.session.want import Want

__all__ = [
    "Account",
    "HasUrl",
    "Limits",
    "OwningScope",
    "PeerLike",
    "Scope",
    "Session",
    "Slot",
    "Statistics",
    "Want",
    "begin",
    "by_address",
    "current",
    "events",
    "fork",
    "leave",
    "operation",
    "require_trio",
    "share",
    "use",
]

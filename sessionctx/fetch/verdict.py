"""The verdict on a want that nobody served: an error that lists each peer and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable

from sessionctx.errors import (
    BlockNotFound,
    Denied,
    FetchFailed,
    Lied,
    NoPeers,
    NotFound,
    NotHere,
    PeerError,
    PeerFailed,
)
from sessionctx.fetch.job import Job
from sessionctx.peers import Health, Record


def verdict(job: Job, name: str, records: Collection[Record], now: float) -> NotFound | FetchFailed:
    """Return the error for *job*, called *name*, which none of the peers in *records* has served."""
    if not records:
        return NoPeers(
            f"{name} is not in the store, and there is nobody to ask: give the address of a gateway "
            f"(session.begin(peers=[...]), Node.open(peers=[...]), --peer), "
            f"or of a router that knows some (Node.open(routers=[...]), --router)"
        )
    said = [(record.peer.public, job.errors.get(record) or _standing(record, job.name)) for record in records]
    listed = "".join(f"\n  {peer}: {reason}" for peer, reason in said)
    reasons: dict[str, Exception] = {}
    for peer, reason in said:  # two may differ in what is not public
        reasons[peer if peer not in reasons else f"{peer} ({len(reasons) + 1})"] = reason
    if all(isinstance(reason, NotHere | Denied) for _, reason in said):
        return BlockNotFound(f"no peer has {name}:{listed}", reasons=reasons)
    error = FetchFailed(f"no peer could serve {name}:{listed}", reasons=reasons)
    error.personal = any(job.in_a_hurry(record, now) for record in records)
    return error


def _standing(record: Record, name: Hashable) -> PeerError:
    """Why a peer was not asked for this want: what it did before."""
    public = record.peer.public
    if record.health is Health.BANNED:
        return Lied(record.reason or f"{public} lied before", peer=public)
    if record.lacks(name):
        return NotHere(f"{public} said before that it does not have it, or will not give it", peer=public)
    return PeerFailed(f"{public} rests, because it failed before: {record.reason}", peer=public)

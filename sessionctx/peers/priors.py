"""Priors: what is remembered of peers from one run to the next, and how it fades. Pure; time is an argument.

A prior is a hint for the first choice, and no verdict: a peer that it is known of is as unproven as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from sys import float_info
from typing import Final, cast

import attrs

from sessionctx.peers.health import Health
from sessionctx.peers.record import LEAST_LATENCY, Record

HALF_LIFE: Final = 86_400.0
"""Seconds in which a prior loses half of its weight."""
FORGOTTEN: Final = 7 * 86_400.0
"""Seconds after which it is forgotten."""
MOST: Final = 1000
"""Peers that are remembered; those that were seen longest ago are forgotten first."""
LATENCIES: Final = (LEAST_LATENCY, 3600.0)
RATES: Final = (1.0, 1e12)
"""What is read must lie within these, so that arithmetic with it stays finite whatever a file says."""


@attrs.frozen
class Prior:
    """What one peer was like when it was seen last."""

    seen: float
    """When, in seconds since 1970."""
    latency: float | None = None
    rate: float | None = None
    success: float = 1.0
    hits: float = 1.0
    cars: bool | None = None

    def weight(self, now: float) -> float:
        """Return how much it still says: 1 when it is fresh, 0 when it is forgotten."""
        age = max(now - self.seen, 0.0)
        return 0.0 if age >= FORGOTTEN else 0.5 ** (age / HALF_LIFE)


def learnt(records: Iterable[Record], now: float, known: Mapping[str, Prior] | None = None) -> dict[str, Prior]:
    """Return what the *records* of peers that were asked say, by public address. *now* is in seconds since 1970.

    A peer that was never heard keeps what is *known* of it, as old as that is, and only loses by its failures. How fast
    a liar was is of no use to anybody.
    """
    found: dict[str, Prior] = {}
    for record in records:
        public = record.peer.public
        if not record.asked or record.health is Health.BANNED:
            continue
        if record.nearest is not None:  # that is never recalled: it was heard
            found[public] = Prior(now, record.median, record.rate, record.success, record.hits, record.cars)
        elif known is not None and public in known:
            old = known[public]
            found[public] = attrs.evolve(old, success=min(old.success, record.success))
    return found


def recall(record: Record, prior: Prior, now: float) -> None:
    """Let an unproven *record* begin from what is remembered of its peer, as far as that has not faded."""
    weight = prior.weight(now)
    if not weight or record.asked:
        return
    if prior.latency is not None and prior.rate is not None:
        # What has faded counts as slower: whoever is known well comes before whoever was known once.
        record.latency = record.median = prior.latency / weight
        record.rate = prior.rate * weight
    record.success = 1.0 - weight * (1.0 - prior.success)
    record.hits = 1.0 - weight * (1.0 - prior.hits)
    if record.cars is None and prior.cars is False:
        record.cars = False if weight > 0.5 else None  # it may have learnt it


def merged(old: Mapping[str, Prior], new: Mapping[str, Prior], now: float) -> dict[str, Prior]:
    """Return both, the later of each peer, without those that are forgotten and at most 1,000.

    What claims to be from the future, because a clock was wrong, counts as the oldest.
    """

    def when(prior: Prior) -> float:
        return prior.seen if prior.seen <= now else 0.0

    both = dict(old)
    for public, prior in new.items():
        if public not in both or when(prior) >= when(both[public]):
            both[public] = prior
    kept = sorted((item for item in both.items() if item[1].weight(now)), key=lambda item: -when(item[1]))
    return dict(kept[:MOST])


def to_json(priors: Mapping[str, Prior]) -> dict[str, object]:
    """Return what is to be written: plain data with a version."""
    return {"version": 1, "peers": {public: attrs.asdict(prior) for public, prior in priors.items()}}


def from_json(data: object) -> dict[str, Prior]:
    """Read what was written; what is none, or of another version, is left out.

    Raises:
        ValueError: it is nothing of the kind.
    """
    whole = _mapping(data)
    peers = _mapping(whole.get("peers")) if whole is not None and whole.get("version") == 1 else None
    if peers is None:
        raise ValueError("it holds no priors of version 1")
    found = {public: _prior(_mapping(fields)) for public, fields in peers.items()}
    return {public: prior for public, prior in found.items() if prior is not None}


def _mapping(value: object) -> Mapping[str, object] | None:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def _prior(fields: Mapping[str, object] | None) -> Prior | None:
    if fields is None:
        return None
    seen = _number(fields.get("seen"), 0.0, inf)
    latency, rate = _number(fields.get("latency"), *LATENCIES), _number(fields.get("rate"), *RATES)
    success, hits = (_number(fields.get(name), 0.0, 1.0) for name in ("success", "hits"))
    cars = fields.get("cars")
    if seen is None or success is None or hits is None:
        return None
    return Prior(seen, latency, rate, success, hits, cars if isinstance(cars, bool) else None)


def _number(value: object, least: float, most: float) -> float | None:
    """Return the number if it is one from *least* to *most*, and finite: an int in JSON may exceed any float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if least <= value <= min(most, float_info.max) else None

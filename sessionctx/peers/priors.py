"""Priors: what is remembered of peers from one run to the next, and how it fades. Pure; time is an argument.

A prior is a hint for the first choice, and no verdict: a peer that it is known of is as unproven as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Final, cast

import attrs

from sessionctx.peers.record import Record

HALF_LIFE: Final = 86_400.0
"""Seconds in which a prior loses half of its weight."""
FORGOTTEN: Final = 7 * 86_400.0
"""Seconds after which it is forgotten."""
MOST: Final = 1000
"""Peers that are remembered; those that were seen longest ago are forgotten first."""


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


def learnt(records: Iterable[Record], now: float) -> dict[str, Prior]:
    """Return what the *records* of peers that were asked say, by public address. *now* is in seconds since 1970."""
    return {
        record.peer.public: Prior(now, record.median, record.rate, record.success, record.hits, record.cars)
        for record in records
        if record.asked and record.median is not None
    }


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
    """Return both, the later of each peer, without those that are forgotten and at most 1,000."""
    both = dict(old)
    for public, prior in new.items():
        if public not in both or prior.seen >= both[public].seen:
            both[public] = prior
    kept = sorted((item for item in both.items() if item[1].weight(now)), key=lambda item: -item[1].seen)
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
    seen, latency, rate = (_positive(fields.get(name)) for name in ("seen", "latency", "rate"))
    success, hits = _share(fields.get("success")), _share(fields.get("hits"))
    cars = fields.get("cars")
    if seen is None or success is None or hits is None:
        return None
    return Prior(seen, latency, rate, success, hits, cars if isinstance(cars, bool) else None)


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _share(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)

"""Which representation a client asked for: ``?format=``, ``Accept``, and the parameters of a CAR. Pure.

Sources: trustless gateway specification; IPIP-412 (order, dups), IPIP-523 (``format`` wins over ``Accept``); RFC 9110,
section 12.5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
SERVED = f"?format=raw ({RAW_TYPE}) and ?format=car ({CAR_TYPE};version=1;order=dfs;dups=y|n)"

Format = Literal["raw", "car"]
_TYPES: dict[str, Format] = {RAW_TYPE: "raw", CAR_TYPE: "car"}


class NotOffered(Exception):
    """The client asks for a representation that this gateway does not serve; the text says which it does."""


@attrs.frozen
class Wanted:
    """A representation that was asked for and is served."""

    format: Format
    dups: bool = False
    """For a CAR: whether a block is sent each time the walk meets it."""


@attrs.frozen
class _Offer:
    """One entry of an ``Accept`` header."""

    type: str
    params: Mapping[str, str]
    quality: float


def negotiate(query: Mapping[str, str], accept: str) -> Wanted:
    """The representation which *query* and the ``Accept`` header ask for.

    Wildcards ask for nothing in particular, so they do not count: this gateway serves only what can be verified.

    Raises:
        NotOffered: nothing that was asked for is served.
    """
    offers = sorted(_parse(accept), key=lambda offer: -offer.quality)
    overrides = {name: query[f"car-{name}"] for name in ("version", "order", "dups") if f"car-{name}" in query}
    wanted = query.get("format")
    if wanted is not None:
        if wanted not in ("raw", "car"):
            raise NotOffered(f"The format {wanted[:40]!r} is not served here; served are {SERVED}.")
        hints = [offer for offer in offers if _TYPES.get(offer.type) == wanted]
        offers = hints or [_Offer(RAW_TYPE if wanted == "raw" else CAR_TYPE, {}, 1)]
    reasons: list[str] = []
    for offer in offers:
        if offer.quality > 0 and offer.type in _TYPES:
            try:
                return _accept(_TYPES[offer.type], {**offer.params, **overrides})
            except NotOffered as refused:
                reasons.append(str(refused))
    raise NotOffered(reasons[0] if reasons else f"Ask for a verifiable format; served are {SERVED}.")


def _accept(wanted: Format, params: Mapping[str, str]) -> Wanted:
    if wanted == "raw":
        return Wanted("raw")
    if params.get("version", "1") != "1":
        raise NotOffered("Only CAR version 1 is served; ask for car-version=1.")
    if params.get("order", "dfs") not in ("dfs", "unk", ""):
        raise NotOffered("Only the CAR orders dfs and unk are served; ask for car-order=dfs.")
    dups = params.get("dups", "n")
    if dups not in ("y", "n", ""):
        raise NotOffered("The parameter car-dups is y or n.")
    return Wanted("car", dups=dups == "y")


def _parse(accept: str) -> list[_Offer]:
    """The entries of an ``Accept`` header, in their order; what is no media range is left out."""
    offers: list[_Offer] = []
    for entry in accept.split(","):
        kind, *rest = (part.strip() for part in entry.split(";"))
        params = {name.strip().lower(): value.strip().strip('"') for name, _, value in (p.partition("=") for p in rest)}
        if kind:
            offers.append(_Offer(kind.lower(), params, _quality(params.pop("q", "1"))))
    return offers


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0

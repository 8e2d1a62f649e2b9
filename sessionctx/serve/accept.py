"""Which representation a client asked for: ``?format=``, ``Accept``, and the parameters of a CAR. Pure.

Sources: trustless and path gateway specifications; IPIP-412 (order, dups), IPIP-523 (``format`` wins over ``Accept``);
RFC 9110, section 12.5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
SERVED = f"?format=raw ({RAW_TYPE}) and ?format=car ({CAR_TYPE};version=1;order=dfs;dups=y|n)"

Format = Literal["raw", "car", "tar", "dag-json", "dag-cbor", "json", "cbor", ""]
"""The empty one: what it is, a file or whatever its codec says."""
TYPES: Final[dict[Format, str]] = {
    "raw": RAW_TYPE,
    "car": CAR_TYPE,
    "tar": "application/x-tar",
    "dag-json": "application/vnd.ipld.dag-json",
    "dag-cbor": "application/vnd.ipld.dag-cbor",
    "json": "application/json",
    "cbor": "application/cbor",
}
VERIFIABLE: Final[frozenset[Format]] = frozenset({"raw", "car"})
_ALL: Final[frozenset[Format]] = frozenset(TYPES)
_FORMATS: Final[dict[str, Format]] = {kind: name for name, kind in TYPES.items()}


class NotOffered(Exception):
    """The client asks for a representation that this gateway does not serve; the text says which it does."""


@attrs.frozen
class Wanted:
    """A representation that was asked for and is served."""

    format: Format
    dups: bool = False
    """For a CAR: whether a block is sent each time the walk meets it."""
    html: bool = False
    """Whether it is a browser that asks, or somebody else who reads HTML."""


@attrs.frozen
class _Offer:
    """One entry of an ``Accept`` header."""

    type: str
    params: Mapping[str, str]
    quality: float


def negotiate(query: Mapping[str, str], accept: str, *, trustless: bool = True) -> Wanted:
    """The representation which *query* and the ``Accept`` header ask for.

    Wildcards ask for nothing in particular, so they do not count: then it is what it is; but if *trustless*, only what
    can be verified is served.

    Raises:
        NotOffered: nothing that was asked for is served.
    """
    offers = sorted(_parse(accept), key=lambda offer: -offer.quality)
    overrides = {name: query[f"car-{name}"] for name in ("version", "order", "dups") if f"car-{name}" in query}
    served = VERIFIABLE if trustless else _ALL
    if "format" in query:
        wanted = _named(query["format"], served, trustless=trustless)
        hints = [offer for offer in offers if offer.type == TYPES[wanted]]
        offers = hints or [_Offer(TYPES[wanted], {}, 1)]
    reasons: list[str] = []
    for offer in offers:
        found = _FORMATS.get(offer.type) if offer.quality > 0 else None
        if found is not None and found in served:
            try:
                return _accept(found, {**offer.params, **overrides})
            except NotOffered as refused:
                reasons.append(str(refused))
        elif offer.quality > 0 and offer.type == "text/html" and not trustless:
            return Wanted("", html=True)
    if reasons or trustless:
        raise NotOffered(reasons[0] if reasons else f"Ask for a verifiable format; served are {SERVED}.")
    return Wanted("")


def _named(name: str, served: frozenset[Format], *, trustless: bool) -> Format:
    for known in served:
        if known == name:
            return known
    offered = SERVED if trustless else ", ".join(TYPES)
    raise NotOffered(f"The format {name[:40]!r} is not served here; served are {offered}.")


def _accept(wanted: Format, params: Mapping[str, str]) -> Wanted:
    if wanted != "car":
        return Wanted(wanted)
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

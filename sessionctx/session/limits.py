"""Budgets and bounds of a session as a whole.

Each limit is one field, which says how it is held; what a fork gets and what is spent follow from the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from sessionctx.errors import LimitReached


def _budget(used: str | None) -> Any:  # of whatever type its field has
    """Return a field of what can be used up; the account counts it as *used* (None: the clock does)."""
    return attrs.field(default=None, metadata={"least": 0, "used": used})


def _bound(least: int) -> Any:
    """Return a field of how much may be taken at one time."""
    return attrs.field(default=None, metadata={"least": least, "used": None})


@attrs.frozen(kw_only=True)
class Limits:
    """What a session may use; None means no limit.

    A spent budget of seconds, bytes or requests raises `LimitReached` in whoever needs more of it. The others are no
    budgets but bounds: requests wait for room. Bytes are counted as they arrive, and checked before each new request
    and with each block of a CAR: what is in flight then still arrives, and may exceed them by a block for each request.

    Raises:
        TypeError: one of them is no number; the error names it.
        ValueError: one of them is less than makes sense.
    """

    seconds: float | None = _budget(None)
    """How long the session may last, from its beginning (begun outside a trio run: from its first request)."""
    bytes: int | None = _budget("bytes")
    """Bytes of content received from peers, wasted ones included."""
    requests: int | None = _budget("requests")
    """Requests to peers, failed and cancelled ones included."""
    in_flight: int | None = _bound(1)
    """Requests at one time."""
    in_flight_per_peer: int | None = _bound(1)
    """The same to any one endpoint (scheme, host, port)."""
    memory: int | None = _bound(0)
    """Bytes of content on their way at one time: the blocks that are being fetched, by their expected sizes, and of
    each CAR what it may hold at a time (768 KiB). One request is always allowed. What callers hold is theirs: see
    *ahead_bytes* of what they call."""

    def __attrs_post_init__(self) -> None:
        for name, amount in given(self).items():
            _check(name, amount, _LEAST[name])


_LEAST: dict[str, int] = {field.name: field.metadata["least"] for field in attrs.fields(Limits)}
BUDGETS: dict[str, str] = {field.name: used for field in attrs.fields(Limits) if (used := field.metadata["used"])}
"""Those that an account counts: by which count."""


def _check(name: str, amount: Any, least: int) -> None:
    try:
        enough = amount >= least
    except TypeError:
        raise TypeError(f"Limits({name}={amount!r}): give a number, or None for no limit") from None
    if not enough:
        raise ValueError(f"Limits({name}={amount!r}): give at least {least}, or None for no limit")


def given(limits: Limits) -> dict[str, Any]:
    """Return those that are set, by name."""
    return {name: amount for name in _LEAST if (amount := getattr(limits, name)) is not None}


def within(own: Limits, left: Mapping[str, Any]) -> Limits:
    """Return the least of a session's *own* limits and of what is *left* to it elsewhere."""
    mine = given(own)
    return Limits(**mine | {name: min(amount, mine.get(name, amount)) for name, amount in left.items()})


UNLIMITED = Limits()


def told_apart(*several: Limits) -> list[str]:
    """Write them out where they differ."""
    names = [name for name in _LEAST if len({getattr(limits, name) for limits in several}) > 1]
    return [f"Limits({', '.join(f'{name}={getattr(limits, name)!r}' for name in names)})" for limits in several]


def reached(limit: str, limits: Limits, name: str) -> LimitReached:
    """Build the error for a spent budget."""
    amount = getattr(limits, limit)
    return LimitReached(
        f"{name} has used up its limit of {amount:g} {limit}; what was fetched stays good. "
        f"Give more with Limits({limit}=...), or begin another session.",
        limit=limit,
    )

"""Budgets of a session as a whole."""

from __future__ import annotations

from typing import TypeVar

import attrs

from sessionctx.errors import LimitReached

Number = TypeVar("Number", int, float)


@attrs.frozen(kw_only=True)
class Limits:
    """What a session may use; None means no limit.

    A spent budget of seconds, bytes or requests raises `LimitReached` in whoever needs more of it. The others are no
    budgets but bounds: requests wait for room. Bytes are counted as they arrive, and checked before each new request
    and with each block of a CAR: what is in flight then still arrives, and may exceed them by a block for each request.
    """

    seconds: float | None = None
    """How long the session may last, from its beginning (begun outside a trio run: from its first request)."""
    bytes: int | None = None
    """Bytes of content received from peers, wasted ones included."""
    requests: int | None = None
    """Requests to peers, failed and cancelled ones included."""
    in_flight: int | None = None
    """Requests at one time."""
    in_flight_per_peer: int | None = None
    """The same to any one endpoint (scheme, host, port)."""
    memory: int | None = None
    """Bytes of content on their way at one time: the blocks that are being fetched, by their expected sizes, and of
    each CAR what it holds at a time (512 KiB). One request is always allowed. What callers hold is theirs: see
    *ahead_bytes* of what they call."""

    def __attrs_post_init__(self) -> None:
        for name, least_allowed in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least_allowed:
                raise ValueError(f"Limits({name}={value!r}): give at least {least_allowed}, or None for no limit")

    def within(self, left: Limits) -> Limits:
        """Return the least of these and what is *left* elsewhere, for each of them."""
        return Limits(
            seconds=_lesser(self.seconds, left.seconds),
            bytes=_lesser(self.bytes, left.bytes),
            requests=_lesser(self.requests, left.requests),
            in_flight=_lesser(self.in_flight, left.in_flight),
            in_flight_per_peer=_lesser(self.in_flight_per_peer, left.in_flight_per_peer),
            memory=_lesser(self.memory, left.memory),
        )


_LEAST = {"seconds": 0, "bytes": 0, "requests": 0, "in_flight": 1, "in_flight_per_peer": 1, "memory": 0}


def _lesser(a: Number | None, b: Number | None) -> Number | None:
    return b if a is None else a if b is None else min(a, b)


def reached(limit: str, limits: Limits, name: str) -> LimitReached:
    """Build the error for a spent budget."""
    amount = getattr(limits, limit)
    return LimitReached(
        f"{name} has used up its limit of {amount:g} {limit}; what was fetched stays good. "
        f"Give more with Limits({limit}=...), or begin another session.",
        limit=limit,
    )

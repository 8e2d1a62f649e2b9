"""A peer's health: four states, and the table of moves between them.

A peer is FRESH while nothing is known about it, GOOD once it has answered, RESTING after it failed, and BANNED once its
bytes did not match their name. A rest ends with a fresh start, one request at a time. There is no way back from a lie.
Answers to requests that were under way when a rest began change nothing.
"""

from __future__ import annotations

import enum
from typing import Final

from sessionctx.errors import SessionctxError


class Health(enum.Enum):
    """What may be expected of a peer."""

    FRESH = "fresh"
    GOOD = "good"
    RESTING = "resting"
    BANNED = "banned"


AFTER: Final = {
    (Health.FRESH, "answered"): Health.GOOD,
    (Health.FRESH, "failed"): Health.RESTING,
    (Health.GOOD, "answered"): Health.GOOD,
    (Health.GOOD, "failed"): Health.RESTING,
    (Health.RESTING, "answered"): Health.RESTING,
    (Health.RESTING, "failed"): Health.RESTING,
    (Health.RESTING, "rested"): Health.FRESH,
    (Health.BANNED, "answered"): Health.BANNED,
    (Health.BANNED, "failed"): Health.BANNED,
} | {(health, "lied"): Health.BANNED for health in Health}


def after(health: Health, happened: str) -> Health:
    """Return the health of a peer after something *happened*; a move that the table lacks is an error."""
    try:
        return AFTER[health, happened]
    except KeyError:
        raise SessionctxError(f"a peer that is {health.value} cannot have {happened!r}") from None


FIRST_REST: Final = 0.25
LONGEST_REST: Final = 60.0


def rest(failures: int, asked_for: float | None = None) -> float:
    """Return for how many seconds to leave a peer alone after its n-th failure in a row.

    Doubles from a quarter of a second to a minute; never less than the peer *asked_for*.
    """
    backoff = min(FIRST_REST * 2.0 ** min(failures - 1, 16), LONGEST_REST)
    return max(backoff, asked_for or 0.0)

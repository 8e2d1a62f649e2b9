"""How often, and after which pause, something that failed for a reason that may pass is tried again."""

from __future__ import annotations

import random
from typing import Final

import attrs
import trio

from sessionctx.errors import Busy, PeerError, PeerFailed, Stalled, Unreachable

PASSING: Final = (Busy, PeerFailed, Stalled, Unreachable)
"""Errors of an endpoint that may be gone at the next try."""
_LONGEST: Final = 60.0
"""Seconds that an endpoint may ask us to wait."""


@attrs.define(eq=False)
class Patience:
    """Pauses between the tries of one thing: random, twice as long each time; an endpoint may ask for longer."""

    tries: int = 5
    """Failures in a row, of which the last is raised."""
    first: float = 0.2
    """Seconds that the first pause takes at most."""
    _failed: int = attrs.field(default=0, init=False)

    def renew(self) -> None:
        """It got further: begin to count anew."""
        self._failed = 0

    async def pause(self, error: PeerError) -> None:
        """Wait before the next try; raise *error* if there is to be none, or no time left for it."""
        self._failed += 1
        asked = error.retry_after if isinstance(error, Busy) and error.retry_after is not None else 0.0
        wait = max(asked, random.uniform(0, self.first * 2 ** (self._failed - 1)))  # noqa: S311
        out_of_time = trio.current_time() + wait >= trio.current_effective_deadline()
        if self._failed >= self.tries or asked > _LONGEST or out_of_time:
            raise error
        await trio.sleep(wait)

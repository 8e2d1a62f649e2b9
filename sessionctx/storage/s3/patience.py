"""What is worth another attempt, and when: exponential back-off with full jitter, never sooner than was asked. Pure."""

from __future__ import annotations

import attrs

from sessionctx.errors import Busy, PeerError, PeerFailed, SessionctxError, Stalled, Unreachable


@attrs.frozen
class Patience:
    """How often and how slowly a request is repeated."""

    attempts: int = 6
    """Requests for one thing, the first one included."""
    base: float = 0.1
    """Seconds: the second attempt comes within that, the third within twice as long, and so on."""
    most: float = 20.0
    """Seconds of a pause, unless the server asks for a longer one."""

    def pause(self, failed: int, error: Exception, chance: float) -> float:
        """Return the seconds before the next attempt, after *failed* ones; *chance* lies between 0 and 1.

        Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (full jitter).
        """
        asked = error.retry_after if isinstance(error, Busy) else None
        return max(asked or 0.0, chance * min(self.most, self.base * 2.0 ** (failed - 1)))


def passes(error: BaseException) -> bool:
    """Whether it may be otherwise next time."""
    return isinstance(error, Unreachable | Stalled | Busy | PeerFailed)


def undone(error: BaseException) -> bool:
    """Whether it is sure that the server did nothing: it was not reached, or said so."""
    return isinstance(error, Unreachable | Busy)


def unknown(error: PeerError, what: str) -> SessionctxError:
    """Return *error* of a request that must not be repeated, as its caller should read it."""
    return PeerFailed(f"{error}; whether {what} is not known, so look before you repeat it", peer=error.peer)

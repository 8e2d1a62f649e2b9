"""What can go wrong with one exchange, whoever speaks HTTP for us; the door tells it in the errors of our tree."""

from __future__ import annotations

import ssl
from typing import cast

from sessionctx.errors import BadAnswer, PeerError, PeerFailed, Stalled, Unreachable


class Trouble(Exception):
    """An exchange failed. Its text, or that of its innermost cause, says why; seen inside of the door only."""


class NotConnected(Trouble):
    """There is no connection, because there is no such host, or it does not let us in."""


class ConnectionLate(Trouble):
    """There is no connection yet, and no patience left."""


class BodyLate(Trouble):
    """It takes nothing of the body that it is sent, and no patience is left."""


class HeadLate(Trouble):
    """The answer's header has not come yet, and no patience is left."""


class BrokenOff(Trouble):
    """The connection ended in the middle of something."""


class BadHTTP(Trouble):
    """What the peer sent is not HTTP."""


def told(peer: str, trouble: Trouble) -> PeerError:
    """Return the error of our tree for what happened with *peer*."""
    why = reason(trouble)
    match trouble:
        case NotConnected():
            return Unreachable(f"{peer} cannot be reached: {why}", peer=peer)
        case ConnectionLate():
            return Unreachable(f"{peer} did not take the connection within {why}", peer=peer)
        case BodyLate():
            return Stalled(f"{peer} took nothing of what it was sent for {why}", peer=peer)
        case HeadLate():
            return Stalled(f"{peer} sent no whole header within {why}", peer=peer)
        case BadHTTP():
            return BadAnswer(f"{peer} breaks the rules of HTTP: {why}", peer=peer)
        case _:
            return PeerFailed(f"{peer} broke off its answer: {why}", peer=peer)


def reason(error: BaseException) -> str:
    """Return the text of the innermost cause, which says most."""
    while (inner := _inner(error)) is not None:
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


def _inner(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    wrapped = error.args[0] if error.args else None  # the way of httpcore, below a client that was handed in
    return error.__cause__ or (wrapped if isinstance(wrapped, BaseException) else None)

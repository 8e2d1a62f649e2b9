"""What a client is told about an error of ours: nothing about our peers and disks, which are not its business. Pure."""

from __future__ import annotations

from typing import Final

from sessionctx.errors import (
    DagError,
    DecodeError,
    FetchFailed,
    LimitReached,
    NotADirectory,
    NotFound,
    PathNotFound,
    SessionctxError,
    UnsafePath,
    Unsupported,
)
from sessionctx.serve.request import Refused

_REFUSALS: Final[tuple[tuple[tuple[type[SessionctxError], ...], int, str], ...]] = (  # the first that fits counts
    ((PathNotFound, NotADirectory), 404, "{error}"),
    ((NotFound,), 404, "It is not here."),
    ((FetchFailed,), 502, "It is not here, and the peers of this gateway could not serve it. Try again later."),
    ((LimitReached,), 503, "This gateway has reached a limit of its own. Try again later."),
    ((DagError, DecodeError, UnsafePath), 422, "The blocks are here but do not form what was asked for: {error}"),
    ((Unsupported,), 501, "{error}"),
)


def refusal_of(error: SessionctxError) -> Refused:
    """Return what to say about *error*."""
    for kinds, status, text in _REFUSALS:
        if isinstance(error, kinds):
            return Refused(status, text.format(error=error))
    return Refused(500, "This gateway cannot read its store. Its log says more.")

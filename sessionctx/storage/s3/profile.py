"""What one endpoint does differently from the original: learnt when it shows, and kept while the program runs."""

from __future__ import annotations

from typing import Final

import attrs

MOST: Final = 256
"""Endpoints that are remembered."""


@attrs.define(eq=False)
class Profile:
    """The habits of one endpoint. What is None shows when it matters."""

    checksums: bool = True
    """It stands being told a checksum."""
    batch_delete: bool = True
    """It deletes many at a time."""
    conditional_put: bool | None = None
    """It heeds ``If-None-Match`` and ``If-Match`` when it takes a file in one request ..."""
    conditional_complete: bool | None = None
    """... and when it puts one together from its parts."""

    complete_etag: bool | None = None
    """The ETag that it gives when it puts a file together is the one that the file has then."""
    bare_etags: bool = False
    """It knows an ETag in the ``If-Match`` of a write only without its quotes."""


_profiles: Final[dict[str, Profile]] = {}


def profile_of(endpoint: str, *, amazon: bool) -> Profile:
    """Return what is known of *endpoint*; the same object for all who use it."""
    profile = _profiles.pop(endpoint, None)
    if profile is None:
        known = True if amazon else None
        profile = Profile(conditional_put=known, conditional_complete=known, complete_etag=known)
        if len(_profiles) >= MOST:
            del _profiles[next(iter(_profiles))]
    _profiles[endpoint] = profile  # the one that was asked for last at the end
    return profile

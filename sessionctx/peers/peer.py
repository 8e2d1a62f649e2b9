"""Who can be asked."""

from __future__ import annotations

import attrs


def _one_at_least(most: int) -> int:
    return max(most, 1)


@attrs.frozen
class Peer:
    """One place that can be asked for content.

    *address* identifies it and may hold credentials; *public* is the same without them, for people to read.
    """

    address: str = attrs.field(repr=False)
    public: str = attrs.field(eq=False)
    most: int = attrs.field(default=8, eq=False, converter=_one_at_least)
    """How many requests at a time it takes gladly; the window on it grows no wider."""

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
    endpoint: str = attrs.field(default="", eq=False, repr=False)
    """What it shares with others: its scheme, host and port, to which budgets belong; default: the address itself."""

    def __attrs_post_init__(self) -> None:
        if not self.endpoint:
            object.__setattr__(self, "endpoint", self.address)

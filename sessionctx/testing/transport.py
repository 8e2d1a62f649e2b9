"""What the tests of a transport need."""

from __future__ import annotations

import attrs

__all__ = ["Told"]


@attrs.define(eq=False)
class Told:
    """A `Progress` that keeps what it is told."""

    sizes: list[int] = attrs.field(factory=list[int], init=False)
    """The numbers of bytes that came, in order."""
    waits: int = attrs.field(default=0, init=False)
    """How often a request went out after a wait."""

    @property
    def total(self) -> int:
        """All bytes that came."""
        return sum(self.sizes)

    def sent(self) -> None:
        """Note that a wait is over."""
        self.waits += 1

    def came(self, count: int) -> None:
        """Note that *count* bytes have come."""
        self.sizes.append(count)

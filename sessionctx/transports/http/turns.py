"""Who may use an endpoint next, when its users do not agree on how many may do so at once: first come, first served."""

from __future__ import annotations

from collections import deque

import attrs
import trio


@attrs.frozen(eq=False)
class _Waiter:
    at_once: int
    admitted: trio.Event = attrs.field(factory=trio.Event)


@attrs.define(eq=False)
class Turns:
    """The uses of one endpoint, those that are going on and those that wait.

    Each has its own idea of how many are too many: it begins when fewer than its *at_once* are going on, and nobody
    who came before it waits. So a user who is content with little holds up one who wants much, but starves never.
    """

    in_use: int = 0
    _waiting: deque[_Waiter] = attrs.field(factory=deque[_Waiter])

    async def take(self, at_once: int) -> bool:
        """Wait for the turn, which ends with `give`; return whether there was a wait. Cancelled, it takes none."""
        waiter = _Waiter(at_once)
        self._waiting.append(waiter)
        self._admit()
        waits = not waiter.admitted.is_set()
        try:
            await waiter.admitted.wait()
        except BaseException:
            if waiter.admitted.is_set():
                self.give()
            else:
                self._waiting.remove(waiter)
                self._admit()
            raise
        return waits

    def give(self) -> None:
        """End a turn."""
        self.in_use -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_use < self._waiting[0].at_once:
            self.in_use += 1
            self._waiting.popleft().admitted.set()

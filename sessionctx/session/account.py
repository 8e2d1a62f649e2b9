"""The account of a session: what was wanted, asked and received, held against its limits.

Plain integers, added to by plain calls; each is counted in the session and in all its parents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from sessionctx.errors import LimitReached
from sessionctx.session.events import Outcome
from sessionctx.session.limits import BUDGETS, Limits, given, reached


@attrs.frozen(kw_only=True)
class Statistics:
    """A snapshot of a session's account, forks included. ``wants == found + missing + failed + cancelled + open``.

    A want may take several requests, or none of its own. Those are counted by peer: ``sessionctx.peers.statistics(s)``.
    """

    wants: int
    found: int
    missing: int
    failed: int
    cancelled: int
    open: int
    """Wants that have not ended yet."""
    joined: int
    """Wants that shared a fetch which somebody else had begun."""
    requests: int
    """Requests sent to peers."""
    in_flight: int
    """Requests that have not ended yet."""
    bytes: int
    """Bytes of content received."""
    duplicate_bytes: int
    """Those of them that were of no use: losers of a race, lies, broken answers."""


@attrs.define(eq=False)
class Account:
    """The running counts behind `Statistics`."""

    name: str
    """Whose account it is, for errors."""
    limits: Limits
    parent: Account | None = None

    wants: int = attrs.field(default=0, init=False)
    settled: dict[Outcome, int] = attrs.field(init=False)
    """Wants that have ended, by how."""
    joins: int = attrs.field(default=0, init=False)
    requests: int = attrs.field(default=0, init=False)
    in_flight: int = attrs.field(default=0, init=False)
    held: int = attrs.field(default=0, init=False)
    """Bytes that the requests in flight hold, as far as is expected."""
    bytes: int = attrs.field(default=0, init=False)
    duplicate_bytes: int = attrs.field(default=0, init=False)
    waiting: dict[Callable[[], None], None] = attrs.field(init=False)
    """Of the root: whoever waits for room. Called whenever a request of the tree has ended; each looks for itself."""
    _lineage: tuple[Account, ...] = attrs.field(init=False)
    _budgets: tuple[tuple[Account, str, str, float], ...] = attrs.field(init=False)
    """All that are set, here and in its parents: whose, the limit, the count, and how far that may go."""

    def __attrs_post_init__(self) -> None:
        self.settled = {"found": 0, "missing": 0, "failed": 0, "cancelled": 0}
        set_here = given(self.limits).items()
        self._budgets = tuple((self, limit, BUDGETS[limit], most) for limit, most in set_here if limit in BUDGETS)
        self.waiting = {} if self.parent is None else self.parent.waiting
        self._lineage = (self,)
        if self.parent is not None:
            self._lineage += self.parent._lineage  # noqa: SLF001
            self._budgets += self.parent._budgets  # noqa: SLF001

    # --- wants

    def want_begins(self) -> None:
        """Count one want."""
        for account in self._lineage:
            account.wants += 1

    def joined(self) -> None:
        """Count that a want shares the fetch of another."""
        for account in self._lineage:
            account.joins += 1

    def settle(self, outcome: Outcome) -> None:
        """Count one want as ended."""
        for account in self._lineage:
            account.settled[outcome] += 1

    # --- requests to peers

    def request_begins(self, size: int = 0) -> None:
        """Count one request to a peer, which will hold *size* bytes in memory.

        Raises:
            LimitReached: a budget of requests or bytes is spent, here or in a parent. Nothing is counted then.
        """
        spent = self.spent()
        if spent is not None:
            raise spent
        for account in self._lineage:
            account.requests += 1
            account.in_flight += 1
            account.held += size

    def request_ends(self, wasted: int = 0, size: int = 0) -> None:
        """Count one request as ended, *wasted* bytes of which were of no use; it held *size* bytes."""
        for account in self._lineage:
            account.in_flight -= 1
            account.held -= size
            account.duplicate_bytes += wasted
        if self.waiting:
            for look in tuple(self.waiting):
                look()

    def received(self, count: int) -> None:
        """Count *count* bytes as they arrive from a peer."""
        for account in self._lineage:
            account.bytes += count

    def room(self, size: float = 0.0) -> float:
        """How many more requests, for *size* bytes each, may be in flight now; infinite without a limit."""
        free = float("inf")
        for account in self._lineage:
            limits = account.limits
            if limits.in_flight is not None:
                free = min(free, limits.in_flight - account.in_flight)
            if limits.memory is not None:
                fit = int((limits.memory - account.held) // max(size, 1.0))
                free = min(free, max(fit, 0 if account.in_flight else 1))
        return free

    # --- reading

    def spent(self, *limits: str) -> LimitReached | None:
        """Return the error for a budget that is spent, here or in a parent; of *limits* only, if any are named."""
        for account, limit, used, most in self._budgets:
            if getattr(account, used) >= most and (not limits or limit in limits):
                return reached(limit, account.limits, account.name)
        return None

    def remainder(self, seconds: float | None) -> dict[str, Any]:
        """Return its limits, by name, with what is left of the budgets; *seconds* of the time."""
        left = given(self.limits) | ({} if seconds is None else {"seconds": seconds})
        for account, limit, used, most in self._budgets:
            if account is self:
                left[limit] = max(most - getattr(self, used), 0)
        return left

    @property
    def open(self) -> int:
        """Wants that have not ended."""
        return self.wants - sum(self.settled.values())

    def statistics(self) -> Statistics:
        """Return a frozen copy of the counts."""
        return Statistics(
            wants=self.wants,
            **self.settled,
            open=self.open,
            joined=self.joins,
            requests=self.requests,
            in_flight=self.in_flight,
            bytes=self.bytes,
            duplicate_bytes=self.duplicate_bytes,
        )

"""The account of a session: what was wanted, asked and received, held against its limits.

Plain integers, added to by plain calls; each is counted in the session and in all its parents.
"""

from __future__ import annotations

import attrs

from sessionctx.session.events import Outcome
from sessionctx.session.limits import Limits, reached


@attrs.frozen(kw_only=True)
class Statistics:
    """A snapshot of a session's account, forks included. ``wants == found + missing + failed + cancelled + open``."""

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

    found: int = attrs.field(default=0, init=False)
    missing: int = attrs.field(default=0, init=False)
    failed: int = attrs.field(default=0, init=False)
    cancelled: int = attrs.field(default=0, init=False)
    wants: int = attrs.field(default=0, init=False)
    joins: int = attrs.field(default=0, init=False)
    requests: int = attrs.field(default=0, init=False)
    in_flight: int = attrs.field(default=0, init=False)
    held: int = attrs.field(default=0, init=False)
    """Bytes that the requests in flight hold, as far as is expected."""
    bytes: int = attrs.field(default=0, init=False)
    duplicate_bytes: int = attrs.field(default=0, init=False)
    _lineage: tuple[Account, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lineage = (self,) if self.parent is None else (self, *self.parent._lineage)  # noqa: SLF001

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
            if outcome == "found":
                account.found += 1
            elif outcome == "missing":
                account.missing += 1
            elif outcome == "failed":
                account.failed += 1
            else:
                account.cancelled += 1

    # --- requests to peers

    def request_begins(self, size: int = 0) -> None:
        """Count one request to a peer, which will hold *size* bytes in memory.

        Raises:
            LimitReached: a budget of requests or bytes is spent, here or in a parent. Nothing is counted then.
        """
        for account in self._lineage:
            spent = account.spent()
            if spent is not None:
                raise reached(spent, account.limits, account.name)
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

    def bytes_spent(self) -> bool:
        """Whether a budget of bytes is spent, here or in a parent."""
        return any(each.limits.bytes is not None and each.bytes >= each.limits.bytes for each in self._lineage)

    # --- reading

    def spent(self) -> str | None:
        """Name the budget that allows no further request, if there is one."""
        limits = self.limits
        if limits.requests is not None and self.requests >= limits.requests:
            return "requests"
        if limits.bytes is not None and self.bytes >= limits.bytes:
            return "bytes"
        return None

    def remainder(self, seconds: float | None) -> Limits:
        """Return what is left of the limits, *seconds* of the time."""
        limits = self.limits
        return Limits(
            seconds=seconds,
            bytes=None if limits.bytes is None else max(limits.bytes - self.bytes, 0),
            requests=None if limits.requests is None else max(limits.requests - self.requests, 0),
            in_flight=limits.in_flight,
            in_flight_per_peer=limits.in_flight_per_peer,
            memory=limits.memory,
        )

    @property
    def open(self) -> int:
        """Wants that have not ended."""
        return self.wants - self.found - self.missing - self.failed - self.cancelled

    def statistics(self) -> Statistics:
        """Return a frozen copy of the counts."""
        return Statistics(
            wants=self.wants,
            found=self.found,
            missing=self.missing,
            failed=self.failed,
            cancelled=self.cancelled,
            open=self.open,
            joined=self.joins,
            requests=self.requests,
            in_flight=self.in_flight,
            bytes=self.bytes,
            duplicate_bytes=self.duplicate_bytes,
        )

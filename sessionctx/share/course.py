"""Where a load stands: whom it may ask, what each has said, and what the blob has to be.

Services are asked in rounds. In each, those that can serve best come first, by what the session's ledger knows of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import attrs
import trio

from sessionctx import session
from sessionctx.errors import BadAnswer, BlobNotFound, Busy, Denied, FetchFailed, Lied, NotHere, PeerError
from sessionctx.peers import LEDGER, Health, outlook, typical
from sessionctx.share.blob import Blob, parsed
from sessionctx.share.head import Head
from sessionctx.share.pauses import backoff, next_round
from sessionctx.share.service import Service

_GUESS = 1024 * 1024  # bytes of a blob of which nobody has said yet how large it is


@attrs.frozen(kw_only=True)
class Wish:
    """What a caller wants, and how long they try."""

    id: str
    services: tuple[Service, ...]
    digest: str | None
    """What it must be; None to take the word of the service that is asked first."""
    size: int | None
    tries: int
    """Rounds."""
    delay: float
    """Seconds of the first pause between two rounds."""
    may_come: bool
    """Whether what nobody has may come yet."""
    late: float
    """Seconds without progress, at least, until another service is asked as well."""


def wished(
    resource_id: str,
    services: Iterable[Service],
    expect: str | Blob | None,
    *,
    tries: int,
    delay: float,
    may_come: bool,
    late: float,
) -> Wish:
    """Return the wish that a caller states so. :exc:`ValueError` where it makes no sense."""
    if tries < 1 or not 0 <= delay < float("inf"):
        raise ValueError("max_tries= is 1 at least, and retry_delay= a number of seconds")
    size, digest = (expect.size, expect.digest) if isinstance(expect, Blob) else (None, expect)
    return Wish(
        id=resource_id,
        services=tuple({service.public: service for service in services}.values()),
        digest=None if digest is None else parsed(digest),
        size=size,
        tries=tries,
        delay=delay,
        may_come=may_come,
        late=late,
    )


@attrs.define(eq=False)
class Manners:
    """What all loads of a share know of services, besides the ledger; by public address."""

    asked_for: dict[str, float] = attrs.field(factory=dict[str, float])
    """Until when a service asked to be left alone."""
    silent: set[str] = attrs.field(factory=set[str])
    """Who tells no digest with a blob, as static servers do: there may be one beside it."""


@attrs.define(eq=False)
class Course:
    """Where a load stands."""

    wish: Wish
    manners: Manners
    chance: random.Random
    digest: str | None = attrs.field(init=False)
    """What the blob has to be: wished for, or told by a service."""
    size: int | None = attrs.field(init=False)
    teller: Service | None = attrs.field(default=None, init=False)
    """Whose word the size, and the digest if it was not wished for, are."""
    reasons: dict[str, Exception] = attrs.field(factory=dict[str, Exception], init=False)
    """By service, why it did not serve."""
    round: int = attrs.field(default=0, init=False)
    _out: set[str] = attrs.field(factory=set[str], init=False)
    """Who is not asked again."""
    _tags: dict[str, str] = attrs.field(factory=dict[str, str], init=False)

    def __attrs_post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget what the blob has to be, but for what the caller wishes."""
        self.digest, self.size, self.teller = self.wish.digest, self.wish.size, None

    def tag(self, service: Service) -> str | None:
        """Return what a service called the blob before."""
        return self._tags.get(service.public)

    def told(self, service: Service, head: Head, digest: str | None) -> bool:
        """Take what a service says that it has; false if that is another blob than who was asked before has.

        Raises:
            NotHere: it is another blob than the caller wishes for.
            BadAnswer: it is an empty one, without its digest: that is what a service says that has nothing.
        """
        wish, public = self.wish, service.public
        if wish.digest is not None and digest not in (None, wish.digest):
            raise NotHere(f"{public} has another blob of this name: {digest}", peer=public)
        if wish.size not in (None, head.size):
            raise NotHere(f"{public} has another blob of this name: {head.size} bytes", peer=public)
        if not head.size and digest is None and self.digest is None:
            raise BadAnswer(f"{public} sends nothing, and no digest of that", peer=public)
        if self.size not in (None, head.size) or (None not in (self.digest, digest) and self.digest != digest):
            return False
        if head.etag is not None:
            self._tags[public] = head.etag
        if self.size is None or (self.digest is None and digest is not None):
            self.teller = service
        self.size, self.digest = head.size, self.digest or digest
        return True

    def failed(self, service: Service, error: PeerError) -> None:
        """Note why a service did not serve."""
        self.reasons[service.public] = error
        if isinstance(error, Busy) and error.retry_after is not None:
            self.manners.asked_for[service.public] = trio.current_time() + error.retry_after
        if isinstance(error, Denied | Lied) or (isinstance(error, NotHere) and not self.wish.may_come):
            self._out.add(service.public)

    async def next_round(self) -> list[Service]:
        """Wait until services may be asked again, and return them, the best ones first.

        Raises:
            BlobNotFound: all of them have said that they do not have it.
            FetchFailed: there is no next round, or nobody may be asked before the caller's deadline.
        """
        await trio.lowlevel.checkpoint_if_cancelled()  # that is not a lack of time to try again
        asked = self._candidates()
        if not asked or self.round >= self.wish.tries:
            raise self._failure("")
        now, until = trio.current_time(), [self.manners.asked_for.get(service.public, 0.0) for service in asked]
        pause = backoff(self.round, self.wish.delay, self.chance.random()) if self.round else 0.0
        at = next_round(now, pause, until, trio.current_effective_deadline())
        if at is None:
            raise self._failure(f"; there is no time left to try again in {max(now + pause, min(until)) - now:.1f} s")
        await trio.sleep_until(at)
        self.round += 1
        return self._ordered([each for each, free in zip(asked, until, strict=True) if free <= at])

    def _candidates(self) -> list[Service]:
        found: list[Service] = []
        for service in self.wish.services:
            record = LEDGER.of(session.current()).add(service.endpoint.peer)
            if record.wake(trio.current_time()) is Health.BANNED:
                self._out.add(service.public)
                why = f"{service.public} has lied in this session: {record.reason}"
                self.reasons.setdefault(service.public, Lied(why, peer=service.public))
            if service.public not in self._out:
                found.append(service)
        return found

    def _ordered(self, ready: list[Service]) -> list[Service]:
        """Those that rest come last; of equals, any."""
        ledger, now = LEDGER.of(session.current()), trio.current_time()
        middle, size = typical(ledger.records()), self.size or _GUESS

        def rank(service: Service) -> tuple[bool, float, bool]:
            record = ledger.add(service.endpoint.peer)
            health = record.wake(now)
            return health is Health.RESTING, outlook(record, middle, now).expected(size), health is Health.FRESH

        return sorted(self.chance.sample(ready, len(ready)), key=rank)

    def _failure(self, why: str) -> BlobNotFound | FetchFailed:
        said = "; ".join(str(reason) for reason in self.reasons.values())
        if all(isinstance(self.reasons.get(each.public), NotHere | Denied) for each in self.wish.services):
            text = f"the blob {self.wish.id!r} is not here, and {said or 'there is no service to ask for it'}"
            return BlobNotFound(text, reasons=self.reasons)
        text = f"the blob {self.wish.id!r} could not be loaded{why}: {said or 'each service asked to be left alone'}"
        return FetchFailed(text, reasons=self.reasons)

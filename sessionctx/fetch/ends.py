"""What a request can come to: how each ending is told to the ledger, the session's account, and whoever listens."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from sessionctx.errors import Busy, HashMismatch, Lied, PeerError
from sessionctx.fetch.job import Job
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.quarantine import quarantine
from sessionctx.peers import Ask
from sessionctx.session import Session, events


@attrs.define(eq=False)
class Ends:
    """The endings of one session's requests. Each request comes to exactly one."""

    session: Session
    needs: Needs
    worse: Callable[[], None]
    """Called when a peer has become worse: jobs that counted on it look again."""
    freed: bool = attrs.field(default=False, init=False)
    """Whether a request has ended since work was handed out."""

    def arrived(self, ask: Ask, count: int) -> None:
        """Some bytes have come."""
        ask.arrived(count, trio.current_time())
        self.session.account.received(count)

    def found(self, job: Job, ask: Ask, size: int, *, wasted: int, timed: bool = True) -> None:
        """It brought what it was asked for, *size* bytes; *timed* if it was known how many these would be."""
        now = trio.current_time()
        if ask.received < size:
            self.arrived(ask, size - ask.received)  # a transport that does not tell how it gets on
        self.over(job, ask, wasted)
        ask.found(now, timed=timed)
        if self.session.hooks:
            self.tell(events.Answered(now, ask.record.peer.public, job.cid, size, now - ask.began))

    def refused(self, job: Job, ask: Ask, error: PeerError) -> None:
        """The peer does not have it, or will not give it."""
        now = trio.current_time()
        self._unserved(job, ask, error, ask.received)
        ask.missing(now)
        self.tell(events.Refused(now, ask.record.peer.public, job.cid, str(error)))

    def failed(self, job: Job, ask: Ask, error: PeerError, *, kept: int = 0, rest: bool = True) -> None:
        """The peer could not answer, or not to the end: *kept* bytes are of use all the same. It rests, unless not."""
        now = trio.current_time()
        self._unserved(job, ask, error, ask.received - kept)
        asked_for = error.retry_after if isinstance(error, Busy) else None
        seconds = ask.failed(str(error), now, asked_for=asked_for) if rest else ask.cut(str(error), now)
        self.tell(events.Failed(now, ask.record.peer.public, job.cid, str(error)))
        if seconds:
            self.tell(events.Rested(now, ask.record.peer.public, seconds, str(error)))
        self.worse()

    def lied(self, job: Job, ask: Ask, error: HashMismatch, *, kept: int = 0) -> None:
        """What it sent does not match its name."""
        public = ask.record.peer.public
        lie = Lied(f"{public} sent bytes that do not match {error.args[0] if kept else job.cid}", peer=public)
        lie.__cause__ = error
        self._unserved(job, ask, lie, ask.received - kept)
        ask.lied(str(lie))
        quarantine(ask.record.peer, str(lie))
        self.tell(events.Lied(trio.current_time(), public, job.cid, str(lie)))
        self.worse()

    def dropped(self, job: Job, ask: Ask, *, kept: int = 0) -> None:
        """It was not needed any more."""
        now = trio.current_time()
        self.over(job, ask, ask.received - kept)
        seconds = ask.dropped(now)
        public = ask.record.peer.public
        self.tell(events.Dropped(now, public, job.cid, ask.received))
        if seconds:
            self.tell(events.Rested(now, public, seconds, ask.record.reason or ""))
            self.worse()

    def over(self, job: Job, ask: Ask, wasted: int) -> None:
        """It is over, and *wasted* bytes of it are of no use."""
        job.asks.remove(ask)
        self.needs.changed(job)
        self.freed = True
        self.session.account.request_ends(max(wasted, 0), job.held)

    def _unserved(self, job: Job, ask: Ask, error: PeerError, wasted: int) -> None:
        job.note(ask.record, error)  # before it is sorted anew: from now on it matters who is asked for it
        self.over(job, ask, wasted)
        job.wake()

    def tell(self, event: events.Event) -> None:
        """Let whoever listens know."""
        if self.session.hooks:
            self.session.hooks.tell(event)

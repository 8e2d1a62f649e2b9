"""Requests: each comes to exactly one of five endings, told to the ledger, the session's account, and whoever listens.

It is found or missing; or it failed, the peer lied, or it was dropped because nobody needed it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import attrs
import trio

from sessionctx.errors import (
    BadAnswer,
    BlockTooLarge,
    Busy,
    Denied,
    HashMismatch,
    Lied,
    NotHere,
    PeerError,
    PeerFailed,
)
from sessionctx.fetch.bans import ban
from sessionctx.fetch.givers import Givers
from sessionctx.fetch.job import Job
from sessionctx.fetch.needs import Needs
from sessionctx.peers import Ask
from sessionctx.session import Session, events


def what(job: Job) -> events.What:
    """Return what a request for *job* is for, as events say it."""
    return "car" if job.car else "block"


@attrs.define(eq=False)
class Requests:
    """What the requests of one session have in common."""

    session: Session
    needs: Needs
    givers: Givers
    worse: Callable[[], None]
    """Called when a peer has become worse: jobs that counted on it look again."""
    freed: bool = attrs.field(default=False, init=False)
    """Whether a request has ended since work was handed out."""


class Request:
    """The scope of one request: an error of the peer ends here, noted; any other passes, and the request was dropped.

    Whoever is inside says that it was `found`, or lets the error tell what it came to.
    """

    __slots__ = ("_all", "_peer", "ask", "harmless", "job", "useful")

    def __init__(self, requests: Requests, job: Job, ask: Ask) -> None:
        self._all, self.job, self.ask = requests, job, ask
        self._peer = ask.record.peer.public
        self.useful = 0
        """Bytes that are of use even if it does not end well."""
        self.harmless = False
        """Whether its failure is no reason to leave the peer alone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        match error:
            case None:
                return False
            case HashMismatch():
                self._lied(error)
            case NotHere() | Denied():
                self._missing(error)
            case BlockTooLarge():
                self._failed(BadAnswer(str(error), peer=self._peer))
            case PeerError():
                self._failed(error, rest=not (self.harmless or self.useful))
            case OSError():  # a transport of somebody's own, which leaves it at that
                self._failed(PeerFailed(str(error) or repr(error), peer=self._peer))
            case Exception():  # a fault in a transport: raised where the want is
                self._failed(PeerFailed(f"its transport raised {error!r}", peer=self._peer))
                self._all.needs.give_up(self.job, error)
            case _:
                self.dropped()
                return False
        return True

    def sent(self) -> None:
        """It goes out only now."""
        self.ask.sent(trio.current_time())

    def came(self, count: int) -> None:
        """Some bytes have come."""
        self.ask.arrived(count, trio.current_time())
        self._all.session.account.received(count)

    def found(self, size: int, *, wasted: int, timed: bool = True) -> None:
        """It brought what it was asked for, *size* bytes; *timed* if it was known how many these would be."""
        now, ask = trio.current_time(), self.ask
        if ask.received < size:
            self.came(size - ask.received)  # a transport that does not tell how it gets on
        self._over(wasted)
        ask.found(now, timed=timed)
        self._all.session.tell(events.Answered, self._peer, self.job.cid, size, now - ask.began, what(self.job))

    def dropped(self) -> None:
        """It is not needed any more."""
        self._over(self.ask.received - self.useful)
        seconds = self.ask.dropped(trio.current_time())
        self._all.session.tell(events.Dropped, self._peer, self.job.cid, self.ask.received, what(self.job))
        if seconds:
            self._all.session.tell(events.Rested, self._peer, seconds, self.ask.record.reason or "")
            self._all.worse()

    def _missing(self, error: PeerError) -> None:
        """The peer does not have it, or will not give it; another job may be after the same, and count on it."""
        self._unserved(error)
        self.ask.missing(trio.current_time())
        self._all.session.tell(events.Refused, self._peer, self.job.cid, str(error), what(self.job))
        self._all.givers.matters = True
        self._all.needs.wake(self.job.name)

    def _failed(self, error: PeerError, *, rest: bool = True) -> None:
        """The peer could not answer, or not to the end. It rests, unless not."""
        self._unserved(error)
        asked_for = error.retry_after if isinstance(error, Busy) else None
        seconds = self.ask.failed(str(error), trio.current_time(), asked_for=asked_for, rest=rest)
        self._all.session.tell(events.Failed, self._peer, self.job.cid, str(error), what(self.job))
        if seconds:
            self._all.session.tell(events.Rested, self._peer, seconds, str(error))
        self._all.worse()

    def _lied(self, error: HashMismatch) -> None:
        """What it sent does not match its name."""
        name = error.args[0] if self.useful else self.job.cid
        lie = Lied(f"{self._peer} sent bytes that do not match {name}", peer=self._peer)
        lie.__cause__ = error
        self._unserved(lie)
        self.ask.lied(str(lie))
        ban(self.ask.record.peer, str(lie))
        self._all.session.tell(events.Lied, self._peer, self.job.cid, str(lie), what(self.job))
        self._all.worse()

    def _unserved(self, error: PeerError) -> None:
        self.job.note(self.ask.record, error)  # before it is sorted anew: from now on it matters who is asked for it
        self._over(self.ask.received - self.useful)

    def _over(self, wasted: int) -> None:
        """It is over, and *wasted* bytes of it are of no use."""
        self.job.asks.remove(self.ask)
        self._all.needs.changed(self.job)
        self._all.freed = True
        self._all.session.account.request_ends(max(wasted, 0), self.job.held)

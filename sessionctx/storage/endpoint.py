"""The endpoint of a backend as sessions know it: its requests are counted, bounded, cancelled with them, learnt from.

Backends put every request that goes over a line in ``async with endpoint.request(path) as request:``. Where no session
is bound nothing is counted, and nobody is there to learn.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

import attrs
import trio

from sessionctx import session
from sessionctx.errors import Busy, Denied, Lied, NoSuchFile, NotHere, PeerError
from sessionctx.peers import LEDGER, Ask, Ledger, Peer, Record, outlook, typical
from sessionctx.session import Session, Want, events

WHAT: Final = "file"


@attrs.frozen
class Endpoint:
    """Where the requests of a backend go. Its *peer* is what the session's ledger keeps its record under."""

    peer: Peer

    @classmethod
    def at(cls, url: str, public: str, *, most: int = 8) -> Endpoint:
        """Return the endpoint of the backend at *url*, which takes *most* requests at a time gladly."""
        return cls(Peer(url, public, most=most, endpoint=public))

    def request(self, name: str, size: int = 0, *, part: bool = False) -> Request:
        """Return the scope of one request for *name*, which will bring or take *size* bytes, as far as is known.

        It is one want of the session, unless it is but a *part* of one.
        """
        return Request(self.peer, name, size, part=part)

    def record(self) -> Record | None:
        """Return what the bound session knows of it, or None where none is bound."""
        s = session.current(None)
        return None if s is None else LEDGER.of(s).add(self.peer)


class Request:
    """The scope of one request. How it is left says how it ended; errors pass.

    Entering waits while the session's `Limits` leave no room, and raises `SessionEnded` or `LimitReached`. When the
    session ends or its time is spent meanwhile, the block is cancelled, and leaving it raises these.
    """

    __slots__ = ("_ask", "_name", "_part", "_peer", "_session", "_size", "_want")

    def __init__(self, peer: Peer, name: str, size: int, *, part: bool) -> None:
        self._peer, self._name, self._size, self._part = peer, name, size, part
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        s = session.current(None)
        if s is None:
            return self
        self._want = s.want(f"{self._peer.public}/{self._name}", counted=not self._part)
        self._want.__enter__()
        try:
            ledger = LEDGER.of(s)
            record = ledger.add(self._peer)
            await _room(s, record, self._size)
            s.account.request_begins(self._size)
        except BaseException as error:
            self._leave_want(self._want, error)
            raise
        self._session = s
        self._begin(s, ledger, record)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        s = self._session
        if s is None:
            return
        try:
            self._end(s, error)
        finally:
            self._leave_want(self._want, error)

    def sent(self) -> None:
        """It goes out only now, after it had to wait for a turn on our side."""
        if self._session is not None:
            self._ask.sent(trio.current_time())

    def came(self, count: int) -> None:
        """So many bytes of the content have come."""
        if self._session is not None:
            self._ask.arrived(count, trio.current_time())
            self._session.account.received(count)

    def went(self, count: int) -> None:
        """So many bytes of the content have gone out: they tell the rate as well, but are no part of a budget."""
        if self._session is not None:
            self._ask.arrived(count, trio.current_time())

    def _begin(self, s: Session, ledger: Ledger, record: Record) -> None:
        now = trio.current_time()
        predicted = outlook(record, typical(ledger.records()), now).duration(self._size)
        self._ask = Ask(record, self._name, self._size, now, predicted=predicted)
        s.tell(events.Asked, self._peer.public, self._name, WHAT)

    def _end(self, s: Session, error: BaseException | None) -> None:
        now, ask, public = trio.current_time(), self._ask, self._peer.public
        s.account.request_ends(0, self._size)
        if isinstance(error, NoSuchFile | NotHere | Denied):
            ask.missing(now)
            s.tell(events.Refused, public, self._name, str(error), WHAT)
        elif isinstance(error, Lied):
            ask.lied(str(error))
            s.tell(events.Lied, public, self._name, str(error), WHAT)
        elif isinstance(error, PeerError | OSError):
            asked_for = error.retry_after if isinstance(error, Busy) else None
            seconds = ask.failed(str(error), now, asked_for=asked_for)
            s.tell(events.Failed, public, self._name, str(error), WHAT)
            if seconds:
                s.tell(events.Rested, public, seconds, str(error))
        elif error is None or isinstance(error, Exception):  # an error of another kind is an answer, too
            ask.found(now, timed=bool(self._size))
            s.tell(events.Answered, public, self._name, ask.received, now - ask.began, WHAT)
        else:
            ask.dropped(now)
            s.tell(events.Dropped, public, self._name, ask.received, WHAT)

    @staticmethod
    def _leave_want(want: Want, error: BaseException | None) -> None:
        want.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)


async def _room(s: Session, record: Record, size: int) -> None:
    """Wait until the limits of *s* and of its parents leave room for one more request, for *size* bytes."""
    per_peer = s.limits.in_flight_per_peer
    while s.account.room(size) < 1 or (per_peer is not None and record.line.in_flight >= per_peer):
        freed = trio.Event()
        s.account.waiting[freed.set] = None
        try:
            await freed.wait()
        finally:
            del s.account.waiting[freed.set]

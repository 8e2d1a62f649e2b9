"""What a client sends over one connection: requests, one after another, read out of the bytes as they come. Pure.

A head without a body, whole, and with nothing in it that decides how to go on, which is what nearly every client sends
us, is read by one regular expression. It takes less than RFC 9112 allows. h11 reads everything else, and so it alone
judges what is a mistake, where bodies end, and what is too long.
"""

from __future__ import annotations

import re
from typing import Final

import attrs
import h11

MOST_HEAD: Final = 32 * 1024
"""Bytes of a request's head, and of requests sent ahead."""

_PLAIN: Final = re.compile(
    rb"(GET|HEAD) (/[!-~]*+) HTTP/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)++)\r\n"
)
_DECISIVE: Final = frozenset({b"connection", b"content-length", b"expect", b"transfer-encoding", b"upgrade"})

Fields = list[tuple[bytes, bytes]]


class Nonsense(Exception):
    """The client broke the protocol; *status* is what to answer, the text says why."""

    def __init__(self, error: h11.RemoteProtocolError) -> None:
        super().__init__(str(error))
        self.status = error.error_status_hint


@attrs.frozen
class Head:
    """The head of a request."""

    method: bytes
    target: bytes
    headers: Fields
    """Names in lower case."""
    version: bytes = b"1.1"
    waits: bool = False
    """Whether the client waits for a 100 before it sends the body."""
    last: bool = False
    """Whether the client will not send another request over this connection."""


@attrs.define(eq=False)
class Incoming:
    """What has come, and has not been taken yet."""

    _held: bytes = b""
    """Not read yet: of the next requests."""
    _parser: h11.Connection | None = None
    """Reads the request that is coming, if it is none of the plain ones."""
    complete: bool = True
    """Whether the request that was taken last has all come, with its body."""

    @property
    def ahead(self) -> int:
        """Bytes that came behind the request that was taken last."""
        return len(self._held)

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        if self._parser is None:
            self._held += data
        elif data:  # nothing would mean the end to it
            self._parser.receive_data(data)

    def head(self) -> Head | None:
        """Take the next head; None if more has to come first. :exc:`Nonsense`."""
        if self._parser is None:
            if not self._held:
                return None
            if (head := self._plain()) is not None:
                return head
            self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
            self._parser.receive_data(self._held)
            self._held = b""
        event = self._event(self._parser)
        if not isinstance(event, h11.Request):
            return None
        head = _of(event, waits=self._parser.they_are_waiting_for_100_continue)
        self.complete = False
        if not any(name in (b"content-length", b"transfer-encoding") for name, _ in head.headers):
            self.body()  # there is none
        return head

    def body(self) -> bytes | None:
        """Take a piece of the body: an empty one at its end, None if more has to come first. :exc:`Nonsense`."""
        if self._parser is None:
            return b""
        event = self._event(self._parser)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            return None
        self._held, self._parser, self.complete = self._parser.trailing_data[0], None, True
        return b""

    def skip(self) -> bool:
        """Take what has come of the body; true if that was all of it, and no nonsense."""
        try:
            while not self.complete and self.body() is not None:
                pass
        except Nonsense:
            return False
        return self.complete

    def _plain(self) -> Head | None:
        match = _PLAIN.match(self._held)
        if match is None:
            return None
        method, target, lines = match.groups()
        fields = [line.split(b":", 1) for line in lines.split(b"\r\n")[:-1]]
        headers = [(name.lower(), value.strip(b" \t")) for name, value in fields]
        hosts = 0
        for name, value in headers:
            if name == b"host":
                hosts += 1
            elif name in _DECISIVE and (name != b"connection" or value.lower() != b"keep-alive"):
                return None
        if hosts != 1:
            return None
        self._held = self._held[match.end() :]
        return Head(method, target, headers)

    @staticmethod
    def _event(parser: h11.Connection) -> object:
        try:
            return parser.next_event()
        except h11.RemoteProtocolError as error:
            raise Nonsense(error) from None


def _of(request: h11.Request, *, waits: bool) -> Head:
    headers = list(request.headers)
    said = [word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")]
    last = request.http_version < b"1.1" or b"close" in said or request.method == b"CONNECT"
    return Head(request.method, request.target, headers, request.http_version, waits, last)

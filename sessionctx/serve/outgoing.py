"""One response as bytes: its head, and its body in the framing that the head announces. Pure.

Source: RFC 9112, sections 4 to 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

CONTINUE: Final = b"HTTP/1.1 100 \r\n\r\n"
_FIELDS: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++: (?:[!-~\x80-\xff][\t -~\x80-\xff]*+)?+\r\n)*+")


@attrs.define(eq=False)
class Response:
    """One response in the making. What an app says that is no HTTP is a `ValueError`."""

    to_head: bool
    """Whether the request was HEAD, so that the body is left out."""
    chunks: bool
    """Whether the client understands chunks; otherwise a body of unknown length ends with the connection."""
    last: bool = False
    """Whether the connection ends with it."""
    begun: bool = attrs.field(default=False, init=False)
    complete: bool = attrs.field(default=False, init=False)
    _left: int | None = attrs.field(default=None, init=False)
    """Bytes that are to come, if that was announced."""
    _chunked: bool = attrs.field(default=False, init=False)

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]], date: bytes) -> bytes:
        """Return the head: the *headers*, in lower case, and those that are the server's business."""
        if self.begun or not 200 <= status <= 999:
            raise ValueError(f"a response begins once, with a status from 200 on, not with {status}")
        fields = [b"%b: %b\r\n" % field for field in self._framed(status, headers)]
        fields.append(b"date: %b\r\n" % date)
        if self.last:
            fields.append(b"connection: close\r\n")
        block = b"".join(fields)
        if not _FIELDS.fullmatch(block) or block.count(b"\n") != len(fields):
            raise ValueError("a name or a value of the headers has characters that they cannot have")
        self.begun = True
        return b"HTTP/1.1 %d \r\n%b\r\n" % (status, block)

    def body(self, data: bytes, *, more: bool) -> list[bytes]:
        """Return what to send for a piece of the body; the last one if there will be no *more*."""
        if not self.begun or self.complete:
            raise ValueError("a body comes between the head and its own last piece")
        parts = (
            [] if self.to_head else self._chunk(data, more=more) if self._chunked else self._measured(data, more=more)
        )
        self.complete = not more
        return parts

    @staticmethod
    def _chunk(data: bytes, *, more: bool) -> list[bytes]:
        parts = [b"%x\r\n" % len(data), data, b"\r\n"] if data else []
        return parts if more else [*parts, b"0\r\n\r\n"]

    def _measured(self, data: bytes, *, more: bool) -> list[bytes]:
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise ValueError("the body is not as long as its content-length says, or should not be there")
        return [data]

    def _framed(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Decide how the body's end will be known."""
        kept: list[tuple[bytes, bytes]] = []
        for field in headers:
            name, value = field
            if name == b"content-length":
                self._left = _length(value)
            elif name in (b"transfer-encoding", b"connection"):
                self.last = self.last or value.lower() == b"close"
                continue
            kept.append(field)
        if status in (204, 304):
            self._left = 0
        elif self._left is None and self.chunks:
            self._chunked = True
            kept.append((b"transfer-encoding", b"chunked"))
        elif self._left is None:
            self.last = True
        return kept


def _length(value: bytes) -> int:
    if not (value.isdigit() and len(value) < 20):
        raise ValueError(f"a content-length is a number, not {value[:40]!r}")
    return int(value)

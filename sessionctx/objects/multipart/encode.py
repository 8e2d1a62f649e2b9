"""Write a body of many parts (RFC 2046, 5.1), each with headers of its own. Pure; the bodies pass by somebody else.

Nothing is rewritten: a header that cannot be sent as it is, is refused.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from email.message import Message
from typing import Final

import attrs

from sessionctx.errors import InvalidObject

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
WRITE: Final = 64 * 1024
"""Bytes that are sent at a time, at least."""


def _fresh() -> str:
    return f"os-boundary-{secrets.token_hex(16)}"


@attrs.frozen
class Encoder:
    """The framing of one body. Its boundary is 128 bits that nobody can foresee, so that no content can hold it."""

    boundary: str = attrs.field(factory=_fresh, validator=attrs.validators.matches_re(_BOUNDARY))

    @property
    def content_type(self) -> str:
        """The header that announces the body."""
        return f'multipart/form-data; boundary="{self.boundary}"'

    def head(self, headers: Iterable[tuple[str, str]], *, first: bool) -> bytes:
        """Return what stands before the body of a part. :exc:`InvalidObject` for a header that cannot be sent."""
        start = f"--{self.boundary}\r\n" if first else f"\r\n--{self.boundary}\r\n"
        return (start + "".join(map(_line, headers)) + "\r\n").encode("ascii")

    def tail(self, *, empty: bool = False) -> bytes:
        """Return what stands behind the last part, or alone where there is none."""
        return f"{'' if empty else chr(13) + chr(10)}--{self.boundary}--\r\n".encode("ascii")

    def length(self, heads: Iterable[bytes], sizes: Iterable[int]) -> int:
        """Return the length of the whole body, for a ``Content-Length``."""
        framed = list(heads)
        return sum(map(len, framed)) + sum(sizes) + len(self.tail(empty=not framed))


def _line(header: tuple[str, str]) -> str:
    name, value = header
    if not _NAME.fullmatch(name):
        raise InvalidObject(f"{name[:100]!r} cannot be the name of a header")
    if not _VALUE.fullmatch(value) or value != value.strip():
        raise InvalidObject(f"the header {name} holds what no header can: {value[:100]!r}")
    return f"{name}: {value}\r\n"


def boundary_of(content_type: str) -> str:
    """Return the boundary that a ``Content-Type`` names. :exc:`InvalidObject` if it names none, or it can be none."""
    message = Message()
    message["content-type"] = content_type.replace("\r", "").replace("\n", "")
    boundary = message.get_boundary()
    if message.get_content_maintype() != "multipart" or boundary is None:
        raise InvalidObject(f"{content_type[:100]!r} is no multipart/form-data with a boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidObject(f"{boundary[:100]!r} can be no boundary (RFC 2046)")
    return boundary


def gathered(pieces: Iterable[bytes], size: int = WRITE) -> Iterator[bytes]:
    """Join small pieces until they make a write worth its while; large ones pass as they are."""
    waiting: list[bytes] = []
    held = 0
    for piece in pieces:
        if len(piece) >= size and not waiting:
            yield piece
            continue
        waiting.append(piece)
        held += len(piece)
        if held >= size:
            yield b"".join(waiting)
            waiting, held = [], 0
    if held:
        yield b"".join(waiting)

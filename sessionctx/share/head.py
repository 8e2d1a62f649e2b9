"""What the head of a service's answer says of the blob that it was asked for. Pure.

Sources: RFC 9110 (ranges, entity tags); RFC 9530 (``Repr-Digest``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from sessionctx.errors import BadAnswer, Denied, NotHere, PeerError
from sessionctx.share.blob import told_by

_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII)
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_STRONG: Final = re.compile(r'"[\x21\x23-\x7e]*"')
_HINTS: Final = {
    401: ": it wants credentials; write them as scheme://user:password@host",
    403: ": it does not let us in",
}


@attrs.frozen
class Head:
    """What a service has, by its own words, and from where on it sends that."""

    offset: int
    size: int
    """Bytes of the whole blob."""
    digest: str | None
    """Of the whole blob, if it tells."""
    etag: str | None
    """Its own name for these bytes: a strong tag, good to go on with there."""


def read_head(status: int, headers: Mapping[str, str], *, offset: int, peer: str) -> Head:
    """Read the answer to a request for a blob from *offset* on. Names of *headers* are in lower case.

    Raises:
        NotHere: the service does not have it, or not so much of it.
        Denied: it will never serve it.
        BadAnswer: it breaks the protocol, or does not say how long the blob is.
    """
    if status not in (200, 206):
        raise _refusal(status, peer)
    begins, size = _part(headers, peer) if status == 206 else (0, _whole(headers, peer))
    if status == 206 and begins != offset:
        raise BadAnswer(f"{peer} sends bytes from {begins} on where {offset} was asked for", peer=peer)
    tag = headers.get("etag", "").strip()
    return Head(begins, size, told_by(headers), tag if _STRONG.fullmatch(tag) else None)


def _refusal(status: int, peer: str) -> PeerError:
    if status == 404:
        return NotHere(f"{peer} does not have it (404)", peer=peer)
    if status in (412, 416):
        return NotHere(f"{peer} has another blob of this name ({status})", peer=peer)
    if status in (410, 451):
        return Denied(f"{peer} refuses to serve it, for good ({status})", peer=peer)
    return BadAnswer(f"{peer} answered {status}{_HINTS.get(status, '')}", peer=peer)


def _part(headers: Mapping[str, str], peer: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if match is None:
        raise BadAnswer(f"{peer} sends a part and does not say which", peer=peer)
    begin, last, size = (int(number) for number in match.groups())
    if not begin <= last < size:
        raise BadAnswer(f"{peer} sends a part that cannot be: bytes {begin} to {last} of {size}", peer=peer)
    return begin, size


def _whole(headers: Mapping[str, str], peer: str) -> int:
    length = headers.get("content-length", "").strip()
    if not _LENGTH.fullmatch(length):
        raise BadAnswer(f"{peer} does not say how long the blob is, so its end cannot be told from a cut", peer=peer)
    return int(length)

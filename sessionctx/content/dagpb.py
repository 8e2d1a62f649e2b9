"""dag-pb: a node of links and some bytes, strictly.

Source: ipld.io/specs/codecs/dag-pb/spec. A protobuf: Data = 1, Links = 2 (written first); in a link Hash = 1, Name = 2,
Tsize = 3.
"""

from __future__ import annotations

import attrs

from sessionctx.content import varint
from sessionctx.content.cid import CID
from sessionctx.errors import DecodeError, InvalidCID

_DATA, _LINKS = 0x0A, 0x12
_HASH, _NAME, _TSIZE = 0x0A, 0x12, 0x18


@attrs.define(unsafe_hash=True)
class PBLink:
    """A link: the CID, maybe a name, maybe *tsize*, the bytes of all blocks below it (a hint). Treat as immutable."""

    cid: CID
    name: str | None = None
    tsize: int | None = None


@attrs.define(unsafe_hash=True)
class PBNode:
    """A node: links in order, and bytes; ``None`` is none at all, unlike ``b""``. Treat as immutable."""

    links: tuple[PBLink, ...] = ()
    data: bytes | None = None


def encode(node: PBNode) -> bytes:
    """Return the bytes of *node*, its links sorted by the bytes of their names (stable).

    :exc:`ValueError` for a *tsize* out of range or a name that UTF-8 cannot hold.
    """
    out: list[bytes] = []
    for link in sorted(node.links, key=_name_bytes):
        body = _encode_link(link)
        out += (b"\x12", varint.encode(len(body)), body)
    if node.data is not None:
        out += (b"\x0a", varint.encode(len(node.data)), node.data)
    return b"".join(out)


def _name_bytes(link: PBLink) -> bytes:
    return link.name.encode() if link.name else b""


def _encode_link(link: PBLink) -> bytes:
    raw = bytes(link.cid)
    out = b"\x0a" + varint.encode(len(raw)) + raw
    if link.name is not None:
        name = link.name.encode()
        out += b"\x12" + varint.encode(len(name)) + name
    if link.tsize is not None:
        out += b"\x18" + varint.encode(link.tsize)
    return out


def decode(data: bytes) -> PBNode:
    """Read a node; no bytes are an empty one. :exc:`DecodeError` for all that the specification does not allow."""
    links: list[PBLink] = []
    payload: bytes | None = None
    tail, name, tsize = b"", None, None  # of the last link: in a file nearly all links end alike
    before = at = 0  # before: links that stood before Data
    end = len(data)
    while at < end:
        key = data[at]
        if key != _LINKS and (key != _DATA or payload is not None):
            raise _unexpected(key, "a node")
        start, at = _span(data, at + 1, end)
        if key == _LINKS:
            cid, start = _hash(data, start, at)
            if data[start:at] != tail:
                tail = data[start:at]
                name, tsize = _name_and_tsize(tail)
            links.append(PBLink(cid, name, tsize))
        else:
            payload, before = data[start:at], len(links)
    if before and before != len(links):
        raise DecodeError("dag-pb: Data stands between Links")
    return PBNode(tuple(links), payload)


def _hash(data: bytes, at: int, end: int) -> tuple[CID, int]:
    if at == end or data[at] != _HASH:
        raise DecodeError("dag-pb: a link does not begin with its Hash")
    start, at = _span(data, at + 1, end)
    try:
        return CID.from_bytes(data[start:at]), at
    except InvalidCID as error:
        raise DecodeError(f"dag-pb: the Hash of a link is no CID: {error}") from None


def _name_and_tsize(tail: bytes) -> tuple[str | None, int | None]:
    name = tsize = None
    at, end = 0, len(tail)
    if at < end and tail[at] == _NAME:
        start, at = _span(tail, at + 1, end)
        name = _text(tail[start:at])
    if at < end and tail[at] == _TSIZE:
        tsize, at = varint.decode(tail, at + 1)
    if at != end:
        raise _unexpected(tail[at], "a link")
    return name, tsize


def _span(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the field whose length stands at *at* begins and ends; it must do so up to *end*."""
    if at < end and (size := data[at]) < 0x80:  # nearly always, so it is read in place
        at += 1
    else:
        size, at = varint.decode(data, at)
    if at + size > end:
        raise DecodeError(f"dag-pb: a field of {size} bytes is cut off")
    return at, at + size


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise DecodeError(f"dag-pb: the name {raw[:64]!r} of a link is not UTF-8") from None


def _unexpected(key: int, where: str) -> DecodeError:
    field = f"field {key >> 3} of wire type {key & 7}"
    return DecodeError(f"dag-pb: {field} is unknown, repeated or out of order in {where}")

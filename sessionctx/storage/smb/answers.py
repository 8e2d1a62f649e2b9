"""SMB2 replies from bytes: those that files need, after a login. Pure ([MS-SMB2] 2.2, [MS-FSCC] 2.4).

Nothing is copied: what was read stays where it came in. What breaks the rules is a :exc:`BadAnswer`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import attrs

from sessionctx.errors import BadAnswer
from sessionctx.storage.smb.messages import HEADER, HEADER_SHAPE, SIGNED, Attributes

_ASYNC: Final = 0x2
_CREATED: Final = struct.Struct("<HBBIQQQQQQII16sII")
_CONTEXT: Final = struct.Struct("<IHH2xHI")
_CLOSED: Final = struct.Struct("<HHIQQQQQQI")
_CONTROLLED: Final = struct.Struct("<HHI16sIIIIII")
_FOUND: Final = struct.Struct("<IIQQQQQQIIIB25s2xQ")


@attrs.frozen
class Reply:
    """An answer: its header, and the whole message, to which its offsets refer."""

    command: int
    status: int
    flags: int
    message_id: int
    credits: int
    next: int
    message: memoryview = attrs.field(repr=False)

    @property
    def interim(self) -> bool:
        """Whether it only says that it takes a while."""
        return self.status == 0x103 and bool(self.flags & _ASYNC)

    @property
    def signed(self) -> bool:
        """Whether it is signed."""
        return bool(self.flags & SIGNED)


@attrs.frozen
class Times:
    """What is known of a file; times in the server's own units: 100 ns since 1601."""

    id: int
    """The same for two names of one thing; 0 where the server does not tell."""
    written: int
    changed: int
    size: int
    attributes: int

    @property
    def folder(self) -> bool:
        """Whether it is one."""
        return bool(self.attributes & Attributes.FOLDER)


@attrs.frozen
class Found:
    """One entry of a folder."""

    name: str
    times: Times
    tag: int
    """Of what kind a link or the like is."""


def replies(message: memoryview) -> Iterator[Reply]:
    """Return the replies that came as one message. :exc:`BadAnswer`."""
    while True:
        if len(message) < HEADER or bytes(message[:4]) != b"\xfeSMB":
            raise BadAnswer("what came is no SMB2 message")
        _, _, _, status, command, credit, flags, after, message_id, _, _, _, _ = HEADER_SHAPE.unpack_from(message)
        if after and not HEADER <= after < len(message):
            raise BadAnswer("an SMB2 message ends before its parts do")
        yield Reply(command, status, flags, message_id, credit, after, message[: after or len(message)])
        if not after:
            return
        message = message[after:]


# --- what they say


def created(reply: Reply) -> tuple[bytes, Times]:
    """Return the handle of what was opened, and what it is."""
    values = _unpacked(_CREATED, reply)
    times = Times(_id(_part(reply, values[13], values[14])), values[6], values[7], values[9], values[10])
    return values[12], times


def _id(contexts: memoryview) -> int:
    """Return the id among what was told of an open file besides."""
    try:
        while contexts:
            after, name, length, at, size = _CONTEXT.unpack_from(contexts)
            if bytes(contexts[name : name + length]) == b"QFid" and size >= 8:
                return int.from_bytes(contexts[at : at + 8], "little")
            contexts = contexts[after:] if after else contexts[:0]
    except struct.error:
        raise BadAnswer("what a server tells of an open file breaks the rules") from None
    return 0


def closed(reply: Reply, file_id: int) -> Times:
    """Return what the file with that id was when it was closed."""
    values = _unpacked(_CLOSED, reply)
    return Times(file_id, values[5], values[6], values[8], values[9])


def was_read(reply: Reply) -> memoryview:
    """Return what was read."""
    start, _, length = _unpacked(struct.Struct("<2xBBI"), reply)
    return _part(reply, start, length)


def was_written(reply: Reply) -> int:
    """Return how many bytes were written."""
    return int(_unpacked(struct.Struct("<4xI"), reply)[0])


def found(reply: Reply) -> list[Found]:
    """Return the entries that came."""
    start, length = _unpacked(struct.Struct("<2xHI"), reply)
    page, entries = _part(reply, start, length), list[Found]()
    try:
        while page:
            after, _, _, _, wrote, changed, size, _, attributes, n, tag, _, _, file_id = _FOUND.unpack_from(page)
            name = bytes(page[_FOUND.size : _FOUND.size + n]).decode("utf-16-le", "surrogatepass")
            entries.append(Found(name, Times(file_id, wrote, changed, size, attributes), tag))
            page = page[after:] if after else page[:0]
    except (struct.error, UnicodeDecodeError):
        raise BadAnswer("a page of a folder's entries breaks the rules") from None
    return entries


def key_of(reply: Reply) -> bytes:
    """Return the key that was asked for."""
    return bytes(_controlled(reply))[:24]


def was_copied(reply: Reply) -> int:
    """Return how many bytes were copied."""
    data = _controlled(reply)
    if len(data) < 12:
        raise BadAnswer("a reply to a copy is cut short")
    return int(struct.unpack_from("<III", data)[2])


def _controlled(reply: Reply) -> memoryview:
    values = _unpacked(_CONTROLLED, reply)
    return _part(reply, values[6], values[7])


def _part(reply: Reply, start: int, length: int) -> memoryview:
    part = reply.message[start : start + length]
    if len(part) != length or (length and start < HEADER):
        raise BadAnswer("an SMB2 message ends before what it says to hold")
    return part


def _unpacked(shape: struct.Struct, reply: Reply) -> tuple[Any, ...]:
    try:
        return shape.unpack_from(reply.message, HEADER)
    except struct.error:
        raise BadAnswer("an SMB2 message is cut short") from None

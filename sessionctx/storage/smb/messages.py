"""SMB2 requests as bytes: those that files need, after a login. Pure ([MS-SMB2] 2.2, [MS-FSCC] 2.4).

A request is built with room for its header before it, so that the content of a file is copied into it once and goes out
in one piece.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import attrs

HEADER: Final = 64
LENGTH: Final = 4
"""The length of a message goes before it."""
ROOM: Final = LENGTH + HEADER
WRITE_ROOM: Final = ROOM + 48
"""Where the content begins in a request that writes."""
UNIT: Final = 64 * 1024
"""Bytes that one credit pays for."""

OPENED: Final = b"\xff" * 16
"""The handle of what is opened by the request before."""
RELATED: Final = 0x4
SIGNED: Final = 0x8

HEADER_SHAPE: Final = struct.Struct("<4sHHIHHIIQIIQ16s")
_ASK_ID: Final = struct.pack("<IHHHHI4s4x", 0, 16, 4, 0, 0, 0, b"QFid")
_CREATE: Final = struct.Struct("<HBBIQQIIIIIHHII")
_READ: Final = struct.Struct("<HBBIQ16sIIIHHB")
_WRITE: Final = struct.Struct("<HHIQ16sIIHHI")
_SET: Final = struct.Struct("<HBBIHHI16s")
_FIND: Final = struct.Struct("<HBBI16sHHI")
_CONTROL: Final = struct.Struct("<HHI16sIIIIIIII")
_CHUNK: Final = struct.Struct("<QQII")

_RESUME_KEY: Final = 0x00140078
_COPY_CHUNK: Final = 0x001480F2


class Command(enum.IntEnum):
    """The commands that are used here."""

    CREATE = 5
    CLOSE = 6
    FLUSH = 7
    READ = 8
    WRITE = 9
    CONTROL = 11
    ECHO = 13
    FIND = 14
    SET = 17


class Access(enum.IntFlag):
    """What an open file is wanted for."""

    READ = 0x1
    WRITE = 0x2
    READ_ATTRIBUTES = 0x80
    WRITE_ATTRIBUTES = 0x100
    DELETE = 0x10000
    SYNCHRONIZE = 0x100000


class How(enum.IntEnum):
    """What is done where the name is there already, or is not."""

    OPEN = 1
    CREATE = 2
    OPEN_OR_CREATE = 3


class Options(enum.IntFlag):
    """What kind of thing is opened."""

    ANY = 0
    FOLDER = 0x1
    FILE = 0x40
    THE_LINK_ITSELF = 0x200000


class Attributes(enum.IntFlag):
    """What a file is."""

    HIDDEN = 0x2
    FOLDER = 0x10
    NORMAL = 0x80
    REPARSE = 0x400


@attrs.define(eq=False)
class Ask:
    """A request: *frame* has `ROOM` for its length and header before the body; *payload* is what it will move."""

    command: Command
    frame: bytearray = attrs.field(repr=False)
    payload: int = 0
    then: Ask | None = None
    """Another that goes out with it, about the file that it opens; its handle is `OPENED`."""

    @property
    def units(self) -> int:
        """Credits that it costs, where they are counted by size."""
        return max(1, -(-self.payload // UNIT))


def ask(command: Command, body: bytes, payload: int = 0) -> Ask:
    """Return the request with this body."""
    return Ask(command, bytearray(ROOM) + body, payload)


# --- requests


def create(name: str, access: Access, how: How, options: Options, attributes: int = Attributes.NORMAL) -> Ask:
    """Open or make what is called *name*, and ask for its id; others may do with it meanwhile what they like."""
    wire = name.encode("utf-16-le")
    start, padding = HEADER + 56, -len(wire) % 8
    place = (start, len(wire), start + len(wire) + padding, len(_ASK_ID))
    attributes = 0 if options & Options.FOLDER else attributes
    body = _CREATE.pack(57, 0, 0, 2, 0, 0, access, attributes, 7, how, options, *place)
    return ask(Command.CREATE, body + wire + bytes(padding) + _ASK_ID)


def close(handle: bytes, *, tell: bool = False) -> Ask:
    """Close; *tell* what the file is now."""
    return ask(Command.CLOSE, struct.pack("<HHI16s", 24, tell, 0, handle))


def read(handle: bytes, offset: int, length: int) -> Ask:
    """Read *length* bytes from *offset*."""
    return ask(Command.READ, _READ.pack(49, 0x50, 0, length, offset, handle, 0, 0, 0, 0, 0, 0), length)


def write(handle: bytes, offset: int, frame: bytearray) -> Ask:
    """Write what lies in *frame* from `WRITE_ROOM` on; it is the request's from now on."""
    length = len(frame) - WRITE_ROOM
    _WRITE.pack_into(frame, ROOM, 49, HEADER + 48, length, offset, handle, 0, 0, 0, 0, 0)
    return Ask(Command.WRITE, frame, length)


def flush(handle: bytes) -> Ask:
    """Let it be on the disk."""
    return ask(Command.FLUSH, struct.pack("<HHI16s", 24, 0, 0, handle))


def echo() -> Ask:
    """Say that you are there."""
    return ask(Command.ECHO, struct.pack("<HH", 4, 0))


def find(handle: bytes, room: int) -> Ask:
    """List the next entries of a folder, as many as *room* bytes hold."""
    return ask(Command.FIND, _FIND.pack(33, 37, 0, 0, handle, HEADER + 32, 2, room) + b"*\0", room)


def set_time(handle: bytes, written: int) -> Ask:
    """Set the time of the last change of the content."""
    return _set(handle, 4, struct.pack("<QQQQII", 0, 0, written, 0, 0, 0))


def set_delete(handle: bytes, *, delete: bool) -> Ask:
    """Let it be deleted when it is closed, or not after all."""
    return _set(handle, 13, bytes([delete]))


def set_name(handle: bytes, name: str, *, replace: bool) -> Ask:
    """Rename it to *name*, a path within the share."""
    wire = name.encode("utf-16-le")
    return _set(handle, 10, struct.pack("<B7xQI", replace, 0, len(wire)) + wire.ljust(4, b"\0"))


def ask_key(handle: bytes) -> Ask:
    """Ask for the key by which a file is named as the source of copies."""
    return _control(handle, _RESUME_KEY, b"", 32)


def copy_chunks(handle: bytes, key: bytes, offset: int, lengths: list[int]) -> Ask:
    """Copy pieces of these lengths, from *offset* on, from the file with that key, to the same place."""
    data = bytearray(struct.pack("<24sII", key, len(lengths), 0))
    for length in lengths:
        data += _CHUNK.pack(offset, offset, length, 0)
        offset += length
    return _control(handle, _COPY_CHUNK, bytes(data), 12)


def _set(handle: bytes, kind: int, data: bytes) -> Ask:
    return ask(Command.SET, _SET.pack(33, 1, kind, len(data), HEADER + 32, 0, 0, handle) + data, len(data))


def _control(handle: bytes, code: int, data: bytes, answer: int) -> Ask:
    body = _CONTROL.pack(57, 0, code, handle, HEADER + 56, len(data), 0, 0, 0, answer, 1, 0)
    return ask(Command.CONTROL, body + data, max(len(data), answer))


# --- headers


def put_header(
    frame: bytearray,
    command: Command,
    *,
    message_id: int,
    session: int,
    tree: int,
    charge: int,
    wanted: int,
    flags: int,
    after: int = 0,
) -> None:
    """Write length and header of a request into its frame, unsigned.

    *wanted* is how many credits; *after* where the next request of the same message begins.
    """
    put_length(frame)
    fields = (HEADER, charge, 0, command, wanted, flags, after, message_id, 0, tree, session, bytes(16))
    HEADER_SHAPE.pack_into(frame, LENGTH, b"\xfeSMB", *fields)


def put_length(frame: bytearray) -> None:
    """Write the length of the message before it."""
    struct.pack_into(">I", frame, 0, len(frame) - LENGTH)

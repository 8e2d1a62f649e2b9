"""What an SFTP server says: version 3 (draft-ietf-secsh-filexfer-02), read into values. Pure, and bounded."""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import attrs

from sessionctx.storage.base import Kind

VERSION, STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, NO_CONNECTION, CONNECTION_LOST, UNSUPPORTED = range(9)

MOST_HANDLE: Final = 256
"""Bytes of a handle, as the draft has it."""

_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 1, 2, 4, 8, 0x8000_0000
_USUAL: Final = _HAS_SIZE | _HAS_OWNER | _HAS_MODE | _HAS_TIMES
_USUAL_FIELDS: Final = struct.Struct(">QQIII")
_KINDS: Final[dict[int, Kind]] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


class BadPacket(ValueError):
    """What the server sent is no packet of SFTP 3."""


@attrs.frozen
class Version:
    """Which version it speaks, and what it can do beyond that."""

    number: int
    extensions: Mapping[bytes, bytes]


@attrs.frozen
class Status:
    """It is done, or why not."""

    code: int
    message: str = ""


@attrs.frozen
class Handle:
    """What an open file or folder is called from now on."""

    name: bytes


@attrs.frozen(eq=False)
class Data:
    """Bytes of a file: a view of what was received."""

    data: memoryview


@attrs.frozen
class Attributes:
    """What is known of a file; None is what was not told."""

    size: int | None = None
    mode: int | None = None
    """With the kind of file in its upper bits."""
    modified: int | None = None
    """Seconds since 1970."""

    @property
    def kind(self) -> Kind:
        """What it is; a server that tells no mode is thought to speak of files."""
        return "file" if self.mode is None else _KINDS.get(stat.S_IFMT(self.mode), "other")


@attrs.frozen
class Names:
    """Some entries of a folder; or the one path that was asked for."""

    names: tuple[tuple[bytes, Attributes], ...]


@attrs.frozen
class Extended:
    """What an extension answers, in its own form."""

    data: memoryview

    def numbers(self, count: int) -> tuple[int, ...]:
        """Return the first *count* 64-bit numbers of it. :exc:`BadPacket` if there are fewer."""
        fields = Fields(self.data)
        return tuple(fields.u64() for _ in range(count))


Reply: TypeAlias = Status | Handle | Data | Attributes | Names | Extended


@attrs.define(eq=False)
class Fields:
    """Fields of a packet, read one after the other; none reaches beyond its end: :exc:`BadPacket`."""

    data: memoryview
    at: int = 0

    def u32(self) -> int:
        """Read a number of 32 bits."""
        number: int = _U32.unpack_from(self.data, self.step(4))[0]
        return number

    def u64(self) -> int:
        """Read a number of 64 bits."""
        number: int = _U64.unpack_from(self.data, self.step(8))[0]
        return number

    def string(self) -> memoryview:
        """Read a byte string with its length before it."""
        length = self.u32()
        begin = self.step(length)
        return self.data[begin : begin + length]

    def left(self) -> int:
        """Return how many bytes have not been read."""
        return len(self.data) - self.at

    def step(self, size: int) -> int:
        """Go on by *size* bytes, and return where they begin. :exc:`BadPacket` if there are fewer."""
        begin = self.at
        if size > len(self.data) - begin:
            raise BadPacket(f"a field of {size} bytes reaches beyond the end of its packet")
        self.at = begin + size
        return begin


def parse(packet: memoryview) -> tuple[int, Reply]:
    """Return which request this packet answers, and how. :exc:`BadPacket`."""
    if len(packet) < 5:
        raise BadPacket(f"a packet of {len(packet)} bytes")
    read = _READERS.get(packet[0])
    if read is None:
        raise BadPacket(f"a packet of the unknown type {packet[0]}")
    return _U32.unpack_from(packet, 1)[0], read(Fields(packet, 5))


def parse_version(packet: memoryview) -> Version:
    """Return what the first packet of a server says. :exc:`BadPacket` if it is no such."""
    if len(packet) < 5 or packet[0] != VERSION:
        raise BadPacket("it does not begin with its version")
    fields = Fields(packet, 1)
    number = fields.u32()
    extensions: dict[bytes, bytes] = {}
    while fields.left():
        name = bytes(fields.string())
        extensions[name] = bytes(fields.string())
    return Version(number, extensions)


def attributes(fields: Fields) -> Attributes:
    """Read the attributes of a file."""
    flags = fields.u32()
    if flags == _USUAL:  # one step for what comes a hundred thousand times in a large folder
        size, _, mode, _, modified = _USUAL_FIELDS.unpack_from(fields.data, fields.step(_USUAL_FIELDS.size))
        return Attributes(size, mode, modified)
    size = fields.u64() if flags & _HAS_SIZE else None
    if flags & _HAS_OWNER:
        fields.u64()
    mode = fields.u32() if flags & _HAS_MODE else None
    modified = None
    if flags & _HAS_TIMES:
        fields.u32()
        modified = fields.u32()
    if flags & _HAS_MORE:
        for _ in range(fields.u32()):  # each takes 8 bytes at least: the end of the packet bounds them
            fields.string()
            fields.string()
    return Attributes(size, mode, modified)


def _status(fields: Fields) -> Status:
    code = fields.u32()
    message = fields.string() if fields.left() else b""  # older servers say nothing more
    return Status(code, _shown(bytes(message[:200])))


def _handle(fields: Fields) -> Handle:
    name = bytes(fields.string())
    if len(name) > MOST_HANDLE:
        raise BadPacket(f"a handle of {len(name)} bytes")
    return Handle(name)


def _data(fields: Fields) -> Data:
    return Data(fields.string())


def _names(fields: Fields) -> Names:
    count = fields.u32()
    names: list[tuple[bytes, Attributes]] = []
    for _ in range(count):  # each takes 12 bytes at least
        name = bytes(fields.string())
        fields.string()  # the same for people, as `ls -l` has it
        names.append((name, attributes(fields)))
    return Names(tuple(names))


def _extended(fields: Fields) -> Extended:
    return Extended(fields.data[fields.at :])


def _shown(text: bytes) -> str:
    return "".join(c if c.isprintable() else "?" for c in text.decode(errors="replace"))


_READERS: Final[dict[int, Callable[[Fields], Reply]]] = {
    STATUS: _status,
    HANDLE: _handle,
    DATA: _data,
    NAME: _names,
    ATTRS: attributes,
    EXTENDED_REPLY: _extended,
}

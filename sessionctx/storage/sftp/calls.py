"""What an SFTP server is asked: packets of version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions. Pure.

A `Call` is a request without its number, which the line gives it.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

import attrs

Buffer: TypeAlias = bytes | bytearray | memoryview

READING, WRITING, CREATING, EXCLUSIVE = 1, 2, 8, 32

POSIX_RENAME: Final = b"posix-rename@openssh.com"
"""Renames in place of what is there, at once."""
HARDLINK: Final = b"hardlink@openssh.com"
"""Gives a file a second name, if nothing has it."""
FSYNC: Final = b"fsync@openssh.com"
LIMITS: Final = b"limits@openssh.com"
STATVFS: Final = b"statvfs@openssh.com"
COPY_DATA: Final = b"copy-data"
VERSIONS: Final = {POSIX_RENAME: b"1", HARDLINK: b"1", FSYNC: b"1", LIMITS: b"1", STATVFS: b"2", COPY_DATA: b"1"}
"""The version of each extension that is spoken here."""

_HEAD: Final = struct.Struct(">IBI")
_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")


@attrs.frozen(eq=False)
class Call:
    """One request: its type, its fields, and the data that follow them."""

    kind: int
    fields: bytes
    data: Buffer = b""

    def head(self, number: int) -> bytes:
        """Return the packet as number *number*, up to its data."""
        return _HEAD.pack(5 + len(self.fields) + len(self.data), self.kind, number) + self.fields


INIT: Final = struct.pack(">IBI", 5, 1, 3)
"""The first packet: version 3 is spoken."""


def _string(text: Buffer) -> bytes:
    return _U32.pack(len(text)) + text


def _attributes(mode: int | None = None, modified: int | None = None) -> bytes:
    flags = (0 if mode is None else 4) | (0 if modified is None else 8)
    fields = b"" if mode is None else _U32.pack(mode)
    return _U32.pack(flags) + fields + (b"" if modified is None else _U32.pack(modified) * 2)


def open_file(path: bytes, flags: int, mode: int | None = None) -> Call:
    """Open a file, which a new one gets *mode* for."""
    return Call(3, _string(path) + _U32.pack(flags) + _attributes(mode))


def close(handle: bytes) -> Call:
    """Close a file or a folder."""
    return Call(4, _string(handle))


def read(handle: bytes, offset: int, length: int) -> Call:
    """Read *length* bytes; fewer may come."""
    return Call(5, _string(handle) + _U64.pack(offset) + _U32.pack(length))


def write(handle: bytes, offset: int, data: Buffer) -> Call:
    """Write *data*, a flat sequence of bytes that nobody changes until it is sent."""
    return Call(6, _string(handle) + _U64.pack(offset) + _U32.pack(len(data)), data)


def lstat(path: bytes) -> Call:
    """Look at what is there, be it a link."""
    return Call(7, _string(path))


def fstat(handle: bytes) -> Call:
    """Look at an open file."""
    return Call(8, _string(handle))


def fsetstat(handle: bytes, *, mode: int | None, modified: int | None) -> Call:
    """Set permissions and times of an open file."""
    return Call(10, _string(handle) + _attributes(mode, modified))


def open_folder(path: bytes) -> Call:
    """Open a folder."""
    return Call(11, _string(path))


def read_folder(handle: bytes) -> Call:
    """Ask for some more of its entries."""
    return Call(12, _string(handle))


def remove(path: bytes) -> Call:
    """Remove a file or a link."""
    return Call(13, _string(path))


def mkdir(path: bytes) -> Call:
    """Make one folder."""
    return Call(14, _string(path) + _attributes())


def rmdir(path: bytes) -> Call:
    """Remove an empty folder."""
    return Call(15, _string(path))


def realpath(path: bytes) -> Call:
    """Ask what a path is without links."""
    return Call(16, _string(path))


def stat(path: bytes) -> Call:
    """Look at what is there, or at what a link leads to."""
    return Call(17, _string(path))


def rename(path: bytes, target: bytes) -> Call:
    """Rename, if *target* is not taken."""
    return Call(18, _string(path) + _string(target))


def _extended(name: bytes, fields: bytes = b"") -> Call:
    return Call(200, _string(name) + fields)


def posix_rename(path: bytes, target: bytes) -> Call:
    """Rename, in place of what is there."""
    return _extended(POSIX_RENAME, _string(path) + _string(target))


def hardlink(path: bytes, target: bytes) -> Call:
    """Give a file the name *target*, too, if that is not taken."""
    return _extended(HARDLINK, _string(path) + _string(target))


def fsync(handle: bytes) -> Call:
    """Wait until what was written is on the disk."""
    return _extended(FSYNC, _string(handle))


def limits() -> Call:
    """Ask how long packets may be."""
    return _extended(LIMITS)


def statvfs(path: bytes) -> Call:
    """Ask how much room there is."""
    return _extended(STATVFS, _string(path))


def copy_data(source: bytes, offset: int, length: int, target: bytes, at: int) -> Call:
    """Copy bytes between open files."""
    return _extended(
        COPY_DATA, _string(source) + _U64.pack(offset) + _U64.pack(length) + _string(target) + _U64.pack(at)
    )

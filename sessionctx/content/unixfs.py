"""UnixFS: what the Data of a dag-pb node says about a file or directory.

Source: specs.ipfs.tech/unixfs. A protobuf: Type = 1, Data = 2, filesize = 3, blocksizes = 4, hashType = 5, fanout = 6,
mode = 7, mtime = 8 (Seconds = 1, FractionalNanoseconds = 2). Blocksizes are read packed or not, and written unpacked,
as all importers do. Unknown fields are skipped, as protobuf wants it; known ones may not be repeated.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs

from sessionctx.content import protobuf
from sessionctx.content.dagpb import PBNode
from sessionctx.errors import DecodeError, InvalidDag


class Type(enum.IntEnum):
    """What a node is."""

    RAW = 0
    """A leaf of old files; new ones are raw blocks."""
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT_SHARD = 5
    """A directory, or a part of one, that is spread over blocks by the hash of the names."""


@attrs.define
class Mtime:
    """When it was changed: *seconds* since 1970, may be negative, and *nanoseconds* (0 to 999 999 999)."""

    seconds: int
    nanoseconds: int = 0


@attrs.define
class Data:
    """The fields of a node; ``None`` where absent. Sizes are in bytes.

    *data* is file content, the target of a symlink or the bitfield of a HAMT shard. *mode* holds all 32 bits; only the
    lower 12 have a meaning (``mode & 0o7777``).
    """

    type: Type
    data: bytes | None = None
    filesize: int | None = None
    blocksizes: tuple[int, ...] = ()
    hash_type: int | None = None
    fanout: int | None = None
    mode: int | None = None
    mtime: Mtime | None = None


# keys of the fields: number << 3 | wire type
_TYPE, _DATA, _FILESIZE, _BLOCKSIZES, _PACKED = 0x08, 0x12, 0x18, 0x20, 0x22
_HASH_TYPE, _FANOUT, _MODE, _MTIME = 0x28, 0x30, 0x38, 0x42
_SINGLE: Final = frozenset((_TYPE, _DATA, _FILESIZE, _HASH_TYPE, _FANOUT, _MODE, _MTIME))
_SECONDS, _NANOSECONDS = 0x08, 0x15
_TYPES: Final = frozenset(Type)
_SECOND: Final = 1_000_000_000  # in nanoseconds
_Fields: TypeAlias = dict[int, int | bytes]


def encode(node: Data) -> bytes:
    """Return the bytes of *node*. :exc:`ValueError` for numbers out of range."""
    out = [b"\x08", protobuf.varint(node.type)]
    if node.data is not None:
        out += (b"\x12", protobuf.varint(len(node.data)), node.data)
    if node.filesize is not None:
        out += (b"\x18", protobuf.varint(node.filesize))
    known = {size: b"\x20" + protobuf.varint(size) for size in set(node.blocksizes)}
    out += [known[size] for size in node.blocksizes]
    for key, value in ((b"\x28", node.hash_type), (b"\x30", node.fanout), (b"\x38", node.mode)):
        if value is not None:
            out += (key, protobuf.varint(value))
    if node.mtime is not None:
        body = _encode_mtime(node.mtime)
        out += (b"\x42", protobuf.varint(len(body)), body)
    return b"".join(out)


def _encode_mtime(mtime: Mtime) -> bytes:
    if not -(1 << 63) <= mtime.seconds < 1 << 63 or not 0 <= mtime.nanoseconds < _SECOND:
        raise ValueError(f"{mtime} is out of range")
    out = b"\x08" + protobuf.varint(mtime.seconds % (1 << 64))
    return out + b"\x15" + mtime.nanoseconds.to_bytes(4, "little") if mtime.nanoseconds else out


def decode(data: bytes) -> Data:
    """Read the Data of a dag-pb node. :exc:`DecodeError` if it is not UnixFS."""
    found, sizes = _read(data)
    kind, mtime = found.get(_TYPE), _bytes(found, _MTIME)
    if kind not in _TYPES:
        raise DecodeError(f"unixfs: there is no type {kind!r}")
    return Data(
        Type(kind),
        _bytes(found, _DATA),
        _number(found, _FILESIZE),
        tuple(sizes),
        _number(found, _HASH_TYPE),
        _number(found, _FANOUT),
        _number(found, _MODE),
        None if mtime is None else _decode_mtime(mtime),
    )


def _read(data: bytes) -> tuple[_Fields, list[int]]:
    found: _Fields = {}
    sizes: list[int] = []
    at = 0
    try:
        while at < len(data):
            start = at
            key, value, at = protobuf.read_field(data, at)
            if key == _BLOCKSIZES and isinstance(value, int):
                same = data[start:at]
                sizes.append(value)
                while data.startswith(same, at):  # nearly all blocks of a file have one size
                    sizes.append(value)
                    at += len(same)
            elif key == _PACKED and isinstance(value, bytes):
                sizes += _unpack(value)
            elif key >> 3 <= _MTIME >> 3:
                _note(found, key, value, _SINGLE)
    except DecodeError as error:
        raise DecodeError(f"unixfs: {error}") from None
    return found, sizes


def _unpack(data: bytes) -> list[int]:
    numbers: list[int] = []
    at = 0
    while at < len(data):
        number, at = protobuf.read_varint(data, at)
        numbers.append(number)
    return numbers


def _note(found: _Fields, key: int, value: int | bytes, known: frozenset[int]) -> None:
    if key in found or key not in known:
        raise DecodeError(f"field {key >> 3} is repeated or of wire type {key & 7}, which is wrong")
    found[key] = value


def _number(found: _Fields, key: int) -> int | None:
    value = found.get(key)
    return value if isinstance(value, int) else None


def _bytes(found: _Fields, key: int) -> bytes | None:
    value = found.get(key)
    return value if isinstance(value, bytes) else None


def _decode_mtime(data: bytes) -> Mtime:
    found: _Fields = {}
    at = 0
    try:
        while at < len(data):
            key, value, at = protobuf.read_field(data, at)
            if key >> 3 <= _NANOSECONDS >> 3:
                _note(found, key, value, frozenset((_SECONDS, _NANOSECONDS)))
    except DecodeError as error:
        raise DecodeError(f"unixfs: mtime: {error}") from None
    seconds = _number(found, _SECONDS)
    nanoseconds = int.from_bytes(_bytes(found, _NANOSECONDS) or b"", "little")
    if seconds is None or nanoseconds >= _SECOND:
        raise DecodeError("unixfs: mtime: the seconds are missing, or the nanoseconds make more than one")
    return Mtime(seconds - (1 << 64) if seconds >> 63 else seconds, nanoseconds)


def check_file(data: Data, node: PBNode) -> int:
    """Check that a file node agrees with itself, and return the size of the file in bytes.

    :exc:`InvalidDag` unless it is a file with one block size for each link, no names, and a *filesize* (0 if absent)
    that is the sum of the block sizes and the bytes inside.
    """
    if data.type not in (Type.FILE, Type.RAW):
        raise InvalidDag(f"a file was wanted, and this is a node of type {data.type.name}")
    if len(data.blocksizes) != len(node.links):
        raise InvalidDag(f"a file node has {len(node.links)} links but {len(data.blocksizes)} block sizes")
    if any(link.name for link in node.links):
        raise InvalidDag("a file node has a link with a name, as only directories do")
    size = len(data.data or b"") + sum(data.blocksizes)
    if (data.filesize or 0) != size:
        raise InvalidDag(f"a file node says it has {data.filesize or 0} bytes, but its parts add up to {size}")
    return size

"""CAR, version 2: a CAR of version 1 in an envelope that says where it is, and where an index of it is. Pure.

Source: ipld.io/specs/transport/car/carv2.
"""

from __future__ import annotations

import struct
from typing import Final

import attrs

from sessionctx.errors import CarError, CarTruncated

PRAGMA: Final = bytes.fromhex("0aa16776657273696f6e02")
"""How each begins: the header of a CAR that says version 2, and no more."""
_HEADER: Final = struct.Struct("<16sQQQ")
BEGINNING: Final = len(PRAGMA) + _HEADER.size
"""Bytes of the pragma and the header."""


@attrs.frozen
class Header:
    """Where things are, in bytes from the beginning."""

    data_offset: int
    """Where the CAR of version 1 begins."""
    data_size: int
    index_offset: int = 0
    """Where the index begins; 0 for none."""


def encode_beginning(header: Header) -> bytes:
    """Return the pragma and the header."""
    return PRAGMA + _HEADER.pack(bytes(16), header.data_offset, header.data_size, header.index_offset)


def decode_header(data: bytes) -> Header:
    """Read the header behind the pragma. :exc:`CarError` if it contradicts itself."""
    _, data_offset, data_size, index_offset = _HEADER.unpack(data)
    header = Header(data_offset, data_size, index_offset)
    if data_offset < BEGINNING or not data_size:
        raise CarError(f"CAR: the header of version 2 says that {data_size} bytes of data begin at byte {data_offset}")
    if index_offset and index_offset < data_offset + data_size:
        raise CarError(
            f"CAR: the header of version 2 says that the index begins within the data, at byte {index_offset}"
        )
    return header


class Envelope:
    """Takes the envelope off a stream of bytes, if it has one."""

    def __init__(self) -> None:
        self.header: Header | None = None
        """What the envelope says, ``None`` for version 1, and until it has been read."""
        self._head = b""  # until it is known which version this is
        self._known = False
        self._skip = 0  # bytes before the data that are still to come
        self._left = 0  # bytes of the data that are

    def open(self, chunk: bytes | memoryview) -> bytes | memoryview:
        """Return what of the next bytes belongs to the CAR of version 1. :exc:`CarError`."""
        if not self._known:
            self._head += chunk
            if not self._look():
                return b""
            chunk, self._head = self._head, b""
            if self.header is not None:
                chunk = chunk[BEGINNING:]
        if self.header is None:
            return chunk
        skipped = min(self._skip, len(chunk))
        self._skip -= skipped
        inner = chunk[skipped : skipped + self._left]
        self._left -= len(inner)
        return inner

    def finish(self) -> bytes:
        """Say that the stream has ended; returns what was too short to tell. :exc:`CarTruncated`."""
        if not self._known and self._head.startswith(PRAGMA):
            raise CarTruncated(f"the CAR ends within its header of version 2, after {len(self._head)} bytes")
        if self._left:
            raise CarTruncated(f"the CAR ends {self._left} bytes before the end of its data")
        rest, self._head, self._known = self._head, b"", True
        return rest

    def _look(self) -> bool:
        """Return whether it is known by now what this is."""
        if self._head[: len(PRAGMA)] != PRAGMA[: len(self._head)]:
            self._known = True
        elif len(self._head) >= BEGINNING:
            self._known, self.header = True, decode_header(self._head[len(PRAGMA) : BEGINNING])
            self._skip, self._left = self.header.data_offset - BEGINNING, self.header.data_size
        return self._known

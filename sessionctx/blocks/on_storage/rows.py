"""Rows: where each block is, in 48 bytes a block, sorted by key; found by halving. Pure.

A key has 32 bytes: the digest itself where the hash function is SHA2-256, else the BLAKE2b-256 of the multihash. So
keys are of one width, spread evenly, and no block can be made whose key is that of another.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from sessionctx.content import SHA2_256, multihash

KEY: Final = 32
"""Bytes of a key."""
_ROW: Final = struct.Struct(">32sQII")
ROW: Final = _ROW.size
"""Bytes of a row."""
_STRIDE: Final = 16 * ROW
_FENCE: Final = 8


@attrs.frozen
class Place:
    """Where the bytes of a block are: *length* bytes from *offset* on, in the object with this number."""

    object: int
    """Never 0."""
    offset: int
    """0 for an object that is one block, and no pack."""
    length: int


def key_of(name: bytes) -> bytes:
    """Return the key of a multihash."""
    code, digest = multihash.split(name)
    if code == SHA2_256 and len(digest) == KEY:
        return digest
    return hashlib.blake2b(name, digest_size=KEY).digest()


def row_of(key: bytes, place: Place | None) -> bytes:
    """Return the row that says where a block is; with None, that it is there no longer."""
    return _ROW.pack(key, 0, 0, 0) if place is None else _ROW.pack(key, place.object, place.offset, place.length)


def place_in(row: bytes) -> Place | None:
    """Read a row; None if it says that the block is there no longer."""
    _, number, offset, length = _ROW.unpack(row)
    return Place(number, offset, length) if number else None


def cut(rows: bytes) -> Iterator[bytes]:
    """Give the rows one by one."""
    return (rows[at : at + ROW] for at in range(0, len(rows), ROW))


def position(rows: bytes, key: bytes) -> int:
    """Return the first byte of the first row whose key is not below *key*; the end, where there is none."""
    low, high = 0, len(rows) // ROW
    while low < high:
        middle = (low + high) // 2
        if rows[middle * ROW : middle * ROW + KEY] < key:
            low = middle + 1
        else:
            high = middle
    return low * ROW


def find(rows: bytes, key: bytes) -> bytes | None:
    """Return the row of *key*, if there is one."""
    at = position(rows, key)
    row = rows[at : at + ROW]
    return row if row[:KEY] == key else None


def newest(runs: Iterable[bytes]) -> list[bytes]:
    """Merge runs of rows, the newest last: sorted, and of each key the row of the last run that has one."""
    chosen: dict[bytes, bytes] = {}
    for run in runs:
        for row in cut(run):
            chosen[row[:KEY]] = row
    return sorted(chosen.values())


def _fences_of(run: Run) -> array[int]:
    starts = range(0, len(run.rows), _STRIDE)
    return array("Q", [int.from_bytes(run.rows[at : at + _FENCE]) for at in starts])


@attrs.frozen(eq=False)
class Run:
    """Sorted rows in memory, with a fence every 16 of them, so that a key is found in less than a microsecond."""

    rows: bytes
    _fences: array[int] = attrs.field(init=False, default=attrs.Factory(_fences_of, takes_self=True))

    def __len__(self) -> int:
        return len(self.rows) // ROW

    def find(self, key: bytes) -> bytes | None:
        """Return the row of *key*, if there is one."""
        fence = int.from_bytes(key[:_FENCE])
        at = max(bisect_left(self._fences, fence) - 1, 0) * _STRIDE
        end = bisect_right(self._fences, fence) * _STRIDE
        while (at := self.rows.find(key, at, end)) % ROW:
            if at < 0:
                return None
            at += 1
        return self.rows[at : at + ROW]


def recent(runs: Sequence[Run], keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the row of each key from the last of *runs* that has one."""
    rows: dict[bytes, bytes] = {}
    for key in keys:
        for run in reversed(runs):
            if (row := run.find(key)) is not None:
                rows[key] = row
                break
    return rows

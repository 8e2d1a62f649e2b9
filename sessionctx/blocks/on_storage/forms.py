"""The objects that say where blocks are, as bytes: entries of the log, and the base that sums up what is before. Pure.

Each ends in the SHA2-256 of all that is before it, which tells a damaged one from a good one. Numbers are big-endian.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import attrs

from sessionctx.blocks.on_storage.rows import KEY, ROW
from sessionctx.errors import StoreCorrupt

MAX_ROWS: Final = 65_536
"""Rows of an entry: it has 3 MiB at most, and so is written in one request everywhere."""
PAGE_ROWS: Final = 1365
"""Rows of a page of the base, which is the least that is read of it: 64 KiB."""
PAGE: Final = PAGE_ROWS * ROW
SHARD_PAGES: Final = 64
"""Pages of each object of the base but the last: 4 MiB, so it is written in one request everywhere."""
MAX_SHARDS: Final = 131_072
"""Objects of a base: 11 thousand million rows."""

_ENTRY: Final = struct.Struct(">8s16s")
_POINTER: Final = struct.Struct(">8sQ")
_BASE: Final = struct.Struct(">8sQQ")
_ENTRY_MAGIC: Final = b"sctxlog\x01"
_BASE_MAGIC: Final = b"sctxbas\x01"
_POINTER_MAGIC: Final = b"sctxptr\x01"
_SUM: Final = 32
_CHECK: Final = 8

MAX_ENTRY: Final = _ENTRY.size + MAX_ROWS * ROW + _SUM
MAX_POINTER: Final = _POINTER.size + _SUM
MAX_BASE: Final = _BASE.size + MAX_SHARDS * (8 + SHARD_PAGES * 16) + _SUM


@attrs.frozen
class Entry:
    """What one commit changed."""

    nonce: bytes
    """16 bytes by which its writer knows it again."""
    rows: bytes


def encode_entry(entry: Entry) -> bytes:
    """Return it as an object."""
    return _sealed(_ENTRY.pack(_ENTRY_MAGIC, entry.nonce) + entry.rows)


def decode_entry(data: bytes) -> Entry:
    """Read the object. :exc:`~sessionctx.errors.StoreCorrupt`."""
    body = _unsealed(data, _ENTRY.size)
    magic, nonce = _ENTRY.unpack_from(body)
    if magic != _ENTRY_MAGIC or (len(body) - _ENTRY.size) % ROW or len(data) > MAX_ENTRY:
        raise StoreCorrupt("it is no entry of a log")
    return Entry(nonce, body[_ENTRY.size :])


@attrs.frozen
class Base:
    """Where every block was once the entry *seq* of the log had been written, in pages of sorted rows.

    The rows are in objects, its *shards*, of `SHARD_PAGES` pages each; here is what is needed to read the right page.
    """

    seq: int
    rows: int
    """How many they are, altogether."""
    shards: Sequence[int]
    """The numbers of the objects."""
    fences: Sequence[int]
    """The first eight bytes of the first key of each page."""
    checks: bytes
    """Eight bytes of the hash of each page."""

    def pages(self, key: bytes) -> range:
        """Return in which pages a row of *key* may be: hardly ever more than one."""
        fence = int.from_bytes(key[:8])
        return range(max(bisect_left(self.fences, fence) - 1, 0), bisect_right(self.fences, fence))

    def part(self, page: int) -> tuple[int, int, int]:
        """Return in which object a page is, where it begins there, and how many bytes it has."""
        shard, number = divmod(page, SHARD_PAGES)
        return self.shards[shard], number * PAGE, min(PAGE, self.rows * ROW - page * PAGE)

    def is_page(self, page: int, data: bytes) -> bool:
        """Whether *data* are the bytes of that page."""
        return check_of(data) == self.checks[page * _CHECK : (page + 1) * _CHECK]


def shard_bytes() -> int:
    """Return how many bytes an object of a base has, but the last."""
    return SHARD_PAGES * PAGE


def check_of(page: bytes) -> bytes:
    """Return the eight bytes that tell a damaged page."""
    return hashlib.blake2b(page, digest_size=_CHECK).digest()


def fence_of(page: bytes) -> int:
    """Return the first eight bytes of the first key."""
    return int.from_bytes(page[: min(8, KEY)])


def encode_base(base: Base) -> bytes:
    """Return it as an object."""
    head = _BASE.pack(_BASE_MAGIC, base.seq, base.rows)
    return _sealed(head + _numbers(base.shards) + _numbers(base.fences) + base.checks)


def decode_base(data: bytes) -> Base:
    """Read the object. :exc:`~sessionctx.errors.StoreCorrupt`."""
    body = _unsealed(data, _BASE.size)
    magic, seq, rows = _BASE.unpack_from(body)
    pages = -(-rows // PAGE_ROWS)
    shards = -(-pages // SHARD_PAGES)
    if magic != _BASE_MAGIC or len(body) != _BASE.size + 8 * shards + (8 + _CHECK) * pages:
        raise StoreCorrupt("it is no base")
    at = _BASE.size
    parts = [body[at : at + 8 * shards], body[at + 8 * shards : at + 8 * (shards + pages)]]
    return Base(seq, rows, _read_numbers(parts[0]), _read_numbers(parts[1]), body[at + 8 * (shards + pages) :])


def encode_pointer(number: int) -> bytes:
    """Return what names the object in which a base is. So a base is begun in one small request, however large it is."""
    return _sealed(_POINTER.pack(_POINTER_MAGIC, number))


def decode_pointer(data: bytes) -> int:
    """Read the object. :exc:`~sessionctx.errors.StoreCorrupt`."""
    body = _unsealed(data, _POINTER.size)
    if len(body) != _POINTER.size or not body.startswith(_POINTER_MAGIC):
        raise StoreCorrupt("it does not name a base")
    return int.from_bytes(body[-8:])


def _numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(numbers)}Q", *numbers)


def _read_numbers(data: bytes) -> array[int]:
    return array("Q", struct.unpack(f">{len(data) // 8}Q", data))


def _sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def _unsealed(data: bytes, least: int) -> bytes:
    body = data[:-_SUM]
    if len(body) < least or hashlib.sha256(body).digest() != data[-_SUM:]:
        raise StoreCorrupt("it does not match its checksum")
    return body

"""The index of a CAR: where the section of each block begins, by its multihash or by its digest alone. Pure.

Source: ipld.io/specs/transport/car/carv2 (IndexSorted, 0x0400; MultihashIndexSorted, 0x0401). Entries are sorted and of
one width, so they are found by halving, in a file of any size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import attrs

from sessionctx.content import multihash, varint
from sessionctx.content.codes import IDENTITY
from sessionctx.errors import CarError, DecodeError

SORTED: Final = 0x0400
MULTIHASH_SORTED: Final = 0x0401
_COUNT: Final = struct.Struct("<i")
_CODE: Final = struct.Struct("<Q")
_BUCKET: Final = struct.Struct("<IQ")
_OFFSET: Final = struct.Struct("<Q")
_MOST: Final = 1024
"""Hash functions, or lengths of digests, that one index may have."""


@attrs.frozen
class _Bucket:
    """Entries of one width in the bytes of an index."""

    code: int | None
    """Their hash function; ``None`` where the index does not say."""
    width: int
    """Bytes of an entry: the digest, and 8 for the offset."""
    start: int
    count: int


class Bytes(Protocol):
    """Bytes that are somewhere: `bytes` themselves, or a part of a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


class Index:
    """An index in *data*. :exc:`CarError` if it is none."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        try:
            kind, at = varint.decode(data[: varint.MAX_BYTES])
        except DecodeError as error:
            raise CarError(f"CAR: the index has no kind: {error}") from None
        if kind not in (SORTED, MULTIHASH_SORTED):
            raise CarError(f"CAR: an index of the kind {kind:#x} cannot be read here")
        self._buckets = tuple(self._by_code(at) if kind == MULTIHASH_SORTED else self._by_width(at, None)[0])

    def __len__(self) -> int:
        return sum(bucket.count for bucket in self._buckets)

    def find(self, name: bytes) -> Iterator[int]:
        """Give where sections of blocks with this multihash may begin, from the beginning of the data.

        Where the index does not say the hash function, look whether it is that block.
        """
        code, digest = multihash.split(name)
        for bucket in self._buckets:
            if bucket.width == len(digest) + _OFFSET.size and bucket.code in (None, code):
                yield from self._in_bucket(bucket, digest)

    def _in_bucket(self, bucket: _Bucket, digest: bytes) -> Iterator[int]:
        low, high = 0, bucket.count
        while low < high:
            middle = (low + high) // 2
            if self._digest(bucket, middle) < digest:
                low = middle + 1
            else:
                high = middle
        while low < bucket.count and self._digest(bucket, low) == digest:
            end = bucket.start + (low + 1) * bucket.width
            yield _OFFSET.unpack(self._data[end - _OFFSET.size : end])[0]
            low += 1

    def _digest(self, bucket: _Bucket, number: int) -> bytes:
        start = bucket.start + number * bucket.width
        return self._data[start : start + bucket.width - _OFFSET.size]

    def _by_code(self, at: int) -> Iterator[_Bucket]:
        count, at = self._count(at)
        for _ in range(count):
            (code,) = self._unpack(_CODE, at)
            buckets, at = self._by_width(at + _CODE.size, code)
            yield from buckets

    def _by_width(self, at: int, code: int | None) -> tuple[list[_Bucket], int]:
        count, at = self._count(at)
        buckets: list[_Bucket] = []
        for _ in range(count):
            width, size = self._unpack(_BUCKET, at)
            at += _BUCKET.size
            if width < _OFFSET.size or size % width or at + size > len(self._data):
                raise CarError(
                    f"CAR: the index says that {size} bytes of entries of {width} bytes are at its byte {at}"
                )
            buckets.append(_Bucket(code, width, at, size // width))
            at += size
        return buckets, at

    def _count(self, at: int) -> tuple[int, int]:
        (count,) = self._unpack(_COUNT, at)
        if not 0 <= count <= _MOST:
            raise CarError(f"CAR: the index says that {count} parts are at its byte {at}")
        return count, at + _COUNT.size

    def _unpack(self, form: struct.Struct, at: int) -> tuple[int, ...]:
        try:
            return form.unpack(self._data[at : at + form.size])
        except struct.error:
            raise CarError("CAR: the index is cut off") from None


def encode(sections: Iterable[tuple[bytes, int]]) -> bytes:
    """Return a MultihashIndexSorted of *sections*: the multihash of each, and where it begins in the data.

    Names that hold their own data are left out.
    """
    by_code: dict[int, dict[int, list[bytes]]] = {}
    for name, offset in sections:
        code, digest = multihash.split(name)
        if code != IDENTITY:
            entry = digest + _OFFSET.pack(offset)
            by_code.setdefault(code, {}).setdefault(len(entry), []).append(entry)
    out = [varint.encode(MULTIHASH_SORTED), _COUNT.pack(len(by_code))]
    for code, by_width in sorted(by_code.items()):
        out += (_CODE.pack(code), _COUNT.pack(len(by_width)))
        for width, entries in sorted(by_width.items()):
            entries.sort(key=lambda entry: entry[: -_OFFSET.size])
            out.append(_BUCKET.pack(width, width * len(entries)))
            out += entries
    return b"".join(out)

"""dag-cbor: JSON-like data with bytes and links, where each value has exactly one encoding.

Source: ipld.io/specs/codecs/dag-cbor/spec. Written here because of the compiled codecs one comes without wheels, and
the other takes bytes for links. Neither direction recurses, and what a head claims is compared with what is there
before anything is made of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import isfinite
from typing import Final, TypeAlias, cast

from sessionctx.content.cid import CID
from sessionctx.content.codes import MAX_BLOCK
from sessionctx.content.data import MAX_DEPTH, Value
from sessionctx.errors import BlockTooLarge, DecodeError, InvalidCID

_Container: TypeAlias = "list[Value] | dict[str, Value]"

_INT, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)  # the major types of CBOR
_SIMPLES: Final[dict[int, Value]] = {0xF4: False, 0xF5: True, 0xF6: None}
_UNDEFINED: Final = 0xF7
_FLOAT: Final = 0xFB
_LINK: Final = b"\xd8\x2a"
_DOUBLE: Final = struct.Struct(">d")
_FLOATS: Final = {0xF9: struct.Struct(">e"), 0xFA: struct.Struct(">f"), _FLOAT: _DOUBLE}
_WIDTHS: Final = {24: (1, 24), 25: (2, 1 << 8), 26: (4, 1 << 16), 27: (8, 1 << 32)}
"""By the low bits of a head: how many bytes its argument takes, and the least that needs so many."""


# --- decode


def decode(data: bytes, *, strict: bool = True) -> Value:
    """Read the one item that *data* must be.

    Without *strict*, numbers and lengths may take more bytes than they need, floats fewer than 8, or be no numbers;
    keys may be in any order, and undefined stands for null. :exc:`DecodeError`; :exc:`BlockTooLarge` above 2 MiB.
    """
    _check_size(len(data))
    reader = _Reader(data, strict=strict)
    value = reader.item()
    if reader.at != len(data):
        raise DecodeError(f"dag-cbor: {len(data) - reader.at} bytes follow the end of the data")
    return value


class _Reader:
    """Reads items from *data*, from offset *at* on."""

    __slots__ = ("at", "data", "strict")

    def __init__(self, data: bytes, *, strict: bool) -> None:
        self.data = data
        self.strict = strict
        self.at = 0

    def item(self) -> Value:
        """Return one item with all that is in it."""
        top: list[Value] = []
        here: _Container = top  # the list or map being filled
        left = 1  # entries that it still lacks
        outer: list[tuple[_Container, int, bytes]] = []
        owed = 0  # entries that those around it still lack
        last = b""  # in a map: the key before this one
        while True:
            entry: str | None = None
            if isinstance(here, dict):
                entry, last = self._key(last, here)
            value, size = self._head()
            if isinstance(here, list):
                here.append(value)
            elif entry is not None:
                here[entry] = value
            left -= 1
            if isinstance(value, list | dict):
                if len(outer) >= MAX_DEPTH:
                    raise DecodeError(f"dag-cbor: lists and maps are nested deeper than {MAX_DEPTH}")
                outer.append((here, left, last))
                owed += left
                if owed + size * (2 if isinstance(value, dict) else 1) > len(self.data) - self.at:
                    raise DecodeError(f"dag-cbor: more entries are claimed before byte {self.at} than there are bytes")
                here, left, last = value, size, b""
            while not left:
                if not outer:
                    return top[0]
                here, left, last = outer.pop()
                owed -= left

    def _head(self) -> tuple[Value, int]:
        """Return the next item, and how many entries are to come if it is a list or map."""
        start = self.at
        first = self._byte()
        major = first >> 5
        if major == _SIMPLE:
            return self._simple(first), 0
        count = self._argument(first & 31)
        if major not in {_LIST, _MAP}:
            return self._scalar(major, count, start), 0
        return ([] if major == _LIST else {}), count

    def _scalar(self, major: int, count: int, start: int) -> Value:
        if major == _INT:
            return count
        if major == _NEGATIVE:
            return -1 - count
        if major == _BYTES:
            return self._take(count)
        return self._text(count) if major == _TEXT else self._link(start)

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise DecodeError("dag-cbor: the data ends in the middle")
        self.at += 1
        return self.data[self.at - 1]

    def _argument(self, low: int) -> int:
        if low < 24:
            return low
        if low not in _WIDTHS:
            raise DecodeError(f"dag-cbor: an indefinite or reserved length before byte {self.at}")
        width, least = _WIDTHS[low]
        value = int.from_bytes(self._take(width), "big")
        if value < least and self.strict:
            raise DecodeError(f"dag-cbor: {value} before byte {self.at} is not written in its shortest form")
        return value

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise DecodeError("dag-cbor: the data ends in the middle")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def _text(self, count: int) -> str:
        try:
            return self._take(count).decode()
        except UnicodeDecodeError:
            raise DecodeError(f"dag-cbor: a text before byte {self.at} is not UTF-8") from None

    def _key(self, last: bytes, here: dict[str, Value]) -> tuple[str, bytes]:
        """Return the next key of the map *here*, which follows the *last* one: shorter ones first, then by bytes."""
        start = self._byte()
        if start >> 5 != _TEXT:
            raise DecodeError(f"dag-cbor: a map key before byte {self.at} is not a text")
        count = self._argument(start & 31)
        text = self._text(count)
        key = self.data[self.at - count : self.at]
        if text in here or (here and self.strict and (len(key), key) < (len(last), last)):
            raise DecodeError(f"dag-cbor: map keys are repeated or out of order at {text[:80]!r}")
        return text, key

    def _simple(self, first: int) -> Value:
        if first in _SIMPLES:
            return _SIMPLES[first]
        if first == _UNDEFINED and not self.strict:
            return None
        if first != _FLOAT and (self.strict or first not in _FLOATS):
            raise DecodeError(f"dag-cbor: the simple value {first:#x} before byte {self.at} is not allowed")
        form = _FLOATS[first]
        taken = self._take(form.size)
        number = float(form.unpack(taken)[0])
        if self.strict and (not isfinite(number) or (not number and taken[0])):
            raise DecodeError(f"dag-cbor: the float {number} is not allowed")
        return number

    def _link(self, start: int) -> CID:
        if self.data[start : self.at] != _LINK:
            raise DecodeError(f"dag-cbor: at byte {start} is a tag that is not 42, the one for links")
        head = self._byte()
        if head >> 5 != _BYTES:
            raise DecodeError(f"dag-cbor: the link at byte {start} holds no bytes")
        content = self._take(self._argument(head & 31))
        if content[:1] != b"\0":
            raise DecodeError(f"dag-cbor: the link at byte {start} does not begin with a zero byte")
        try:
            return CID.from_bytes(content[1:])
        except InvalidCID as error:
            raise DecodeError(f"dag-cbor: the link at byte {start} is no CID: {error}") from None


# --- encode


class _Ready(bytes):
    """A key of a map, encoded already."""

    __slots__ = ()


def encode(value: Value) -> bytes:
    """Return the bytes of *value*; -0.0 is written as 0.0, which equals it.

    :exc:`TypeError` for what dag-cbor cannot hold, such as tuples and keys that are not strings; :exc:`ValueError` for
    NaN, infinities, ints over 64 bits, and what is too deep or loops; :exc:`BlockTooLarge` above 2 MiB.
    """
    out: list[bytes] = []
    size = 0
    level: list[Iterator[Value | _Ready]] = [iter([value])]
    while level:
        for item in level[-1]:
            piece, inside = _write(item)
            out.append(piece)
            size += len(piece)
            _check_size(size)
            if inside is not None:
                if len(level) > MAX_DEPTH:
                    raise ValueError(f"lists and maps are nested deeper than {MAX_DEPTH}")
                level.append(inside)
                break
        else:
            level.pop()
    return b"".join(out)


def _write(item: Value | _Ready) -> tuple[bytes, Iterator[Value | _Ready] | None]:
    """Return the bytes of *item* itself, and what comes behind them if it is a list or map."""
    kind = type(item)
    if kind is _Ready:
        return cast("bytes", item), None
    if kind is list:
        return _argument(_LIST, len(cast("list[Value]", item))), iter(cast("list[Value]", item))
    if kind is dict:
        entries = cast("dict[str, Value]", item)
        return _argument(_MAP, len(entries)), _entries(entries)
    return _scalar(item), None


def _scalar(item: Value) -> bytes:
    if item is None or item is True or item is False:
        return b"\xf6" if item is None else b"\xf5" if item else b"\xf4"
    if type(item) is int:
        if not -1 << 64 <= item < 1 << 64:
            raise ValueError(f"dag-cbor holds ints of 64 bits, not {item:#x}")
        return _argument(_INT, item) if item >= 0 else _argument(_NEGATIVE, -1 - item)
    if type(item) is str:
        encoded = item.encode()
        return _argument(_TEXT, len(encoded)) + encoded
    if type(item) is bytes:
        return _argument(_BYTES, len(item)) + item
    if isinstance(item, CID):
        content = b"\0" + bytes(item)
        return _LINK + _argument(_BYTES, len(content)) + content
    if type(item) is float:
        if not isfinite(item):
            raise ValueError(f"dag-cbor cannot hold the float {item}")
        return bytes([_FLOAT]) + _DOUBLE.pack(item + 0.0)  # adding 0.0 turns -0.0 into 0.0
    raise TypeError(f"dag-cbor cannot hold a {type(item).__name__}")


def _argument(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    low = 24 if value < 1 << 8 else 25 if value < 1 << 16 else 26 if value < 1 << 32 else 27
    return bytes([major << 5 | low]) + value.to_bytes(_WIDTHS[low][0], "big")


def _entries(entries: dict[str, Value]) -> Iterator[Value | _Ready]:
    ordered: list[tuple[int, bytes, Value]] = []
    for key, value in entries.items():
        if type(key) is not str:
            raise TypeError(f"dag-cbor has texts for map keys, not a {type(key).__name__}")
        encoded = key.encode()
        ordered.append((len(encoded), encoded, value))
    ordered.sort(key=lambda entry: entry[:2])
    for length, encoded, value in ordered:
        yield _Ready(_argument(_TEXT, length) + encoded)
        yield value


def _check_size(size: int) -> None:
    if size > MAX_BLOCK:
        raise BlockTooLarge(f"{size} bytes of dag-cbor are over the limit of {MAX_BLOCK}")

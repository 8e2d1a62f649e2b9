"""dag-cbor: JSON-like data with bytes and links, strictly.

Source: ipld.io/specs/codecs/dag-cbor/spec. The engine is cbrrr; what it leaves open (what is inside a link, depth,
size) is closed here.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias, cast

import cbrrr

from sessionctx.content.cid import CID
from sessionctx.content.codes import MAX_BLOCK
from sessionctx.errors import BlockTooLarge, DecodeError

Value: TypeAlias = "bool | int | float | str | bytes | CID | list[Value] | dict[str, Value] | None"
"""What dag-cbor can hold."""

MAX_DEPTH: Final = 512
"""Lists and maps inside each other. Deeper data is refused both ways: printing, comparing or copying it would overrun
the stack (Python allows about 1000 calls)."""

_Container: TypeAlias = "list[Value] | dict[str, Value]"
_CONTAINERS: Final = frozenset((list, dict))
_NEGATIVE_ZERO: Final = b"\xfb\x80" + bytes(7)
_BYTES, _TEXT, _TAG = 2, 3, 6  # kinds of items; the values below: what an entry of a list and of a map consists of
_NESTING: Final = {4: 1, 5: 2, _TAG: 0}
_LARGE_LIST: Final = re.compile(rb"\x9a\x00[\x01-\x20]")  # of 2**16 items to 2**21, more than a block can hold
_MUCH_ROOM: Final = 1 << 24  # items, 8 bytes each
_TOO_DEEP: Final = f"dag-cbor: lists and maps are nested deeper than {MAX_DEPTH}"


def decode(data: bytes) -> Value:
    """Read the one item that *data* must be. :exc:`DecodeError`; :exc:`BlockTooLarge` above 2 MiB."""
    _check_size(data)
    if _room(data) > _MUCH_ROOM:
        _look_first(data)
    try:
        value = cast("Value", cbrrr.decode_dag_cbor(data, cid_ctor=CID.from_bytes))
    except ValueError as error:
        raise DecodeError(f"dag-cbor: {error}") from None
    if len(data) > MAX_DEPTH and not _is_shallow(value):
        raise DecodeError(_TOO_DEEP)
    if _NEGATIVE_ZERO in data and encode(value) != data:  # the same bytes may stand in a string
        raise DecodeError("dag-cbor: -0.0 is written, where only 0.0 is allowed")
    return value


def encode(value: Value) -> bytes:
    """Return the bytes of *value*; -0.0 is written as 0.0, which equals it.

    :exc:`TypeError` for what dag-cbor cannot hold, such as tuples and keys that are not strings; :exc:`ValueError` for
    NaN, infinities, ints over 64 bits, and what is too deep or loops; :exc:`BlockTooLarge` above 2 MiB.
    """
    if not _is_shallow(value):
        raise ValueError(f"lists and maps are nested deeper than {MAX_DEPTH}, or too many for one block")
    data = _encode(value)
    if _NEGATIVE_ZERO in data:
        data = _encode(_without_negative_zero(cast("Value", cbrrr.decode_dag_cbor(data, cid_ctor=CID.from_bytes))))
    _check_size(data)
    return data


def _encode(value: Value) -> bytes:
    return cbrrr.encode_dag_cbor(  # pyright: ignore[reportUnknownMemberType]
        cast("cbrrr.DagCborTypes", value), cid_type=CID
    )


def _check_size(data: bytes) -> None:
    if len(data) > MAX_BLOCK:
        raise BlockTooLarge(f"{len(data)} bytes of dag-cbor are over the limit of {MAX_BLOCK}")


def _without_negative_zero(value: Value) -> Value:
    """Return *value*, changed in place: adding 0.0 turns -0.0 into 0.0 and leaves every other float as it is."""
    top: list[Value] = [value]
    level: list[_Container] = [top]
    while level:
        for item in level:
            if isinstance(item, list):
                item[:] = [part + 0.0 if isinstance(part, float) else part for part in item]
            else:
                item.update({key: part + 0.0 for key, part in item.items() if isinstance(part, float)})
        level = _containers(_parts(level))
    return top[0]


def _room(data: bytes) -> int:
    """Return how many items the engine might make room for, were every byte that could begin a list to begin one.

    It makes room for what a list claims before it looks, so lists that lie, inside each other, cost the square of
    their size.
    """
    large = len(_LARGE_LIST.findall(data))
    return (23 + large) * len(data) + 0xFF * data.count(b"\x98") + 0xFFFF * data.count(b"\x99")


def _look_first(data: bytes) -> None:
    """Raise :exc:`DecodeError` for lists and maps that claim more than there is, or are nested too deep.

    Nothing else is checked; where *data* is no CBOR, the engine will say so.
    """
    at, claimed, wanted = 0, 1, 1
    outer: list[int] = []  # items still wanted in the lists and maps around this one
    while wanted and at < len(data):
        wanted -= 1
        kind, value = divmod(data[at], 32)
        at += 1
        if 24 <= value < 28:
            size = 1 << value - 24
            value = int.from_bytes(data[at : at + size], "big")
            at += size
        if kind in (_BYTES, _TEXT):
            at += value
        elif kind in _NESTING:
            outer.append(wanted)
            wanted = value * _NESTING[kind] if kind != _TAG else 1
            claimed += wanted
            if claimed > len(data):
                raise DecodeError("dag-cbor: a list or map claims more items than there are")
            if len(outer) > MAX_DEPTH + 1:  # the tag of a link counts, too
                raise DecodeError(_TOO_DEEP)
        while not wanted and outer:
            wanted = outer.pop()


def links(value: Value) -> list[CID]:
    """Return the links in a decoded *value*, level by level, with repeats."""
    found: list[CID] = []
    parts = [value]
    while parts:
        found += [part for part in parts if isinstance(part, CID)]
        parts = _parts(_containers(parts))
    return found


def _is_shallow(value: Value) -> bool:
    """Whether *value* is nested at most 512 deep, and has no more parts than fit into a block."""
    level = _containers([value])
    size = 0
    for _ in range(MAX_DEPTH):
        size += sum(map(len, level))
        if not level or size > MAX_BLOCK:
            break
        level = _containers(_parts(level))
    return not level


def _containers(parts: list[Value]) -> list[_Container]:
    # by exact type, which is fast, and all that the engine knows
    return cast("list[_Container]", [part for part in parts if type(part) in _CONTAINERS])


def _parts(level: list[_Container]) -> list[Value]:
    return [part for item in level for part in (item if isinstance(item, list) else item.values())]

"""dag-cbor: JSON-like data with bytes and links, strictly.

Source: ipld.io/specs/codecs/dag-cbor/spec. The engine is cbrrr; what it leaves open (what is inside a link, depth,
size) is closed here.
"""

from __future__ import annotations

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
_CONTAINER_HEADS: Final = bytes(range(0x80, 0xC0))


def decode(data: bytes) -> Value:
    """Read the one item that *data* must be. :exc:`DecodeError`; :exc:`BlockTooLarge` above 2 MiB."""
    if len(data) > MAX_BLOCK:
        raise BlockTooLarge(f"{len(data)} bytes of dag-cbor are over the limit of {MAX_BLOCK}")
    try:
        value = cast("Value", cbrrr.decode_dag_cbor(data, cid_ctor=CID.from_bytes))
    except ValueError as error:
        raise DecodeError(f"dag-cbor: {error}") from None
    # each list or map begins with a byte of its own, so few such bytes cannot be deep
    if len(data) - len(data.translate(None, _CONTAINER_HEADS)) > MAX_DEPTH and not _is_shallow(value):
        raise DecodeError(f"dag-cbor: lists and maps are nested deeper than {MAX_DEPTH}")
    return value


def encode(value: Value) -> bytes:
    """Return the bytes of *value*.

    :exc:`TypeError` for what dag-cbor cannot hold, such as tuples and keys that are not strings; :exc:`ValueError` for
    NaN, infinities, ints over 64 bits, and what is too deep or loops; :exc:`BlockTooLarge` above 2 MiB.
    """
    if not _is_shallow(value):
        raise ValueError(f"lists and maps are nested deeper than {MAX_DEPTH}, or too many for one block")
    data = cbrrr.encode_dag_cbor(  # pyright: ignore[reportUnknownMemberType]
        cast("cbrrr.DagCborTypes", value), cid_type=CID
    )
    if len(data) > MAX_BLOCK:
        raise BlockTooLarge(f"{len(data)} bytes of dag-cbor are over the limit of {MAX_BLOCK}")
    return data


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

"""The data model: what dag-cbor and dag-json can hold, as plain Python objects.

Source: ipld.io/docs/data-model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from sessionctx.content.cid import CID

Value: TypeAlias = "bool | int | float | str | bytes | CID | list[Value] | dict[str, Value] | None"
"""What a block can hold: ints have up to 64 bits, floats are finite, the keys of maps are texts."""

MAX_DEPTH: Final = 512
"""Lists and maps inside each other. Deeper data is refused both ways: printing, comparing or copying it would overrun
the stack (Python allows about 1000 calls)."""


def links(value: Value) -> list[CID]:
    """Return the links in *value*, in the order in which they are written, with repeats."""
    return [part for part in parts_of(value) if isinstance(part, CID)]


def parts_of(value: Value) -> Iterator[Value]:
    """Give *value* and all that is in it, what holds something before what it holds."""
    parts: list[Value] = [value]
    while parts:
        part = parts.pop()
        yield part
        if isinstance(part, list):
            parts += reversed(part)
        elif isinstance(part, dict):
            parts += reversed(part.values())

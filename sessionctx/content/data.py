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
    """Return the links in *value*, level by level, with repeats."""
    return [part for parts in levels(value) for part in parts if isinstance(part, CID)]


def levels(value: Value) -> Iterator[list[Value]]:
    """Give *value*, then what is in it, then what is in that, and so on."""
    parts: list[Value] = [value]
    while parts:
        yield parts
        parts = [
            inner
            for part in parts
            if isinstance(part, list | dict)
            for inner in (part if isinstance(part, list) else part.values())
        ]

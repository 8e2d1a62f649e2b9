"""A pack: small blocks in one object, a CAR of version 2 with its index, which any tool for CARs opens. Pure.

Source: ipld.io/specs/transport/car/carv2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from sessionctx.blocks.on_storage.rows import Place, key_of
from sessionctx.content import Block, car, carindex, carv2

OVERHEAD: Final = 78
"""Bytes of a pack for each block, besides its own, in most cases: 38 for what is before it, 40 in the index."""


@attrs.frozen
class Packed:
    """A pack, and where in it each block is, by key."""

    data: bytes
    places: dict[bytes, Place]


def pack(blocks: Sequence[Block], number: int) -> Packed:
    """Put *blocks* one behind the other, into the object with this number."""
    out = [car.encode_header(())]
    at = len(out[0])
    sections: list[tuple[bytes, int]] = []
    places: dict[bytes, Place] = {}
    for block in blocks:
        prefix = car.encode_prefix(block.cid, len(block.data))
        name = block.cid.multihash
        sections.append((name, at))
        places[key_of(name)] = Place(number, carv2.BEGINNING + at + len(prefix), len(block.data))
        out += (prefix, block.data)
        at += len(prefix) + len(block.data)
    beginning = carv2.encode_beginning(carv2.Header(carv2.BEGINNING, at, carv2.BEGINNING + at))
    return Packed(b"".join((beginning, *out, carindex.encode(sections))), places)

"""What a request sends: buffers of known length, handed to the socket one after the other as they are. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import Self, TypeAlias

import attrs

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes in memory; a memoryview is one of bytes."""

Chunks: TypeAlias = AsyncIterable[Buffer] | Sequence[Buffer]
"""Buffers that are there, or that come."""


@attrs.frozen(eq=False)
class Body:
    """The body of a request. Nothing of it is copied, nor kept once it has been sent."""

    length: int
    """Bytes, of all pieces together."""
    pieces: Chunks = attrs.field(repr=False)
    """If they come from an async iterable, each is left alone until it has gone out."""

    @classmethod
    def of(cls, *buffers: Buffer) -> Self:
        """Return the body that these make together."""
        return cls(sum(memoryview(buffer).nbytes for buffer in buffers), buffers)

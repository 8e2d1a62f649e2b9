"""A source of pieces of any size, cut into parts whose checksums are known before they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, TypeAlias

import attrs

from sessionctx.storage.base import Source
from sessionctx.storage.s3.checksums import Crc
from sessionctx.storage.source import pieces
from sessionctx.transports import Body

Buffer: TypeAlias = bytes | bytearray | memoryview

_SMALL: Final = 32 * 1024
"""Bytes: smaller pieces are put together."""


@attrs.define(eq=False)
class Part:
    """Bytes that are sent together."""

    crc: Crc = attrs.field(factory=Crc)
    _buffers: list[Buffer] = attrs.field(factory=list[Buffer])

    @property
    def length(self) -> int:
        """How many there are."""
        return self.crc.length

    @property
    def body(self) -> Body:
        """What a request sends."""
        return Body(self.crc.length, tuple(self._buffers))

    @property
    def buffers(self) -> list[Buffer]:
        """The bytes, in order."""
        return self._buffers

    def add(self, piece: memoryview) -> None:
        """Take bytes in that nobody changes before the part is gone: `Gathering` sees to that."""
        self.crc.add(piece)
        if len(piece) >= _SMALL:
            self._buffers.append(piece)
        elif self._buffers and isinstance(tail := self._buffers[-1], bytearray):
            tail += piece
        else:
            self._buffers.append(bytearray(piece))


@attrs.define(eq=False)
class Gathering:
    """Takes parts from a source."""

    _pieces: AsyncIterator[Buffer]
    _left: memoryview = attrs.field(factory=lambda: memoryview(b""))
    ended: bool = False
    """Whether the source has none left; known when it was asked for more than it had."""

    @classmethod
    def of(cls, source: Source) -> Gathering:
        """Begin with *source*."""
        return cls(pieces(source))

    async def fill(self, part: Part, size: int) -> None:
        """Add to *part* until it has *size* bytes, or the source has ended."""
        while part.length < size:
            while not self._left:
                piece = await anext(self._pieces, None)
                if piece is None:
                    self.ended = True
                    return
                self._left = _kept(piece)
            taken = self._left[: size - part.length]
            self._left = self._left[len(taken) :]
            part.add(taken)


def _kept(piece: Buffer) -> memoryview:
    """Return the bytes of *piece* as they are now, copied only if they could change."""
    view = memoryview(piece).cast("B") if not isinstance(piece, bytes) else memoryview(piece)
    safe = (
        isinstance(view.obj, bytes) or len(view) < _SMALL
    )  # small ones are copied anyway, before the next is asked for
    return view if safe else memoryview(bytes(view))

"""Pieces of any size made into such as the server takes: small ones are put together, large ones cut. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import attrs

Piece: TypeAlias = bytes | bytearray | memoryview


@attrs.define(eq=False)
class Cutter:
    """Gives pieces of *size* bytes at most, none of which anybody changes any more."""

    size: int
    _small: bytearray = attrs.field(factory=bytearray, init=False)

    def cut(self, piece: Piece) -> Iterator[bytes | bytearray | memoryview]:
        """Take *piece*, give what is large enough. A copy is made only of what is small, or may be changed later."""
        view = memoryview(piece).cast("B")
        if self._small or len(view) < self.size:
            missing = self.size - len(self._small)
            self._small += view[:missing]
            view = view[missing:]
            if len(self._small) < self.size:
                return
            yield from self.rest()
        if not isinstance(view.obj, bytes):
            view = memoryview(bytes(view))
        while len(view) >= self.size:
            yield view[: self.size]
            view = view[self.size :]
        self._small += view

    def rest(self) -> Iterator[bytearray]:
        """Give what is left."""
        whole, self._small = self._small, bytearray()
        if whole:
            yield whole

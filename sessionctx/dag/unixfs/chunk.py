"""Cutting bytes into chunks of one size. Pure."""

from __future__ import annotations

from collections.abc import Iterator


class Chunker:
    """Turns pieces of any sizes into chunks of *size* bytes; only the last one may be shorter."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a chunk has at least one byte, not {size}")
        self._size = size
        self._rest: list[bytes] = []
        self._held = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes and return the chunks that are whole now; a piece that is a chunk is not copied."""
        if not self._held and len(piece) == self._size:
            yield piece
            return
        at = 0
        while self._held + len(piece) - at >= self._size:
            end = at + self._size - self._held
            yield self._join(piece[at:end])
            at = end
        if at < len(piece):
            self._rest.append(piece[at:])
            self._held += len(piece) - at

    def finish(self) -> Iterator[bytes]:
        """Return the last chunk, if any bytes are left."""
        if self._held:
            yield self._join(b"")

    def _join(self, last: bytes) -> bytes:
        chunk = b"".join((*self._rest, last)) if self._rest else last
        self._rest.clear()
        self._held = 0
        return chunk

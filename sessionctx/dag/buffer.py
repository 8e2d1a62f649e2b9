"""A stretch of a file, in the pieces in which it came. Pure."""

from __future__ import annotations

from collections import deque


class Buffer:
    """The bytes of a file from *start* up to *stop*; grows at its end, and is forgotten from its beginning."""

    __slots__ = ("_pieces", "start", "stop")

    def __init__(self, at: int) -> None:
        self.start = self.stop = at
        self._pieces: deque[bytes] = deque()

    def add(self, at: int, data: bytes) -> None:
        """Take the next piece, which stands at *at*; the first one may begin before where the buffer was made for."""
        if not self._pieces:
            self.start = at
        self._pieces.append(data)
        self.stop = at + len(data)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from *start* up to *stop*, all of which are here; a whole piece is not copied."""
        found: list[bytes] = []
        at = self.start
        for piece in self._pieces:
            if at >= stop:
                break
            end = at + len(piece)
            if end > start:
                whole = start <= at and end <= stop
                found.append(piece if whole else piece[max(start - at, 0) : stop - at])
            at = end
        return found[0] if len(found) == 1 else b"".join(found)

    def end_of_piece(self, at: int) -> int:
        """Return where the piece ends that holds the byte at *at*."""
        end = self.start
        for piece in self._pieces:
            end += len(piece)
            if end > at:
                break
        return end

    def forget(self, at: int) -> None:
        """Drop what is far before *at*: all but the piece it is in, and one before that for who goes back a little."""
        while len(self._pieces) > 1 and self.start + len(self._pieces[0]) + len(self._pieces[1]) < at:
            self.start += len(self._pieces.popleft())

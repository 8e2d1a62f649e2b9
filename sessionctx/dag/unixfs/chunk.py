"""Cutting bytes into chunks: of one size, or where their content says. Pure.

The chunkers are called as kubo calls them, and cut where its own do (github.com/ipfs/boxo, ``chunker``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from sessionctx.dag.unixfs.profile import Profile
from sessionctx.errors import MissingExtra, Unsupported

if TYPE_CHECKING:
    from sessionctx.dag.unixfs.rolling import Marks

MAX_CHUNK: Final = 2 * 1024 * 1024 - 256
"""Bytes in the longest chunk: a block of 2 MiB, with room for what a leaf has around it."""
PIECE: Final = 1024 * 1024
"""Bytes that a chunker likes to be fed with, about."""

_BUZHASH: Final = (128 * 1024, 512 * 1024, 17)  # least and most bytes in a chunk, and bits that are 0 where one ends
_RABIN_AVERAGE: Final = 256 * 1024
_RABIN_LEAST: Final = 16  # its window


class Chunker(Protocol):
    """Turns the pieces in which a file comes into its chunks."""

    piece: int
    """Bytes that it is best fed with at a time."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes, and return the chunks that are whole now."""
        ...

    def finish(self) -> Iterator[bytes]:
        """Return the last chunk, if any bytes are left."""
        ...


def chunker_of(profile: Profile) -> Callable[[], Chunker]:
    """Return what makes the chunker of *profile*. Errors as for :func:`make_chunker`."""
    if profile.chunker is not None:
        return make_chunker(profile.chunker)
    return lambda: FixedChunker(profile.chunk_size)


def make_chunker(name: str) -> Callable[[], Chunker]:
    """Return what makes the chunker called *name*, a fresh one for each file.

    ``size-N`` cuts every N bytes. ``buzhash`` and ``rabin`` cut where the last few bytes say so, so that a change moves
    only the cuts near it: ``rabin`` in chunks of 256 KiB in the mean, ``rabin-AVG``, ``rabin-MIN-AVG-MAX``.

    Raises:
        Unsupported: there is no such chunker, or its sizes cannot be: at least 1 and 16 bytes, at most 2 MiB - 256.
        MissingExtra: buzhash and rabin need numpy.
    """
    kind, *numbers = name.split("-")
    if any(not (number.isascii() and number.isdigit() and len(number) < 10) for number in numbers):
        raise _unknown(name)
    sizes = [int(number) for number in numbers]
    if kind == "size" and len(sizes) == 1 and 1 <= sizes[0] <= MAX_CHUNK:
        return lambda: FixedChunker(sizes[0])
    if kind == "buzhash" and not sizes:
        low, high, bits = _BUZHASH
    elif kind == "rabin" and len(sizes) in (0, 1, 3):
        low, average, high = _rabin_sizes(sizes)
        bits = average.bit_length() - 1
        if not _RABIN_LEAST <= low <= average <= high <= MAX_CHUNK:
            raise _unknown(name)
    else:
        raise _unknown(name)
    marks = _marks(kind, bits)
    return lambda: ContentChunker(marks, low, high)


def _marks(kind: str, bits: int) -> Marks:
    try:
        from sessionctx.dag.unixfs import rolling
    except ImportError as error:
        raise MissingExtra("chunkers by content need one more package: pip install 'sessionctx[cdc]'") from error
    return rolling.buzhash(bits) if kind == "buzhash" else rolling.rabin(bits)


def _rabin_sizes(sizes: list[int]) -> tuple[int, int, int]:
    if len(sizes) == 3:
        return sizes[0], sizes[1], sizes[2]
    average = sizes[0] if sizes else _RABIN_AVERAGE
    return average // 3, average, average + average // 2


def _unknown(name: str) -> Unsupported:
    known = "size-N, buzhash, rabin, rabin-AVG and rabin-MIN-AVG-MAX"
    return Unsupported(
        f"there is no chunker {name[:80]!r}; there are {known}, with sizes up to {MAX_CHUNK} bytes, and of rabin from "
        f"{_RABIN_LEAST}, the least first"
    )


class FixedChunker:
    """Turns pieces of any sizes into chunks of *size* bytes; only the last one may be shorter."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a chunk has at least one byte, not {size}")
        self.piece = size * max(1, PIECE // 4 // size)
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


class ContentChunker:
    """Cuts at the first mark from *low* bytes on, and at *high* bytes where there is none."""

    def __init__(self, marks: Marks, low: int, high: int) -> None:
        self.piece = PIECE
        self._find = marks
        self._low = low
        self._high = high
        self._held = b""
        self._marks: list[int] = []  # in what is held, in order

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes, and return the chunks that are whole now."""
        start, known = 0, len(self._held)
        self._held += piece
        self._marks += self._find(self._held, known)
        marks, next_mark = self._marks, 0
        while True:
            while next_mark < len(marks) and marks[next_mark] < start + self._low:
                next_mark += 1
            end = start + self._high
            if next_mark < len(marks):
                end = min(end, marks[next_mark])
            if end > len(self._held):
                break
            yield self._held[start:end]
            start = end
        self._held = self._held[start:]
        self._marks = [mark - start for mark in marks[next_mark:]]

    def finish(self) -> Iterator[bytes]:
        """Return the last chunk, if any bytes are left."""
        if self._held:
            yield self._held
        self._held, self._marks = b"", []

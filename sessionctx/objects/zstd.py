"""Compress and expand bodies as they pass, in bounded memory, whatever they claim. On the package *zstandard*.

A few KB may expand to a GiB in one call of a decompressor; so little is given to it at a time, and whoever takes what
comes out can stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from sessionctx.errors import DecodeError, MissingExtra

SLICE: Final = 1024
"""Bytes that are expanded at a time: of the densest frames (blocks of one repeated byte) these make 32 MiB."""
MOST_WINDOW: Final = 32 * 1024 * 1024
"""Bytes that a frame may ask us to remember (its window)."""


def _library() -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("compressed objects need the package zstandard: pip install 'sessionctx[objects]'") from None
    return zstandard


def compressed(data: bytes | bytearray | memoryview, level: int = 3) -> bytes:
    """Return *data* in one frame, which tells its size."""
    packed: bytes = _library().ZstdCompressor(level=level).compress(data)
    return packed


@attrs.define(eq=False)
class Compressor:
    """A stream that is compressed as it passes."""

    level: int = 3
    _stream: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stream = _library().ZstdCompressor(level=self.level).compressobj()

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return what can be sent now; often nothing."""
        out: bytes = self._stream.compress(data)
        return out

    def finish(self) -> bytes:
        """Return the rest."""
        out: bytes = self._stream.flush()
        return out


@attrs.define(eq=False)
class Expander:
    """A stream that is expanded as it passes: any number of frames, with or without their sizes."""

    _made: Any = attrs.field(init=False)
    _frame: Any = attrs.field(default=None, init=False)
    """The frame that has begun and is not whole yet."""

    def __attrs_post_init__(self) -> None:
        self._made = _library().ZstdDecompressor(max_window_size=MOST_WINDOW)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Yield what *data* expands to, at most 32 MiB at a time. :exc:`DecodeError`, and nothing can be read then."""
        left = memoryview(data)
        while left:
            taken, left = left[:SLICE], left[SLICE:]
            while taken:
                piece, taken = self._expand(taken)
                if piece:
                    yield piece

    def close(self) -> None:
        """Nothing more comes. :exc:`DecodeError` if a frame is not whole."""
        if self._frame is not None:
            raise DecodeError("a body compressed with zstd is cut off in the middle of a frame")

    def _expand(self, data: memoryview) -> tuple[bytes, memoryview]:
        frame = self._made.decompressobj() if self._frame is None else self._frame
        try:
            piece: bytes = frame.decompress(data)
        except _library().ZstdError as error:
            raise DecodeError(f"a body is not what zstd makes: {error}") from None
        if not frame.eof:
            self._frame = frame
            return piece, data[:0]
        self._frame = None
        unused = len(frame.unused_data)
        return piece, data[len(data) - unused :]


def expanded(data: bytes | bytearray | memoryview, most: int) -> bytes:
    """Return what *data* expands to. :exc:`DecodeError` if it is more than *most* bytes, or *data* is not whole."""
    expander, out = Expander(), bytearray()
    for piece in expander.feed(data):
        out += piece
        if len(out) > most:
            raise DecodeError(f"a compressed body expands to more than {most} bytes")
    expander.close()
    return bytes(out)

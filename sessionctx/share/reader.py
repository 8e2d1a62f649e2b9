"""A blob that is here whole, to be read: as it comes, or any range of it."""

from __future__ import annotations

from typing import Self

import attrs

from sessionctx.share.blob import Blob
from sessionctx.share.metrics import Tracked
from sessionctx.share.running import Running
from sessionctx.share.shelf import Kept, Shelf
from sessionctx.storage import Reader


@attrs.define(eq=False)
class BlobReader:
    """One blob: an async iterator of its pieces, from the offset on that was asked for. Good within its block."""

    blob: Blob
    """Its size and its digest, which was checked when it came."""
    _pieces: Reader
    _shelf: Shelf
    _kept: Kept
    _running: Running
    _counts: Tracked

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | bytearray | memoryview:
        """Return the next piece. :exc:`StoreClosed` once the share is closed and its grace is over."""
        piece = await anext(self._pieces)
        self._counts.bytes += len(piece)
        return piece

    async def read_at(self, offset: int, length: int | None = None) -> bytes:
        """Return *length* bytes from *offset* on, or all to the end, in one piece: fewer, where the blob ends."""
        self._running.check()
        async with self._shelf.read(self._kept, offset, length) as pieces:
            data = b"".join([bytes(piece) async for piece in pieces])
        self._counts.bytes += len(data)
        return data

"""Reading CAR v1: a stream of blocks into a store, each verified.

Source: ipld.io/specs/transport/car/carv1.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import trio

from sessionctx.blocks import BATCH_BYTES, Blockstore
from sessionctx.content import CID, Block, CarDecoder, verify
from sessionctx.dag.car_stream import CarSummary
from sessionctx.dag.overlap import overlap
from sessionctx.dag.source import Pieces, Source, open_source
from sessionctx.errors import CarError, SessionctxError

INLINE: Final = 512 * 1024
"""Bytes that are hashed without the cost of going to another thread and back."""


async def import_car(blocks: Blockstore, source: Source) -> CarSummary:
    """Store the blocks of a CAR, each verified. See `Dag.import_car`."""
    async with AsyncExitStack() as stack:
        reading = _Reading(await open_source(source, stack))
        await overlap(reading.batch, blocks.put_many)
        if reading.error is not None:
            raise reading.explained(reading.error)
    return CarSummary(reading.decoder.roots or (), reading.blocks, reading.bytes)


class _Reading:
    """A CAR being read: verified blocks in batches, until it ends or something is wrong."""

    def __init__(self, pieces: Pieces) -> None:
        self.decoder = CarDecoder()
        self.blocks = 0
        self.bytes = 0
        self.error: SessionctxError | None = None
        self._pieces = pieces
        self._over = False

    async def batch(self) -> list[Block] | None:
        """Return the next blocks, verified; ``None`` at the end, or where something is wrong."""
        await trio.lowlevel.checkpoint()
        while not self._over:
            sections, size = await self._sections()
            if size > INLINE:
                good = await trio.to_thread.run_sync(self._verify, sections)
            else:
                good = self._verify(sections)
            self.blocks += len(good)
            self.bytes += sum(len(block.data) for block in good)
            if good:
                return good
        return None

    async def _sections(self) -> tuple[list[tuple[CID, bytes]], int]:
        """Return sections worth one step, and their bytes. What is wrong with the stream is noted."""
        sections: list[tuple[CID, bytes]] = []
        size = 0
        while size < BATCH_BYTES and not self._over:
            piece = await self._pieces.next()
            size += len(piece)
            try:
                if piece:
                    sections += self.decoder.feed(piece)
                else:
                    self._over = True
                    self.decoder.finish()
            except CarError as error:
                self.error, self._over = error, True
        return sections, size

    def explained(self, error: SessionctxError) -> SessionctxError:
        """Return *error*, which says what is stored in spite of it."""
        error.args = (f"{error} (the {self.blocks} blocks before it, {self.bytes} bytes, are good and stored)",)
        return error

    def _verify(self, sections: list[tuple[CID, bytes]]) -> list[Block]:
        """Return the blocks up to the first bad one, which is noted."""
        good: list[Block] = []
        for cid, data in sections:
            try:
                verify(cid, data)
            except SessionctxError as error:
                self.error, self._over = error, True
                break
            good.append(Block.vouched(cid, data))
        return good

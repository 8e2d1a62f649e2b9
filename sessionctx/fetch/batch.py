"""Batches: verified blocks of a CAR on their way to the store, which others can have meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from sessionctx.content import Block
from sessionctx.fetch.job import BATCH

BATCH_BLOCKS: Final = 128
FLUSH: Final = 1.0
"""Seconds that storing the last ones may take on the way out."""

log = logging.getLogger("sessionctx.fetch")

Keep = Callable[[list[Block]], Awaitable[object]]
"""Stores verified blocks."""


@attrs.define(eq=False)
class Batch:
    """The blocks of one CAR that are about to be stored."""

    _keep: Keep
    _held: dict[bytes, bytes]
    """Where others find them meanwhile, by multihash."""
    failed: bool = attrs.field(default=False, init=False)
    """Whether the store could not take some; whoever gets these one by one sees why."""
    _blocks: list[Block] = attrs.field(factory=list[Block], init=False)
    _bytes: int = attrs.field(default=0, init=False)

    async def add(self, block: Block) -> None:
        """Take in a block; when there are enough of them, they are stored."""
        self._hold([block])
        self._blocks.append(block)
        self._bytes += len(block.data)
        if self._bytes >= BATCH or len(self._blocks) >= BATCH_BLOCKS:
            await self._store()

    async def flush(self) -> None:
        """Store the rest, even on the way out: what is verified is not fetched again."""
        if self._blocks:
            with trio.move_on_after(FLUSH, shield=True):
                await self._store()

    async def keep(self, blocks: list[Block]) -> None:
        """Store *blocks* apart from the others."""
        self._hold(blocks)
        try:
            await self._keep(blocks)
        except Exception as error:  # noqa: BLE001  # no peer's fault, and seen by whoever stores a block alone
            log.info("%d blocks of a CAR could not be stored: %s", len(blocks), error)
            self.failed = True
        finally:
            self._let_go(blocks)

    def close(self) -> None:
        """Let go of what could not be stored in time."""
        self._let_go(self._blocks)

    async def _store(self) -> None:
        blocks, size = self._blocks, self._bytes
        self._blocks, self._bytes = [], 0
        try:
            await self.keep(blocks)
        except trio.Cancelled:
            self._blocks, self._bytes = blocks, size  # to be stored on the way out
            self._hold(blocks)
            raise

    def _hold(self, blocks: list[Block]) -> None:
        self._held.update((block.cid.multihash, block.data) for block in blocks)

    def _let_go(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._held.pop(block.cid.multihash, None)

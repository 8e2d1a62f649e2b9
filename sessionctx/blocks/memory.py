"""Blocks in memory."""

from __future__ import annotations

from collections.abc import Iterable

from sessionctx.blocks.base import StoreStatistics, inline_block, not_found, turn
from sessionctx.content import CID, MAX_BLOCK, Block


class MemoryBlockstore:
    """Keeps blocks in memory, for as long as the object lives. A `Blockstore`.

    *max_bytes* makes it a cache: once the blocks take more, those that were not got or put for the longest time are
    forgotten. At least 2 MiB, the size of the largest block (:exc:`ValueError`), so that what was put last is always
    there. Default: no limit.
    """

    def __init__(self, *, max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < MAX_BLOCK:
            raise ValueError(f"max_bytes must be at least {MAX_BLOCK}, the size of the largest block, not {max_bytes}")
        self._max_bytes = max_bytes
        self._blocks: dict[bytes, bytes] = {}  # the order of the keys is that of use, the latest last
        self._bytes = 0

    async def get(self, cid: CID) -> Block:
        """Return the block; :exc:`~sessionctx.errors.BlockNotFound`."""
        await turn("MemoryBlockstore.get")
        if (inline := inline_block(cid)) is not None:
            return inline
        key = cid.multihash
        data = self._blocks.get(key)
        if data is None:
            raise not_found(cid, "memory")
        if self._max_bytes is not None:
            self._blocks[key] = self._blocks.pop(key)
        return Block.vouched(cid, data)

    async def has(self, cid: CID) -> bool:
        """Return whether the block is kept. Asking does not count as use."""
        await turn("MemoryBlockstore.has")
        return cid.is_identity or cid.multihash in self._blocks

    async def put(self, block: Block) -> None:
        """Keep the block."""
        await turn("MemoryBlockstore.put")
        self._keep(block)

    async def put_many(self, blocks: Iterable[Block]) -> None:
        """Keep all of them."""
        await turn("MemoryBlockstore.put_many")
        for block in blocks:
            self._keep(block)

    async def sync(self) -> None:
        """Do nothing: memory survives no loss of power."""
        await turn("MemoryBlockstore.sync")

    async def delete(self, cid: CID) -> None:
        """Forget the block."""
        await turn("MemoryBlockstore.delete")
        self._bytes -= len(self._blocks.pop(cid.multihash, b""))

    def statistics(self) -> StoreStatistics:
        """Return how much is kept now."""
        return StoreStatistics(blocks=len(self._blocks), bytes=self._bytes)

    def _keep(self, block: Block) -> None:
        if block.cid.is_identity:
            return
        key = block.cid.multihash
        self._bytes += len(block.data) - len(self._blocks.pop(key, b""))
        self._blocks[key] = block.data
        while self._max_bytes is not None and self._bytes > self._max_bytes and len(self._blocks) > 1:
            self._bytes -= len(self._blocks.pop(next(iter(self._blocks))))

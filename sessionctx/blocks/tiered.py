"""Several stores as one: quick ones before slow ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from sessionctx.blocks.base import (
    Blockstore,
    batches,
    caches_with,
    inline_block,
    keep_copies,
    keep_copy,
    not_found,
    turn,
)
from sessionctx.blocks.pins import Pins, pins_of
from sessionctx.blocks.upstream import Upstream, upstream_of
from sessionctx.content import CID, Block
from sessionctx.errors import BlockNotFound, StoreError


class TieredBlockstore:
    """Looks in several stores, in order; the last one is home, those before it are caches. A `Blockstore`.

    - `get` and `has` ask the stores in order and stop at the first that has it. What was found further down is copied
      into the first store, as well as that can be done: if it cannot, the block is returned all the same.
    - `put`, `put_many` and `delete` go to **every** store, home first. So a block is kept once put returns, whatever
      the caches forget: they are given copies, and one that may hold no more is no error. So does `cache`.

    A store that fails is an error here, too: a :exc:`~sessionctx.errors.StoreError` is never taken for "not here".
    The stores stay yours: open and close them. :exc:`ValueError` without any.
    """

    def __init__(self, tiers: Sequence[Blockstore]) -> None:
        if not tiers:
            raise ValueError("TieredBlockstore needs at least one store")
        self._tiers = tuple(tiers)

    @property
    def upstream(self) -> Upstream:
        """Whom the first of the stores asks that asks anybody."""
        return upstream_of(*self._tiers)

    @property
    def pins(self) -> Pins | None:
        """The pins of home, if it keeps any."""
        return pins_of(self._tiers[-1])

    async def get(self, cid: CID) -> Block:
        """Return the block from the first store that has it; :exc:`~sessionctx.errors.BlockNotFound`."""
        await turn("TieredBlockstore.get")
        if (inline := inline_block(cid)) is not None:
            return inline
        for tier in self._tiers:
            with suppress(BlockNotFound):
                block = await tier.get(cid)
                break
        else:
            raise not_found(cid, f"any of {len(self._tiers)} stores")
        if tier is not self._tiers[0]:
            with suppress(StoreError):
                await keep_copy(self._tiers[0], block)
        return block

    async def has(self, cid: CID) -> bool:
        """Return whether any store has the block."""
        await turn("TieredBlockstore.has")
        for tier in self._tiers:
            if await tier.has(cid):
                return True
        return False

    async def put(self, block: Block) -> None:
        """Keep the block at home, and a copy in every cache that has room for it."""
        await turn("TieredBlockstore.put")
        await self._tiers[-1].put(block)
        for cache in reversed(self._tiers[:-1]):
            await keep_copies(cache, (block,))

    async def put_many(self, blocks: Iterable[Block]) -> None:
        """Keep all of them, as `put` does. They are taken batch by batch, so there may be very many."""
        await turn("TieredBlockstore.put_many")
        for batch in batches(blocks):
            await self._tiers[-1].put_many(batch)
            for cache in reversed(self._tiers[:-1]):
                await keep_copies(cache, batch)

    async def cache(self, blocks: Iterable[Block]) -> None:
        """Keep copies of blocks that others have in every store, as each keeps such; for as long as there is room."""
        await turn("TieredBlockstore.cache")
        for batch in batches(blocks):
            for tier in reversed(self._tiers):
                await caches_with(tier)(batch)

    async def sync(self) -> None:
        """Make what is kept at home safe from power failure; the caches can lose theirs."""
        await turn("TieredBlockstore.sync")
        await self._tiers[-1].sync()

    async def delete(self, cid: CID) -> None:
        """Delete the block from every store, home first."""
        await turn("TieredBlockstore.delete")
        for tier in reversed(self._tiers):
            await tier.delete(cid)

"""Loads: where a walk needs many small blocks, they come in one load, a CAR, and not one by one.

What hangs below a link is worth one if its size, as its parent says, fits; what hangs below a block is, if it has many
small ones. The rest, which is larger or of unknown size, is got block by block, from all peers at once.
"""

from __future__ import annotations

import trio

from sessionctx.blocks import NEAR, Blockstore, Upstream
from sessionctx.content import CID, DAG_PB, RAW, Block, dagpb
from sessionctx.errors import SessionctxError
from sessionctx.fetch import STRIPE, Sweep, is_flat, is_stripe


class Loads:
    """Gets the blocks of one walk, which follows all links, and the loads that they are worth."""

    def __init__(self, blocks: Blockstore, upstream: Upstream) -> None:
        self._blocks = blocks
        self._upstream = upstream
        self._sizes: dict[CID, int] = {}
        """Of what hangs below links that were seen, those that are worth a load."""

    async def get(self, nursery: trio.Nursery, cid: CID, *, whole: bool) -> Block:
        """Return the block, and start in *nursery* what brings others with it. Errors as those of the store."""
        if cid.codec == RAW or cid.is_identity:
            return await self._blocks.get(cid)
        lacking = not await self._blocks.has(cid)
        size = self._sizes.pop(cid, None)
        if lacking and whole and size is not None:
            self._upstream.carry_soon(nursery, Sweep(cid, size, near=NEAR.get()))
        block = await self._blocks.get(cid)
        self._look(nursery, block, lacking=lacking and whole)
        return block

    def _look(self, nursery: trio.Nursery, block: Block, *, lacking: bool) -> None:
        """See what the links of a block are worth; a block that was here already has been looked at before."""
        links = _links(block)
        known = [size for _, size in links if size is not None]
        total = sum(known)
        leaves = sum(cid.codec == RAW for cid, _ in links)
        small = self._upstream.small()
        flat = len(known) == len(links) and is_flat(len(links), total, small=small)
        if lacking and flat and (total <= STRIPE or leaves * 2 > len(links)):
            sweep = Sweep(block.cid, total + len(block.data), near=block.cid)
            sweep.arrived(block)  # so that what hangs below it is waited for from now on
            self._upstream.carry_soon(nursery, sweep)
            return
        for cid, size in links:
            if cid.codec != RAW and size is not None and is_stripe(size):
                self._sizes[cid] = size


def _links(block: Block) -> list[tuple[CID, int | None]]:
    """Return the links, with the bytes below each as the block says; whoever visits it says what is wrong with it."""
    try:
        if block.cid.codec == DAG_PB:
            return [(link.cid, link.tsize) for link in dagpb.decode(block.data).links]
        return [(cid, None) for cid in block.links()]
    except SessionctxError:
        return []

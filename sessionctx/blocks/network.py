"""Blocks from the network: what the local store lacks is fetched from the session's peers, verified, and kept."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import trio

from sessionctx import session
from sessionctx.blocks.base import Blockstore, caches_with, keep_copy
from sessionctx.content import CID, Block
from sessionctx.errors import BlockNotFound, FetchFailed
from sessionctx.fetch import FETCHER, Memory, Sweep, fetch, start_carry, usual_small_block
from sessionctx.session import Limits, PeerLike, Session, by_address
from sessionctx.transports import Routing


class NetworkBlocks:
    """A block store over a *local* one whose misses go to the peers of the session that is bound here.

    Without a session, each `get` has one for its own length, with the *default_limits*. *peers* are asked by default:
    they are added to whatever session is used. *routers* are asked for more peers, when that is worth it; *memory* is
    what is known of peers from before. Everything but `get` concerns the local store alone.
    """

    def __init__(
        self,
        local: Blockstore,
        peers: Iterable[PeerLike] = (),
        *,
        routers: Iterable[Routing] = (),
        memory: Memory | None = None,
        default_limits: Limits | None = None,
    ) -> None:
        self.local = local
        self.peers = tuple(by_address(peers).values())
        self.routers = tuple(routers)
        self.default_limits = default_limits
        self._memory = memory

    async def get(self, cid: CID, *, near: CID | None = None) -> Block:
        """Return the block, from the local store or else from the best of the peers.

        However many tasks ask for it at a time, it is fetched once. *near* names a block that links to it: who had
        that is asked first, where not everybody has everything.

        Raises:
            BlockNotFound: every peer says that it does not have it.
            FetchFailed: peers could not serve it; the error lists each and why.
            LimitReached, SessionEnded: the session has no more to give.
        """
        session.require_trio("NetworkBlocks.get")
        with suppress(BlockNotFound, FetchFailed):  # the latter where the local one is of this kind, too
            return await self.local.get(cid)
        loaded: list[Block] = []
        with session.begin(peers=self.peers, default_limits=self.default_limits) as s:
            self._prepare(s)
            data = await session.share(s, cid, partial(self._load, s, cid, near, loaded), key=cid.multihash)
        block = Block.vouched(cid, data)
        if not loaded and not await self.local.has(cid):
            await keep_copy(self.local, block)  # a caller of another store has fetched it, and kept it there
        return block

    def asks(self, s: Session) -> bool:
        """Whether anybody would be asked for what is not here, in session *s*."""
        return bool(s.peers or self.peers or self.routers)

    async def lacks(self, cid: CID) -> bool:
        """Whether the block would have to be fetched."""
        return not await self.local.has(cid)

    def carry_soon(self, nursery: trio.Nursery, sweep: Sweep) -> None:
        """Start a task in *nursery* that brings the blocks of a *sweep* into the local store, as far as one CAR does.

        From now on, a `get` of one of them waits for that, as long as it gets on. What goes wrong with it harms nobody:
        what it does not bring is fetched block by block. Nothing is started for what is on its way already.
        """
        with session.begin(peers=self.peers, default_limits=self.default_limits) as s:
            self._prepare(s)
            carry = start_carry(s, sweep, caches_with(self.local))
            if carry is not None:
                nursery.start_soon(carry.run)

    async def search_beside(self, root: CID) -> None:
        """Look for more peers while *root* is being walked, until cancelled; returns at once without routers."""
        if self.routers:
            with session.begin(peers=self.peers, default_limits=self.default_limits) as s:
                self._prepare(s)
                await FETCHER.of(s).searching.watch(root)

    def _prepare(self, s: Session) -> None:
        """Let the session know whom to ask for peers, and what is known of them."""
        if self.routers or self._memory is not None:
            fetcher = FETCHER.of(s)
            fetcher.searching.add(self.routers)
            if self._memory is not None:
                fetcher.met.remember(self._memory)

    def small(self) -> float:
        """Return how many bytes a block must have, for round trips not to be what takes the time with the peers."""
        return usual_small_block(session.current(None))

    async def _load(self, s: Session, cid: CID, near: CID | None, loaded: list[Block]) -> bytes:
        block: Block | None = None
        with suppress(BlockNotFound, FetchFailed):
            block = await self.local.get(cid)  # it may have come while this caller waited for the lead
        if block is None:
            block = Block.vouched(cid, await fetch(s, cid, near=near))
            await keep_copy(self.local, block)
        loaded.append(block)
        return block.data

    async def has(self, cid: CID) -> bool:
        """Whether the local store has it."""
        return await self.local.has(cid)

    async def put(self, block: Block) -> None:
        """Keep the block in the local store."""
        await self.local.put(block)

    async def put_many(self, blocks: Iterable[Block]) -> None:
        """Keep the blocks in the local store."""
        await self.local.put_many(blocks)

    async def sync(self) -> None:
        """Make what the local store has acknowledged safe from power failure."""
        await self.local.sync()

    async def delete(self, cid: CID) -> None:
        """Drop the block from the local store."""
        await self.local.delete(cid)


def default_limits(blocks: Blockstore) -> Limits | None:
    """Return the limits of sessions that begin with work on this store, if it has any."""
    return blocks.default_limits if isinstance(blocks, NetworkBlocks) else None

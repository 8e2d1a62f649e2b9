"""Blocks from the network: what the local store lacks is fetched from the session's peers, verified, and kept."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from functools import partial

import trio

from sessionctx import session
from sessionctx.blocks.base import Blockstore, caches_with, keep_copy
from sessionctx.blocks.pins import Pins, pins_of
from sessionctx.blocks.upstream import NEAR, Upstream
from sessionctx.content import CID, Block
from sessionctx.errors import BlockNotFound, FetchFailed
from sessionctx.fetch import FETCHER, Priors, Sweep, fetch, start_carry, usual_small_block
from sessionctx.session import Limits, PeerLike, Session, by_address
from sessionctx.transports import Routing


class NetworkBlocks:
    """A block store over a *local* one whose misses go to the peers of the session that is bound here.

    Without a session, each `get` has one for its own length, with the *default_limits*. *peers* are asked by default:
    they are added to whatever session is used. *routers* are asked for more peers, when that is worth it; *priors* are
    what is known of peers from before. Everything but `get` concerns the local store alone. Whom it asks is its own
    `upstream`.
    """

    def __init__(
        self,
        local: Blockstore,
        peers: Iterable[PeerLike] = (),
        *,
        routers: Iterable[Routing] = (),
        priors: Priors | None = None,
        default_limits: Limits | None = None,
    ) -> None:
        self.local = local
        self.peers = tuple(by_address(peers).values())
        self.routers = tuple(routers)
        self.default_limits = default_limits
        self._priors = priors

    @property
    def upstream(self) -> Upstream:
        """Whom it asks."""
        return self

    @property
    def pins(self) -> Pins | None:
        """The pins of the local store, if it keeps any."""
        return pins_of(self.local)

    async def get(self, cid: CID) -> Block:
        """Return the block, from the local store or else from the best of the peers.

        However many tasks ask for it at a time, it is fetched once.

        Raises:
            BlockNotFound: every peer says that it does not have it.
            FetchFailed: peers could not serve it; the error lists each and why.
            LimitReached, SessionEnded: the session has no more to give.
        """
        session.require_trio("NetworkBlocks.get")
        with suppress(BlockNotFound, FetchFailed):  # the latter where the local one is of this kind, too
            return await self.local.get(cid)
        loaded: list[Block] = []
        with self._session() as s:
            data = await session.share(s, cid, partial(self._load, s, cid, NEAR.get(), loaded), key=cid.multihash)
        block = Block.vouched(cid, data)
        if not loaded and not await self.local.has(cid):
            await keep_copy(self.local, block)  # a caller of another store has fetched it, and kept it there
        return block

    def asks(self, s: Session) -> bool:
        """Whether anybody would be asked for what is not here, in session *s*."""
        return bool(s.peers or self.peers or self.routers)

    def carry_soon(self, nursery: trio.Nursery, sweep: Sweep) -> None:
        """Start a task in *nursery* that brings the blocks of a *sweep* into the local store; see `Upstream`."""
        with self._session() as s:
            carry = start_carry(s, sweep, caches_with(self.local))
            if carry is not None:
                nursery.start_soon(carry.run)

    def search_soon(self, nursery: trio.Nursery, root: CID) -> None:
        """Start a task in *nursery* that looks for more peers while *root* is being walked, if there are routers."""
        if self.routers:
            nursery.start_soon(self._search, root)

    async def _search(self, root: CID) -> None:
        with self._session() as s:
            await FETCHER.of(s).searching.watch(root)

    @contextmanager
    def _session(self) -> Generator[Session]:
        """Join or begin a session that knows whom to ask, whom to ask for peers, and what is known of them."""
        with session.begin(peers=self.peers, default_limits=self.default_limits) as s:
            if self.routers or self._priors is not None:
                fetcher = FETCHER.of(s)
                fetcher.searching.add(self.routers)
                if self._priors is not None:
                    fetcher.met.remember(self._priors)
            yield s

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

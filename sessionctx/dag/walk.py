"""Walking a DAG: its blocks depth first, while the blocks to come are being fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from types import TracebackType
from typing import Generic, Self, TypedDict, cast

import trio

from sessionctx import session
from sessionctx.blocks import NEAR, Blockstore, upstream_of
from sessionctx.content import CID, RAW, Block
from sessionctx.dag.frontier import AHEAD, AHEAD_BYTES, MAX_DEPTH, Ahead, Frontier, Item, T, V
from sessionctx.dag.loads import Loads
from sessionctx.dag.wind_down import close


class Walk(Generic[T, V]):
    """A walk in progress: an async context manager, and inside it an async iterator over what is made of the blocks.

    It holds the session it was entered in, and a nursery of its own for what is fetched ahead; leaving the block
    cancels that at once. An error is raised at its place in the order, as it is, and ends the walk.

    The *frontier* says which blocks, and in which order. *first* is the block of the root, where that is here already.
    *whole* says of a tag whether all links below its block are followed, however deep: then many small blocks may come
    together.
    """

    def __init__(
        self,
        blocks: Blockstore,
        frontier: Frontier[T, V],
        *,
        first: Block | None = None,
        whole: Callable[[T], bool] | None = None,
    ) -> None:
        self._blocks = blocks
        self._upstream = upstream_of(blocks)
        self.root = frontier.root
        """Where it began."""
        self._whole = whole
        self._loads: Loads | None = None
        self._frontier = frontier
        if first is not None and (item := self._frontier.claim()) is not None:
            self._frontier.arrived(item, first)
        self._scope = session.begin(default_limits=self._upstream.default_limits)
        self._nursery: trio.Nursery | None = None
        self._context = Context()
        self._arrival = trio.lowlevel.ParkingLot()
        self._over = False

    async def __aenter__(self) -> Self:
        session.require_trio("walking a DAG")
        here = self._scope.__enter__()
        if self._whole is not None and self._upstream.asks(here):
            self._loads = Loads(self._blocks, self._upstream)
        self._context = copy_context()  # what is fetched ahead belongs to this session, wherever the iterator is used
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._context.run(self._upstream.search_soon, self._nursery, self.root)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        nursery, self._nursery, self._over = self._nursery, None, True
        assert nursery is not None
        nursery.cancel_scope.cancel()
        self._arrival.unpark_all()
        try:
            await close(self._manager, error)
        finally:
            self._scope.__exit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> V:
        """Return the next one. Errors: those of the store, and of what reads the blocks."""
        await trio.lowlevel.checkpoint()
        while not self._over:
            self._start()
            item = self._frontier.take()
            if item is not None:
                self._start()  # what it leaves room for is on its way while it is being used
                return self._open(item)
            if self._frontier.finished:
                break
            await self._arrival.park()
        self._over = True
        raise StopAsyncIteration

    @property
    def ready(self) -> bool:
        """Whether the next one is here already: asking for it would not wait for a fetch."""
        return self._frontier.ready

    def coming(self) -> Iterator[Item[T, V]]:
        """Give what is here or on its way, in order, up to the first block that nobody gets yet."""
        return self._frontier.coming()

    def _open(self, item: Item[T, V]) -> V:
        if item.error is not None:
            self._over = True
            raise item.error
        return cast("V", item.value)

    def _start(self) -> None:
        """Start a task for each block that is to be fetched now."""
        if self._nursery is None:
            raise RuntimeError("a walk is iterated inside its 'async with' block")
        while (item := self._frontier.claim()) is not None:
            self._context.run(self._nursery.start_soon, self._fetch, item)

    async def _fetch(self, item: Item[T, V] | None) -> None:
        """Get the block of *item*, and go on with further ones as long as there are any to get."""
        frontier = self._frontier
        while item is not None:
            assert item.cid is not None
            NEAR.set(item.parent)
            try:
                block = await self._get(item.cid, item.tag)
            except Exception as error:  # noqa: BLE001  # surfaces at its place in the order
                frontier.failed(item, error)
            else:
                frontier.arrived(item, block)
            item = None
            if not self._over:
                item = frontier.claim()
                self._start()
            if frontier.ready or frontier.finished:
                self._arrival.unpark_all()

    async def _get(self, cid: CID, tag: T) -> Block:
        if self._loads is not None and self._whole is not None and self._nursery is not None:
            return await self._loads.get(self._nursery, cid, whole=self._whole(tag))
        return await self._blocks.get(cid)


def always(_: object) -> bool:
    """Whether all links below a block are followed: below each."""
    return True


class Options(TypedDict, total=False):
    """The options of `walk`."""

    ahead: int
    ahead_bytes: int
    dups: bool
    max_depth: int
    links: Callable[[Block], Iterable[CID]] | None


def walk(
    blocks: Blockstore,
    root: CID,
    *,
    ahead: int = AHEAD,
    ahead_bytes: int = AHEAD_BYTES,
    dups: bool = False,
    max_depth: int = MAX_DEPTH,
    links: Callable[[Block], Iterable[CID]] | None = None,
) -> Walk[None, Block]:
    """Walk the DAG below *root*, depth first, parents before their children::

        async with walk(blocks, root) as found:
            async for block in found: ...

    Args:
        blocks: where to get the blocks; misses of a network store are fetched.
        root: where to begin.
        ahead: how many upcoming blocks are being got at a time, and how many leaves wait to be handed out; default 32.
        ahead_bytes: how many bytes wait, about; default 32 MiB. The next block in the order is always got.
        dups: hand out a block again wherever it is linked again. The default, once, remembers the CID of each block,
            about 150 bytes.
        max_depth: how many links below the root are followed; default 1024.
        links: what to follow from a block, instead of all of :meth:`Block.links`.

    Raises (while iterating):
        BlockNotFound, FetchFailed and others: as the store raises them, at the place of the block in the order.
        DagTooDeep: the DAG is deeper than *max_depth*.
        DecodeError, Unsupported: the links of a block cannot be read.
    """

    def visit(block: Block, _: None) -> tuple[Block, Iterable[tuple[CID, None]]]:
        if links is not None:
            return block, ((cid, None) for cid in links(block))
        if block.cid.codec == RAW:
            return block, ()
        return block, [(cid, None) for cid in block.links()]

    frontier = Frontier(root, None, visit, Ahead(ahead, ahead_bytes), dups=dups, max_depth=max_depth)
    return Walk(blocks, frontier, whole=always if links is None else None)

"""The opening of a read: one request for all the blocks on a path, and the first ones behind its end.

Block by block, each step of a path and each level of a file takes a round trip before the first byte is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Final

import trio

from sessionctx import session
from sessionctx.blocks import Blockstore, upstream_of
from sessionctx.content import CID, Block
from sessionctx.dag.unixfs.hamt import shard_links
from sessionctx.dag.unixfs.node import Node, open_node
from sessionctx.dag.unixfs.parts import Part, Span, open_part
from sessionctx.dag.wind_down import close
from sessionctx.fetch import Sweep

FIRST: Final = 64 * 1024
"""Bytes of a file that come with the blocks that lead to them."""


class Opening:
    """While this is open, what a read of *root* and *path* needs first is on its way in one answer.

    An async context manager around the read; leaving it cancels what has not come yet. It does nothing where the store
    asks nobody, or has the root already.

    Args:
        blocks: the store.
        root: where the path begins.
        segments: the path.
        span: of a file at its end, the first byte wanted, and the first one not wanted; None: only what it stands for.
        listing: whether a directory at its end is to be read whole, too.
    """

    def __init__(
        self,
        blocks: Blockstore,
        root: CID,
        segments: Iterable[str] = (),
        *,
        span: tuple[int, int] | None = None,
        listing: bool = False,
    ) -> None:
        self._blocks = blocks
        path = "/".join(segments)
        follow = _follow(frozenset(path.split("/")), None if span is None else Span(*span))
        self._sweep = Sweep(
            root,
            size=FIRST,
            follow=follow,
            path=path,
            scope="block" if span is None and not listing else "entity",
            span=None if span is None else f"{span[0]}:{span[1] - 1}",
            exact=False,
        )

    async def __aenter__(self) -> None:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        try:
            upstream = upstream_of(self._blocks)
            if upstream.asks(session.current()) and not await self._blocks.has(self._sweep.root):
                upstream.carry_soon(self._nursery, self._sweep)
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._nursery.cancel_scope.cancel()
        await close(self._manager, error)


def _follow(names: frozenset[str], span: Span | None) -> Callable[[Block], Iterator[CID]]:
    """Return what follows a path through directories, and the parts of a file that overlap *span*."""
    places: dict[CID, Part] = {}

    def follow(block: Block) -> Iterator[CID]:
        if block.cid in places:
            yield from parts(block, places.pop(block.cid))
            return
        node = open_node(block)
        if node.kind == "directory":
            yield from _on_the_way(node, names)
        elif node.kind == "file" and span is not None:
            yield from parts(block, Part(0, None, span))
        elif node.kind == "data":
            yield from block.links()

    def parts(block: Block, part: Part) -> Iterator[CID]:
        for cid, below in open_part(block, part)[1]:
            places[cid] = below
            yield cid

    return follow


def _on_the_way(node: Node, names: frozenset[str]) -> Iterator[CID]:
    """Give the shards below a directory, and the entries that are called one of *names*."""
    if not node.sharded:
        yield from (link.cid for link in node.links if link.name in names)
        return
    for link, name in shard_links(node.fields, node.links):
        if name is None or name in names:
            yield link.cid

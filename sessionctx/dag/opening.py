"""The opening of a read: one request for all the blocks on a path, and the first ones behind its end.

Block by block, each step of a path and each level of a file takes a round trip before the first byte is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Final

import trio

from sessionctx import session
from sessionctx.blocks import Blockstore, upstream_of
from sessionctx.content import CID, ByteRange, DagScope
from sessionctx.dag.selection import Selection
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
        span: of a file at its end, the bytes that are wanted first; None: only what it stands for.
        listing: whether a directory at its end is to be read whole, too.
    """

    def __init__(
        self,
        blocks: Blockstore,
        root: CID,
        segments: Iterable[str] = (),
        *,
        span: ByteRange | None = None,
        listing: bool = False,
    ) -> None:
        self._blocks = blocks
        segments = tuple(segments)
        scope: DagScope = "block" if span is None and not listing else "entity"
        self._sweep = Sweep(
            root,
            size=FIRST,
            follow=Selection(scope, span).follow(root, segments),
            path="/".join(segments),
            scope=scope,
            span=None if span is None else str(span),
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

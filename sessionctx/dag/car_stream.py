"""Writing a CAR: a DAG out of a store, as one stream of blocks.

Source: ipld.io/specs/transport/car/carv1, and the trustless gateway specification for scopes and byte ranges.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import attrs
import trio

from sessionctx.blocks import Blockstore, default_limits
from sessionctx.content import CID, Block, ByteRange, DagScope, car
from sessionctx.dag.frontier import AHEAD, MAX_DEPTH, Ahead, Frontier
from sessionctx.dag.opened import Opened
from sessionctx.dag.path import Ref, Resolved, parse_ref, resolve
from sessionctx.dag.selection import Selection, Tag
from sessionctx.dag.walk import Walk

CHUNK: Final = 256 * 1024
"""Bytes of a CAR handed out together, at least, as long as there are so many."""


@attrs.frozen
class CarSummary:
    """What went through a CAR."""

    roots: tuple[CID, ...]
    """What the header says. When reading: a hint, nobody has checked it."""
    blocks: int
    """Blocks, each as often as it is there."""
    bytes: int
    """Their bytes."""


class CarChunks:
    """The bytes of a CAR, in chunks of 256 KiB or a little more; an async iterator."""

    def __init__(self, resolved: Resolved, walk: Walk[Tag, Block]) -> None:
        self.resolved = resolved
        """Where the path has led."""
        self.roots = resolved.roots[:1]
        """What the header says."""
        self.blocks = 0
        """Blocks so far."""
        self.bytes = 0
        """Their bytes."""
        self.places: list[tuple[bytes, int]] | None = None
        """By multihash, where each block begins, for those who make it a list before they iterate."""
        self._pieces: list[bytes] = [car.encode_header(self.roots)]
        self._size = self._at = len(self._pieces[0])
        self._walk = walk
        self._over = False
        self._begun = False
        self._error: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk.

        Raises what went wrong: at once instead of the first chunk, later when the good blocks before it are out. The
        CAR is not whole then: end the stream so that the reader notices.
        """
        await trio.lowlevel.checkpoint()
        while self._size < CHUNK and not self._over and self._error is None:
            try:
                self._take(await self._walk.__anext__())
            except StopAsyncIteration:
                self._over = True
            except Exception as error:
                if not self._begun:
                    raise  # nothing is out yet: whoever serves this can still say so properly
                self._error = error
        if not self._pieces:
            raise self._error or StopAsyncIteration
        self._begun = True
        chunk = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return chunk

    def _take(self, block: Block) -> None:
        if block.cid.is_identity:  # says itself what it is
            return
        prefix = car.encode_prefix(block.cid, len(block.data))
        self._pieces += (prefix, block.data)
        if self.places is not None:
            self.places.append((block.cid.multihash, self._at))
        self._at += len(prefix) + len(block.data)
        self._size += len(block.data) + 64
        self.blocks += 1
        self.bytes += len(block.data)


def car_stream(
    blocks: Blockstore,
    ref: Ref,
    *,
    path: str = "",
    scope: DagScope = "all",
    span: str | None = None,
    dups: bool = False,
    ahead: int = AHEAD,
    max_depth: int = MAX_DEPTH,
) -> Opened[CarChunks]:
    """Open what is below a CID or path as a CAR: depth first, each block once, blocks fetched ahead::

        async with car_stream(blocks, ref) as chunks:
            async for chunk in chunks: ...

    On entering, the path is resolved and the first block read, so that what is not there is known before the first
    byte. Identity CIDs, which hold their own data, are left out.

    Args:
        blocks: where to get the blocks.
        ref: where to begin; the header names its CID as the root.
        path: below *ref*; the blocks on the way to its end come first.
        scope: how much of what the path leads to; default ``"all"``.
        span: ``from:to``, bytes of the file, inclusive, ``*`` for the end, negative from the end. Implies ``"entity"``.
        dups: repeat a block wherever it is linked again; default: each once.
        ahead: how many blocks are got at a time; default 32.
        max_depth: how many links below the end of the path are followed; default 1024.

    Raises:
        PathNotFound, NotADirectory, BlockNotFound, ...: on entering, or while iterating.
        DecodeError: *span* is none.
    """
    chosen = Selection(scope, None if span is None else ByteRange.parse(span))

    async def start(stack: AsyncExitStack) -> CarChunks:
        root, segments = parse_ref(ref, path)
        found = await resolve(blocks, root, "/".join(segments))
        await blocks.get(found.cid)
        depth = len(found.trail) + max_depth
        frontier: Frontier[Tag, Block] = Frontier(
            root, chosen.begin(root, segments), chosen.visit, Ahead(ahead), dups=dups, max_depth=depth
        )
        walk = Walk(blocks, frontier, whole=chosen.whole if scope == "all" and span is None else None)
        return CarChunks(found, await stack.enter_async_context(walk))

    return Opened("car_stream", start, default_limits(blocks))

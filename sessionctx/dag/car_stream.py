"""Writing a CAR: a DAG out of a store, as one stream of blocks.

Source: ipld.io/specs/transport/car/carv1, and the trustless gateway specification for scopes and byte ranges.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final, Literal, TypeAlias

import attrs
import trio

from sessionctx.blocks import Blockstore, default_limits
from sessionctx.content import CID, RAW, Block, car
from sessionctx.dag.opened import Opened
from sessionctx.dag.path import Ref, Resolved, resolve
from sessionctx.dag.unixfs.hamt import TOP, Place, Sub
from sessionctx.dag.unixfs.node import open_node
from sessionctx.dag.unixfs.parts import Part, Span, open_part
from sessionctx.dag.unixfs.read import directory_links
from sessionctx.dag.walk import AHEAD, MAX_DEPTH, Walk, always
from sessionctx.errors import DecodeError

Scope: TypeAlias = Literal["all", "entity", "block"]
"""How much of a DAG: all of it; the one file or directory, without what a directory's entries name; the one block."""
Note: TypeAlias = Callable[[CID, int], object]
"""Is told where the section of each block begins."""

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


def parse_span(text: str) -> tuple[int, int | None]:
    """Read ``from:to``, bytes of a file, inclusive; ``*`` is the end, negative numbers count from it.

    Returns the first byte, and the last (``None`` for the end). :exc:`DecodeError`.
    """
    first, _, last = text.partition(":")
    try:
        start, stop = int(first), None if last == "*" else int(last)
    except ValueError:
        raise DecodeError(
            f"{text[:80]!r} is no range of bytes: it is from:to, two whole numbers, or * for the end"
        ) from None
    if stop is not None and (start < 0) == (stop < 0) and start > stop:
        raise DecodeError(f"{text[:80]!r} is no range of bytes: it ends before it begins")
    return start, stop


Tag: TypeAlias = "Place | Part | None"
"""How a block is linked in an entity: as (a shard of) a directory, as a part of a file, or not known yet."""


def _entity(span: tuple[int, int | None]) -> Callable[[Block, Tag], tuple[Block, Iterable[tuple[CID, Tag]]]]:
    """Return what follows the links of one file (its bytes in *span*) or one directory (all its shards)."""

    def visit(block: Block, tag: Tag) -> tuple[Block, Iterable[tuple[CID, Tag]]]:
        if isinstance(tag, Part):
            return block, open_part(block, tag)[1]
        node = open_node(block)
        if node.kind == "directory":
            found = directory_links(node, tag or TOP)
            return block, ((item.link.cid, item.place) for item in found if isinstance(item, Sub))
        if node.kind == "metadata":
            return block, ((node.links[0].cid, None),)
        if node.kind == "file":
            wanted = _clip(*span, node.size)
            return block, open_part(block, Part(0, None, wanted))[1] if wanted else ()
        return block, ()

    return visit


def _clip(first: int, last: int | None, size: int) -> Span | None:
    """Return the part of the range that is in the file; ``None`` if it is wholly outside."""
    start = max(first + size, 0) if first < 0 else first
    stop = size if last is None else min(last + size if last < 0 else last, size - 1) + 1
    return Span(start, stop) if start < stop else None


def _all(block: Block, _: Tag) -> tuple[Block, Iterable[tuple[CID, Tag]]]:
    return block, () if block.cid.codec == RAW else [(cid, None) for cid in block.links()]


def _alone(block: Block, _: Tag) -> tuple[Block, Iterable[tuple[CID, Tag]]]:
    return block, ()


class CarChunks:
    """The bytes of a CAR, in chunks of 256 KiB or a little more; an async iterator."""

    def __init__(
        self, resolved: Resolved, trail: Iterable[Block], walk: Walk[Tag, Block], note: Note | None = None
    ) -> None:
        self.resolved = resolved
        """Where the path has led."""
        self.roots = resolved.roots[:1]
        """What the header says."""
        self.blocks = 0
        """Blocks so far."""
        self.bytes = 0
        """Their bytes."""
        self._pieces: list[bytes] = [car.encode_header(self.roots)]
        self._size = self._at = len(self._pieces[0])
        self._note = note
        self._walk = walk
        self._over = False
        self._begun = False
        self._error: Exception | None = None
        for block in trail:
            self._take(block)

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
        if self._note is not None:
            self._note(block.cid, self._at)
        self._at += len(prefix) + len(block.data)
        self._size += len(block.data) + 64
        self.blocks += 1
        self.bytes += len(block.data)


def car_stream(
    blocks: Blockstore,
    ref: Ref,
    *,
    path: str = "",
    scope: Scope = "all",
    span: str | None = None,
    dups: bool = False,
    ahead: int = AHEAD,
    max_depth: int = MAX_DEPTH,
    note: Note | None = None,
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
        note: called with each CID and where its section begins, in bytes, as it is made; to make an index.

    Raises:
        PathNotFound, NotADirectory, BlockNotFound, ...: on entering, or while iterating.
        DecodeError: *span* is none.
    """
    wanted = parse_span(span) if span is not None else (0, None)

    async def start(stack: AsyncExitStack) -> CarChunks:
        found = await resolve(blocks, ref, path)
        trail = [await blocks.get(cid) for cid in found.trail]
        await blocks.get(found.cid)
        visit = _entity(wanted) if span is not None or scope == "entity" else _all if scope == "all" else _alone
        walk: Walk[Tag, Block] = Walk(
            blocks,
            found.cid,
            None,
            visit,
            ahead=ahead,
            dups=dups,
            max_depth=max_depth,
            whole=always if visit is _all else None,
        )
        return CarChunks(found, trail, await stack.enter_async_context(walk), note)

    return Opened("car_stream", start, default_limits(blocks))

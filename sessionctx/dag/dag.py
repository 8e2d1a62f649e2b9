"""DAGs of any codec: get, put, fetch, walk, resolve, CAR."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import Unpack

import attrs

from sessionctx import session
from sessionctx.blocks import Blockstore, default_limits
from sessionctx.content import CID, DAG_CBOR, DAG_PB, SHA2_256, Block, DagScope, PBNode, Value, dagpb, encode
from sessionctx.dag.car_file import Version, write_car
from sessionctx.dag.car_import import import_car
from sessionctx.dag.car_stream import CarChunks, CarSummary, car_stream
from sessionctx.dag.frontier import AHEAD, Ahead
from sessionctx.dag.opened import Opened
from sessionctx.dag.path import Ref, Resolved, resolve
from sessionctx.dag.selection import decode_data
from sessionctx.dag.source import Source
from sessionctx.dag.walk import Options, Walk, walk
from sessionctx.errors import DecodeError


@attrs.frozen
class Fetched:
    """What is in the store now."""

    cid: CID
    """Where the path has led: the root of what was fetched."""
    blocks: int
    """Blocks at and below it, each counted once."""
    bytes: int
    """Their bytes."""


class Dag:
    """Blocks that link to each other, in any block store.

    What names a block below is a CID, or a text ``cid/path``. Besides the errors that are listed, there are those of
    the store: ``BlockNotFound``, ``FetchFailed``, ...
    """

    def __init__(self, blocks: Blockstore) -> None:
        self._blocks = blocks
        self.default_limits = default_limits(blocks)
        """Of sessions that begin with a call of a method here; None for no limits."""

    @session.operation
    async def get(self, ref: Ref, *, path: str = "") -> PBNode | Value:
        """Return what a block holds: bytes of raw blocks, a `PBNode` of dag-pb ones, plain data of others.

        These are dag-cbor, dag-json, cbor and json. They are read even if they are not written as strictly as their
        specification asks. A path may end inside of them: then that part is returned.

        Raises:
            PathNotFound, NotADirectory: *path* leads nowhere.
            DecodeError: the block breaks the rules of its codec.
            Unsupported: its codec is not known here.
        """
        found = await resolve(self._blocks, ref, path)
        return found.value if found.rest else read(await self._blocks.get(found.cid))

    @session.operation
    async def resolve(self, ref: Ref, path: str = "") -> Resolved:
        """Return where a path leads, through UnixFS directories and dag-cbor data; symlinks are not followed.

        Raises:
            InvalidCID, PathNotFound, NotADirectory, DagTooDeep, DecodeError, InvalidDag.
        """
        return await resolve(self._blocks, ref, path)

    @session.operation
    async def put(self, value: PBNode | Value, *, codec: int = DAG_CBOR, hash: int = SHA2_256) -> CID:  # noqa: A002
        """Store *value* as one block, strictly written, and return its CID (version 1).

        *codec* is any of those that `get` reads; a `PBNode` is dag-pb whatever it says. *hash* is the function of the
        name.

        Raises:
            TypeError, ValueError: the codec cannot hold it.
            BlockTooLarge: it takes more than 2 MiB.
            Unsupported: the codec or hash function is not known here.
        """
        if isinstance(value, PBNode):
            block = Block.of(dagpb.encode(value), codec=DAG_PB, hash=hash)
        else:
            block = Block.of(encode(codec, value), codec=codec, hash=hash)
        await self._blocks.put(block)
        return block.cid

    @session.operation
    async def fetch(self, ref: Ref, *, path: str = "") -> Fetched:
        """Bring all that is below a CID or path into the store; what is there already is not asked for again.

        It returns once all blocks are stored, and safe from a loss of power if the store offers ``sync()``. If it is
        cancelled or fails, what was stored stays good. (`Files.export` writes to files, too.)

        Raises:
            PathNotFound, NotADirectory: *path* leads nowhere.
            DagTooDeep, DecodeError, Unsupported: as `walk`.
        """
        async with self.walk(ref, path=path) as found:
            blocks = size = 0
            async for block in found:
                blocks, size = blocks + 1, size + len(block.data)
        await self._blocks.sync()
        return Fetched(found.root, blocks, size)

    def walk(
        self,
        ref: Ref,
        *,
        path: str = "",
        **options: Unpack[Options],
    ) -> Opened[Walk[None, Block]]:
        """Walk the blocks below a CID or path, depth first, fetching ahead::

            async with dag.walk(ref) as found:
                async for block in found: ...

        The *options* are those of `sessionctx.dag.walk`: ahead, ahead_bytes, dups, max_depth, links.
        """
        Ahead(options.get("ahead", AHEAD))

        async def start(stack: AsyncExitStack) -> Walk[None, Block]:
            root = (await resolve(self._blocks, ref, path)).cid
            return await stack.enter_async_context(walk(self._blocks, root, **options))

        return Opened("Dag.walk", start, self.default_limits)

    def car(
        self, ref: Ref, *, path: str = "", scope: DagScope = "all", span: str | None = None, dups: bool = False
    ) -> Opened[CarChunks]:
        """Open what is below a CID or path as a CAR, in chunks of bytes; see `sessionctx.dag.car_stream`."""
        return car_stream(self._blocks, ref, path=path, scope=scope, span=span, dups=dups)

    async def export_car(
        self,
        ref: Ref,
        target: str | os.PathLike[str],
        *,
        path: str = "",
        scope: DagScope = "all",
        span: str | None = None,
        version: Version = 1,
        index: bool = True,
    ) -> CarSummary:
        """Write what is below a CID or path to the CAR file *target*, which must not exist: whole, or not at all.

        Args:
            ref: where to begin; the header names its CID.
            target: where to; it gets its name when all is written, and on the disk.
            path: below *ref*.
            scope: how much of what the path leads to, as for `car`.
            span: bytes of a file, as for `car`.
            version: of the CAR; default 1.
            index: whether one of version 2 has an index (MultihashIndexSorted; about 100 bytes a block in memory while
                it is made); default: it does.

        Raises:
            TargetExists, TargetUnwritable: of the file.
            PathNotFound, BlockNotFound, ...: as for `car`. Nothing half-written is left.
        """
        return await write_car(self.car(ref, path=path, scope=scope, span=span), target, version=version, index=index)

    @session.operation
    async def import_car(self, source: Source) -> CarSummary:
        """Store the blocks of a CAR, each verified first; in little memory, however long it is.

        Every good block is kept, whatever the header says: duplicates change nothing, blocks that the roots do not lead
        to are stored as well, and whether the roots lead to all they should is not looked at (walk them to know).

        Raises:
            CarTruncated, CarError, HashMismatch, BlockTooLarge, Unsupported: something is wrong with the CAR; the
                message says after how many blocks. Those before it are stored.
            SourceUnreadable: *source* is a path that cannot be read. Also: errors of the stream, and of the store.
        """
        return await import_car(self._blocks, source)


def read(block: Block) -> PBNode | Value:
    """Return what *block* holds, by its codec. :exc:`DecodeError`, :exc:`Unsupported`."""
    if block.cid.codec != DAG_PB:
        return decode_data(block)
    try:
        return dagpb.decode(block.data)
    except DecodeError as error:
        raise DecodeError(f"{block.cid}: {error}") from None

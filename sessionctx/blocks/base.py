"""What a block store is, and what all of them do alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, Protocol, cast, runtime_checkable

import attrs
import trio

from sessionctx.content import CID, Block
from sessionctx.errors import BlockNotFound, StoreFull
from sessionctx.session import require_trio

BATCH_BLOCKS: Final = 512
"""How many blocks are handled together at most."""
BATCH_BYTES: Final = 8 * 1024 * 1024
"""How many bytes of blocks are handled together at most (and one block more)."""


class Blockstore(Protocol):
    """Where blocks are kept.

    The key is the **multihash**: bytes put under one CID are found under every other that names the same bytes,
    whatever its version or codec, and come back under the CID that was asked for. A CID that holds its own data
    (hash function *identity*) is answered from itself, always, and never takes room in a store.

    Bytes are verified where they enter: a `Block` cannot be made from bytes that do not match its name. A store that
    cannot be sure that they stay so hashes them again on the way out. Every method is a checkpoint, and raises
    :exc:`~sessionctx.errors.NotInTrio` outside trio and a :exc:`~sessionctx.errors.StoreError` when the place itself
    fails. `sessionctx.testing.blockstore` is the suite that says the rest.
    """

    async def get(self, cid: CID) -> Block:
        """Return the block; :exc:`~sessionctx.errors.BlockNotFound` where it is not kept."""
        ...

    async def has(self, cid: CID) -> bool:
        """Return whether the block is kept here, without reading it."""
        ...

    async def put(self, block: Block) -> None:
        """Keep the block, and return when it is kept. Keeping it again changes nothing.

        If this is cancelled, the block may or may not be kept; nobody else's is affected.
        """
        ...

    async def put_many(self, blocks: Iterable[Block]) -> None:
        """Keep all of them, and return when all are kept. If this raises or is cancelled, some may be kept."""
        ...

    async def sync(self) -> None:
        """Return when all that was acknowledged would survive a loss of power, as far as the place can do that."""
        ...

    async def delete(self, cid: CID) -> None:
        """Stop keeping the block, under all of its names. It is fine if it is not there."""
        ...


@runtime_checkable
class Caching(Protocol):
    """A store that tells copies of what others have from what was put into its care."""

    async def cache(self, blocks: Iterable[Block]) -> None:
        """Keep all of them for as long as there is room, and return when all are kept; otherwise as ``put_many``."""
        ...


def caches_with(store: Blockstore) -> Callable[[Iterable[Block]], Awaitable[None]]:
    """Return what puts copies of blocks that others have into *store*."""
    return cast("Caching", store).cache if _is_caching(type(store)) else store.put_many


@lru_cache(maxsize=64)
def _is_caching(kind: type) -> bool:
    """Whether stores of this kind are `Caching`. (Asking a protocol takes 7 microseconds, each time.)"""
    return issubclass(kind, Caching)


async def keep_copy(store: Blockstore, block: Block) -> None:
    """Keep a copy of a block that others have, unless all that the store may hold has to stay."""
    with _unless_bound():
        if _is_caching(type(store)):
            await cast("Caching", store).cache((block,))
        else:
            await store.put(block)


async def keep_copies(store: Blockstore, blocks: Iterable[Block]) -> None:
    """Keep copies of *blocks*, as `keep_copy` does: of all of them, or maybe of none."""
    with _unless_bound():
        await caches_with(store)(blocks)


@contextmanager
def _unless_bound() -> Generator[None]:
    """Go on where a store holds as much as it may; a full disk is an error all the same."""
    try:
        yield
    except StoreFull as error:
        if error.max_bytes is None:
            raise


@attrs.frozen
class StoreStatistics:
    """How much a store holds, at the moment of asking."""

    blocks: int
    """How many blocks."""
    bytes: int
    """Their bytes, without what it takes to keep them."""
    file_bytes: int = 0
    """Bytes on the disk, with everything; 0 for a store that has no file."""


def need_cid(cid: object) -> CID:
    """Return *cid*; :exc:`TypeError` that says what to write if it is something else."""
    if not isinstance(cid, CID):
        raise TypeError(f"no CID but {type(cid).__name__}: write CID.parse(text), or CID.of(data) to name bytes")
    return cid


def inline_block(cid: CID) -> Block | None:
    """Return the block that *cid* itself holds (hash function *identity*), or ``None`` if it holds none."""
    need_cid(cid)
    return Block.vouched(cid, cid.digest) if cid.is_identity else None


def not_found(cid: CID, where: str) -> BlockNotFound:
    """Return the error for a block that is not in the store described by *where*."""
    return BlockNotFound(f"the block {cid} is not in {where}")


def batches(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Cut *blocks* into lists of bounded length and size, so that however many there are, few are in memory."""
    batch: list[Block] = []
    size = 0
    for block in blocks:
        batch.append(block)
        size += len(block.data)
        if size >= BATCH_BYTES or len(batch) >= BATCH_BLOCKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def turn(what: str) -> None:
    """Let others have their turn, as async functions must; :exc:`NotInTrio` names *what* was called outside trio."""
    require_trio(what)
    await trio.lowlevel.checkpoint()

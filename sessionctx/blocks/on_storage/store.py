"""Blocks in a storage: a bucket, a folder, a share, which many nodes use at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Final

import trio

from sessionctx.blocks.base import inline_block, not_found, turn
from sessionctx.blocks.garbage import GRACE
from sessionctx.blocks.on_storage import forms, names
from sessionctx.blocks.on_storage.collect import Cleared, collect
from sessionctx.blocks.on_storage.index import Index
from sessionctx.blocks.on_storage.objects import Objects
from sessionctx.blocks.on_storage.reads import Reads
from sessionctx.blocks.on_storage.rows import Place, key_of
from sessionctx.blocks.on_storage.writer import Writer
from sessionctx.blocks.readers import Readers
from sessionctx.content import CID, Block
from sessionctx.errors import CannotDo, HashMismatch, StoreClosed, StoreCorrupt
from sessionctx.session import require_trio
from sessionctx.storage import Backend, checked

PACK: Final = 16 * 1024 * 1024
LARGE: Final = 1024 * 1024
INDEX: Final = 128 * 1024 * 1024
REFRESH: Final = 1.0
_APART: Final = 512 * 1024
"""Bytes from which a block is hashed in another thread, as `DiskBlockstore` does."""


class StorageBlockstore:
    """Keeps blocks in a storage, which any number of nodes use at once, each with a store of its own. A `Blockstore`::

        async with open_storage("s3://bucket/blocks") as bucket, StorageBlockstore.open(bucket) as store:
            await store.put(block)
            await store.sync()

    **What is kept.** Blocks that were put are found here at once, and gathered: `sync` is when they are kept, safe from
    any loss on our side, and there for other nodes. A batch that is full is written before. Leaving the block that
    opened the store syncs, unless it is left by an exception. Small blocks are gathered in packs, which are CAR files;
    larger ones are an object each.

    **Other nodes** find what was synced when they look: at the latest *refresh* seconds after, as soon as they miss it.

    **Reading** a block is one ranged request, and one more for its place if that is not known, which is so in stores of
    many millions of blocks. What is read at the same time from one pack, and near together, is one request. Every block
    that comes out is hashed: :exc:`~sessionctx.errors.StoreCorrupt` names an object that is damaged. Put a cache in
    front with `TieredBlockstore`.

    **Deleting** hides a block, for all nodes once it is synced. `gc` gives the room back, and sums up the index.

    Errors of the storage are :exc:`~sessionctx.errors.StoreError`, with the storage's own as its cause; a full one is
    :exc:`~sessionctx.errors.StoreFull`. What was not written stays to be written by the next `sync`.
    """

    def __init__(self, objects: Objects, index: Index, writer: Writer, *, refresh: float, pack_bytes: int) -> None:
        """Not for callers: use `open`."""
        self._objects = objects
        self._index = index
        self._writer = writer
        self._reads = Reads(objects)
        self._hashers = Readers()
        self._refresh = refresh
        self._pack_bytes = pack_bytes
        self._closed = False

    @staticmethod
    @asynccontextmanager
    async def open(
        backend: Backend,
        prefix: str = "",
        *,
        pack_bytes: int = PACK,
        large: int = LARGE,
        refresh: float = REFRESH,
        index_memory: int = INDEX,
    ) -> AsyncGenerator[StorageBlockstore]:
        """Open the store that is below *prefix* in a storage, for the length of a block. An empty place is a new store.

        Args:
            backend: the storage, which stays open meanwhile. It has to promise `Can.if_absent`.
            prefix: a path in it.
            pack_bytes: bytes of blocks that are gathered before they are written; three times as many are in memory.
            large: bytes above which a block is an object of its own.
            refresh: seconds; a node that misses a block looks for what others have written, at most so often.
            index_memory: bytes of memory for where blocks are that were put since the last `gc`, and as many again for
                those before: 48 for each block, where they suffice.

        Raises (on entering):
            NotInTrio: outside a trio run.
            CannotDo: the storage writes, but not only where nothing is.
            StoreError: the storage does not serve; StoreCorrupt: what is there is damaged.
        """
        require_trio("StorageBlockstore.open")
        if backend.can.write and not backend.can.if_absent:
            raise CannotDo(
                f"{backend.public} cannot write only where nothing is; so nodes could write over each other's changes"
            )
        objects = Objects(backend, checked(prefix))
        index = Index(objects, memory=index_memory)
        writer = Writer(objects, index, pack_bytes=pack_bytes, pack_blocks=forms.MAX_ROWS, large=large)
        store = StorageBlockstore(objects, index, writer, refresh=refresh, pack_bytes=pack_bytes)
        await index.refresh(partly=True)  # where that is too little, all but gc() will say so
        try:
            yield store
            await store.sync()
        finally:
            store._closed = True

    async def get(self, cid: CID) -> Block:
        """Return the block, verified; :exc:`~sessionctx.errors.BlockNotFound`.

        :exc:`~sessionctx.errors.StoreCorrupt` if the storage has damaged or lost it, or somebody has changed it.
        """
        await self._turn("get")
        if (inline := inline_block(cid)) is not None:
            return inline
        key = key_of(cid.multihash)
        known, waiting = self._writer.find(key)
        if waiting is not None:
            return Block.vouched(cid, waiting.data)
        place = None if known else (await self._places((key,))).get(key)
        if place is None:
            raise not_found(cid, self._objects.public)
        data = await self._read(cid, place)
        if data is None:  # its pack was cleared away, if it was moved
            await self._index.refresh(anew=True)
            moved = (await self._index.find((key,))).get(key)
            if moved is None:
                raise not_found(cid, self._objects.public)
            place, data = moved, await self._read(cid, moved)
        return await self._verified(cid, place, data)

    async def has(self, cid: CID) -> bool:
        """Return whether the block is kept."""
        return cid in await self.has_many((cid,))

    async def has_many(self, cids: Collection[CID]) -> set[CID]:
        """Return those of *cids* that are kept. It reads but the index, each page once, and asks for no block."""
        await self._turn("has_many")
        found = {cid for cid in cids if inline_block(cid) is not None}
        keys: dict[bytes, list[CID]] = {}
        for cid in cids:
            known, waiting = self._writer.find(key := key_of(cid.multihash))
            if waiting is not None:
                found.add(cid)
            elif not known and cid not in found:
                keys.setdefault(key, []).append(cid)
        return found.union(*(keys[key] for key in await self._places(keys))) if keys else found

    async def put(self, block: Block) -> None:
        """Take the block; it is kept when `sync` returns. :exc:`~sessionctx.errors.StoreFull`."""
        await self.put_many((block,))

    async def put_many(self, blocks: Iterable[Block]) -> None:
        """Take all of them, writing batch by batch, so there may be very many; they are kept when `sync` returns.

        :exc:`~sessionctx.errors.StoreFull`, and other errors of writing what was put before: it stays to be written.
        """
        await self._turn("put_many")
        for block in blocks:
            if not block.cid.is_identity:
                await self._writer.put(block)

    async def sync(self) -> None:
        """Return when all that was put or deleted before is written, and there for all nodes."""
        await self._turn("sync")
        await self._writer.sync()

    async def delete(self, cid: CID) -> None:
        """Hide the block; others see that after `sync`."""
        await self._turn("delete")
        if not cid.is_identity:
            await self._writer.delete(cid)

    async def gc(self, *, grace: float = GRACE) -> Cleared:
        """Give back the room of what was deleted and of what was never finished, and sum up the index.

        Call it from **one node** at a time, now and then: nodes begin more quickly, and take less memory, the less was
        written since. Others read and write meanwhile. It keeps what was not deleted: it knows nothing of pins. It
        reads what is left of packs that are mostly holes, or small, and writes it again; the whole index, too, which is
        48 bytes for each block. It may be cancelled at any time.

        Args:
            grace: seconds; what was written within them stays, by the clock of the storage. Below 20 minutes only where
                nobody else writes.

        Raises:
            StoreCorrupt: the index is damaged. Nothing is deleted.
        """
        await self._turn("gc")
        await self._writer.sync()
        return await collect(self._objects, self._index, self._writer, grace=grace, pack_bytes=self._pack_bytes)

    async def _turn(self, what: str) -> None:
        await turn(f"StorageBlockstore.{what}")
        if self._closed:
            raise StoreClosed(f"{self._objects.public} was closed; open it again with StorageBlockstore.open")

    async def _places(self, keys: Collection[bytes]) -> dict[bytes, Place]:
        """Return where blocks are; where some are nowhere, look what others have written, if that was not just done."""
        found = await self._index.find(keys)
        if len(found) < len(keys) and trio.current_time() - self._index.looked >= self._refresh:
            await self._index.refresh()
            found = await self._index.find(keys)
        return found

    async def _read(self, cid: CID, place: Place) -> bytes | None:
        return await self._reads.read(names.holder(cid.multihash, place), place.offset, place.length)

    async def _verified(self, cid: CID, place: Place, data: bytes | None) -> Block:
        what = "is missing"
        if data is not None:
            try:
                return await self._hashers.run(Block, cid, data) if len(data) >= _APART else Block(cid, data)
            except HashMismatch:
                what = f"is damaged in its {place.length} bytes from byte {place.offset} on"
        raise StoreCorrupt(
            f"{self._objects.public}/{names.holder(cid.multihash, place)} {what}, which are the block {cid}:"
            " delete that block, sync, and put it again"
        )

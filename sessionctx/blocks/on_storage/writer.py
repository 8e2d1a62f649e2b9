"""The writer: gathers what is put and deleted, and writes it in batches: blocks first, then the commit that shows them.

Batches are written one by one, in the order in which they were filled, by whoever puts what does not fit any more, or
syncs. If that one is cancelled or fails, the batch stays, and the next goes on with it. Nothing is shown by halves:
what a commit names is there before it. What is there and named by no commit is garbage, see `collect`.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from typing import Final

import trio

from sessionctx.blocks.on_storage import forms, names
from sessionctx.blocks.on_storage.batch import Batch
from sessionctx.blocks.on_storage.index import Index
from sessionctx.blocks.on_storage.objects import Objects
from sessionctx.blocks.on_storage.packs import pack
from sessionctx.blocks.on_storage.rows import Place, key_of, row_of
from sessionctx.blocks.on_storage.together import each
from sessionctx.content import CID, Block

_WAITING: Final = 2
"""Batches that may wait to be written before nothing more is taken."""
USE_WITHIN: Final = 600.0
"""Seconds in which what was uploaded is to be committed; else it is uploaded again: it might be taken for garbage."""


class Writer:
    """What is not written yet, and the writing of it."""

    def __init__(self, objects: Objects, index: Index, *, pack_bytes: int, pack_blocks: int, large: int) -> None:
        self._objects = objects
        self._index = index
        self._pack_bytes = pack_bytes
        self._pack_blocks = min(pack_blocks, forms.MAX_ROWS)
        self._large = large
        self._open = Batch()
        self._full: deque[Batch] = deque()
        self._writing = trio.Lock()

    def find(self, key: bytes) -> tuple[bool, Block | None]:
        """Return whether anything is known of *key* here, and the block: None where it was deleted."""
        for batch in (self._open, *reversed(self._full)):
            if key in batch.done:
                return True, batch.done[key]
        return False, None

    async def put(self, block: Block) -> None:
        """Take a block, as soon as there is room for it."""
        await self._room()
        self._open.put(block)

    async def delete(self, cid: CID) -> None:
        """Take the deletion of a block."""
        await self._room()
        self._open.delete(cid)

    async def sync(self) -> None:
        """Write everything that was taken before."""
        self._close_batch()
        await self._write_full()

    async def write(self, batch: Batch) -> None:
        """Write a batch that was made elsewhere, between others."""
        async with self._writing:
            await self._write(batch)

    async def _room(self) -> None:
        await trio.lowlevel.checkpoint()
        while len(self._full) >= _WAITING or self._is_full(self._open):
            if len(self._full) < _WAITING:
                self._close_batch()
            await self._write_full()

    def _is_full(self, batch: Batch) -> bool:
        return batch.size >= self._pack_bytes or len(batch.done) >= self._pack_blocks

    def _close_batch(self) -> None:
        if self._open.done:
            self._full.append(self._open)
            self._open = Batch()

    async def _write_full(self) -> None:
        async with self._writing:
            while self._full:
                await self._write(self._full[0])
                self._full.popleft()

    async def _write(self, batch: Batch) -> None:
        """Write what of a batch makes a difference, and commit it.

        What to write is decided by what is kept after the last commit, and holds if ours is the next one.
        """
        while True:
            await self._index.refresh()
            kept = await self._index.find(batch.done)
            lacking, gone = batch.changes(kept)
            if not lacking and not gone:
                return
            if time.time() - batch.uploaded > USE_WITHIN:
                batch.places.clear()
            await self._upload(batch, [block for key, block in lacking.items() if key not in batch.places])
            rows = [row_of(key, batch.places[key]) for key in lacking] + [row_of(key, None) for key in gone]
            if await self._index.commit(b"".join(sorted(rows))):
                return

    async def _upload(self, batch: Batch, blocks: list[Block]) -> None:
        """Write the large ones of *blocks* each by itself, the others as a pack."""
        if not batch.places:
            batch.uploaded = time.time()
        small = [block for block in blocks if len(block.data) <= self._large]
        if small:
            packed = await trio.to_thread.run_sync(pack, small, number := new_number())
            await self._objects.write(names.pack(number), packed.data)
            batch.places |= packed.places

        async def upload(block: Block) -> None:
            name, number = block.cid.multihash, new_number()
            await self._objects.write(names.block(name, number), block.data)
            batch.places[key_of(name)] = Place(number, 0, len(block.data))

        await each(upload, [block for block in blocks if len(block.data) > self._large])


def new_number() -> int:
    """Draw the number of an object, from so many that no node draws one that another has, in all likelihood."""
    return secrets.randbits(64) or 1

"""The contract notices stores that do not keep it."""

from __future__ import annotations

import inspect

import pytest
import trio

from sessionctx.blocks import MemoryBlockstore
from sessionctx.blocks.base import turn
from sessionctx.content import CID, Block
from sessionctx.errors import BlockNotFound
from sessionctx.testing.blockstore import BlockstoreContract


class ByCID(MemoryBlockstore):
    """Keyed by CID: it does not find the same bytes under another name."""

    async def has(self, cid):
        return await super().has(CID.of(bytes(cid)))

    async def get(self, cid):
        return Block.vouched(cid, (await super().get(CID.of(bytes(cid)))).data)

    async def put(self, block):
        await super().put(Block.vouched(CID.of(bytes(block.cid)), block.data))

    async def put_many(self, blocks):
        await turn("put_many")
        for block in blocks:
            await self.put(block)

    async def delete(self, cid):
        await super().delete(CID.of(bytes(cid)))


class AsItWasPut(MemoryBlockstore):
    """Gives blocks back under the name they were put under."""

    async def get(self, cid):
        found = await super().get(cid)
        return self.first.get(cid.multihash, found)

    async def put(self, block):
        self.first = {**getattr(self, "first", {}), block.cid.multihash: block}
        await super().put(block)


class NoCheckpoint(MemoryBlockstore):
    """Does not let others have their turn."""

    async def has(self, cid):
        return cid.is_identity or cid.multihash in self._blocks


class KeepsInline(MemoryBlockstore):
    """Does not know that some names hold their data."""

    async def get(self, cid):
        if cid.is_identity and cid.multihash not in self._blocks:
            raise BlockNotFound(f"{cid}")
        return await super().get(cid)


class Lazy(MemoryBlockstore):
    """Says that all is kept when half of it is."""

    async def put_many(self, blocks):
        blocks = list(blocks)
        await super().put_many(blocks[: len(blocks) // 2 + 1])


class Grudging(MemoryBlockstore):
    """Finds fault with deleting nothing."""

    async def delete(self, cid):
        await self.get(cid)
        await super().delete(cid)


class NoneForNothing(MemoryBlockstore):
    """Returns None for what it does not have."""

    async def get(self, cid):
        return await super().get(cid) if await self.has(cid) else None


class Immortal(MemoryBlockstore):
    """Does not delete."""

    async def delete(self, cid):
        await turn("delete")


class Shortened(MemoryBlockstore):
    """Cuts what is large."""

    async def put(self, block):
        await super().put(Block.vouched(block.cid, block.data[:262144]))


class Shared(MemoryBlockstore):
    """Lets tasks tread on each other."""

    async def put(self, block):
        self.current = block
        await turn("put")
        await super().put(self.current)


TESTS = dict(inspect.getmembers(BlockstoreContract(), inspect.iscoroutinefunction))


def passes(kind, test):
    sizes = [(0,), (2 * 1024 * 1024,)] if "size" in inspect.signature(TESTS[test]).parameters else [()]
    try:
        for more in sizes:
            trio.run(TESTS[test], kind(), *more)
    except (Exception, BaseExceptionGroup, pytest.fail.Exception):
        return False
    return True


@pytest.mark.parametrize("test", TESTS)
def test_a_store_that_keeps_it_passes(test):
    assert passes(MemoryBlockstore, test)


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (ByCID, "test_bytes_are_found_under_each_of_their_names_and_come_back_under_it"),
        (ByCID, "test_it_is_a_dict_of_bytes_by_multihash"),
        (AsItWasPut, "test_bytes_are_found_under_each_of_their_names_and_come_back_under_it"),
        (NoCheckpoint, "test_each_method_is_a_checkpoint"),
        (KeepsInline, "test_data_inside_a_name_is_always_there"),
        (Lazy, "test_all_of_put_many_are_there_when_it_returns"),
        (Grudging, "test_deleting_what_is_not_there_is_fine"),
        (NoneForNothing, "test_what_was_not_put_is_not_found_by_name"),
        (Immortal, "test_a_deleted_block_can_be_put_again"),
        (Shortened, "test_blocks_of_each_size_come_back_whole"),
        (Shared, "test_tasks_at_the_same_time_do_not_disturb_each_other"),
    ],
)
def test_a_store_that_breaks_it_is_caught(kind, test):
    assert not passes(kind, test)

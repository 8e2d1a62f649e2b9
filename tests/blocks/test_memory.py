"""The store in memory, as a cache."""

from __future__ import annotations

import asyncio

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.blocks import MemoryBlockstore, StoreStatistics
from sessionctx.content import IDENTITY, MAX_BLOCK, Block
from sessionctx.errors import NotInTrio

MIB = 1024 * 1024
PIECES = [Block.of(bytes([n]) * (n * MIB // 4)) for n in range(9)]  # 0 to 2 MiB


async def test_it_counts_blocks_and_bytes():
    store = MemoryBlockstore()
    await store.put_many(PIECES[:4])
    await store.put(PIECES[2])
    await store.put(Block.of(b"inline", hash=IDENTITY))
    assert store.statistics() == StoreStatistics(blocks=4, bytes=6 * MIB // 4)
    for block in PIECES:
        await store.delete(block.cid)
    assert store.statistics() == StoreStatistics(blocks=0, bytes=0)


async def test_what_was_used_last_is_kept():
    store = MemoryBlockstore(max_bytes=2 * MIB)
    await store.put_many([PIECES[2], PIECES[3]])
    await store.get(PIECES[2].cid)
    await store.has(PIECES[3].cid)  # asking is not using
    await store.put(PIECES[4])
    assert [await store.has(PIECES[n].cid) for n in (2, 3, 4)] == [True, False, True]


@given(puts=st.lists(st.sampled_from(PIECES)))
def test_a_bounded_store_holds_the_latest_that_fit(puts):
    """However blocks are put, the store has the longest run of latest ones that fits, and no more."""

    async def main():
        store = MemoryBlockstore(max_bytes=MAX_BLOCK)
        await store.put_many(puts)
        room, kept = MAX_BLOCK, []
        for block in dict.fromkeys(reversed(puts)):
            room -= len(block)
            if room < 0:
                break
            kept.append(block)
        assert [block for block in PIECES if await store.has(block.cid)] == sorted(kept, key=PIECES.index)
        assert store.statistics() == StoreStatistics(blocks=len(kept), bytes=sum(map(len, kept)))

    trio.run(main)


def test_a_bound_below_the_largest_block_is_refused():
    with pytest.raises(ValueError, match=str(MAX_BLOCK)):
        MemoryBlockstore(max_bytes=MAX_BLOCK - 1)


def test_under_asyncio_it_says_so():
    with pytest.raises(NotInTrio, match=r"MemoryBlockstore.put.*trio.run"):
        asyncio.run(MemoryBlockstore().put(PIECES[0]))

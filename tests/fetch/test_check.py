"""Blocks are checked alone or together, here or in threads: each task learns of its own, whatever becomes of the others."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionctx.content import Block
from sessionctx.errors import HashMismatch
from sessionctx.fetch.check import INLINE, check

LARGE = [Block.of(bytes([n]) * INLINE) for n in range(10)]


async def checked(cid, data, verdicts):
    try:
        await check(cid, data)
    except HashMismatch:
        verdicts[cid] = False
    else:
        verdicts[cid] = True


@settings(max_examples=30)
@given(
    good=st.lists(st.booleans(), min_size=1, max_size=len(LARGE)),
    given_up=st.dictionaries(st.integers(0, 9), st.sampled_from([0.0, 0.0003, 0.001]), max_size=6),
)
def test_whoever_gives_up_the_others_learn_the_truth(good, given_up):
    verdicts = {}

    async def main():
        async with trio.open_nursery() as nursery:
            for n, (block, fine) in enumerate(zip(LARGE, good, strict=False)):
                nursery.start_soon(one, n, block, block.data if fine else LARGE[n - 1].data + b"!")

    async def one(n, block, data):
        with trio.move_on_after(given_up.get(n, 60)):
            await checked(block.cid, data, verdicts)

    trio.run(main)
    truth = {block.cid: fine for block, fine in zip(LARGE, good, strict=False)}
    assert verdicts.items() <= truth.items()
    assert verdicts.keys() >= {block.cid for n, block in enumerate(LARGE[: len(good)]) if n not in given_up}


@pytest.mark.parametrize("size", [10, INLINE])
async def test_bytes_that_do_not_match_are_told_as_verify_does(size):
    block = Block.of(bytes(size))
    await check(block.cid, block.data)
    with pytest.raises(HashMismatch, match=f"{size} bytes are not what {block.cid} names"):
        await check(block.cid, b"!" * size)

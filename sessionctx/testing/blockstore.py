"""The contract of block stores: the tests that we run against our own, for those that others write.

::

    from sessionctx.testing.blockstore import BlockstoreContract

    class TestMyStore(BlockstoreContract):
        @pytest.fixture
        async def store(self, tmp_path):
            async with MyStore(tmp_path) as store:
                yield store

Passing it is what "is a `sessionctx.blocks.Blockstore`" means. It needs pytest, pytest-trio and hypothesis.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import assert_checkpoints

from sessionctx.blocks import Blockstore
from sessionctx.content import CID, DAG_CBOR, DAG_PB, IDENTITY, MAX_BLOCK, RAW, SHA2_512, Block
from sessionctx.errors import BlockNotFound

__all__ = ["BlockstoreContract"]

_FEW = [Block.of(bytes([n]) * n) for n in range(5)]
_STEPS = st.tuples(st.sampled_from(["get", "has", "put", "put_many", "delete"]), st.sampled_from(_FEW), st.booleans())


def _names(data: bytes) -> list[CID]:
    """Return names of one multihash."""
    raw = CID.of(data, codec=RAW)
    return [
        raw,
        CID.of(data, codec=DAG_PB, version=0),
        *(CID.new(1, codec, raw.multihash) for codec in (DAG_PB, DAG_CBOR)),
    ]


@pytest.mark.trio
class BlockstoreContract:
    """Subclass this, and override the fixture `store`."""

    @pytest.fixture
    def store(self) -> Blockstore:
        """Give an empty store. To be overridden, by an async fixture if need be."""
        raise NotImplementedError("a store's tests override the fixture 'store'")

    async def test_what_was_put_can_be_got(self, store: Blockstore) -> None:
        block = Block.of(b"some bytes")
        await store.put(block)
        assert await store.has(block.cid)
        assert await store.get(block.cid) == block

    async def test_what_was_not_put_is_not_found_by_name(self, store: Blockstore) -> None:
        await store.put(Block.of(b"some bytes"))
        other = CID.of(b"other bytes")
        assert not await store.has(other)
        with pytest.raises(BlockNotFound, match=str(other)):
            await store.get(other)

    async def test_bytes_are_found_under_each_of_their_names_and_come_back_under_it(self, store: Blockstore) -> None:
        data = b"one digest, many names"
        for put in _names(data):
            await store.put(Block(put, data))
            for asked in _names(data):
                assert await store.has(asked)
                assert await store.get(asked) == Block(asked, data)
            await store.delete(_names(data)[-1])
            for asked in _names(data):
                assert not await store.has(asked)

    async def test_names_by_another_hash_are_other_names(self, store: Blockstore) -> None:
        data = b"one text, two digests"
        await store.put(Block.of(data))
        assert not await store.has(CID.of(data, hash=SHA2_512))

    @pytest.mark.parametrize("size", [0, 1, 4096, 262144, MAX_BLOCK], ids=str)
    async def test_blocks_of_each_size_come_back_whole(self, store: Blockstore, size: int) -> None:
        block = Block.of((b"0123456789abcdef" * (size // 16 + 1))[:size])
        await store.put(block)
        assert (await store.get(block.cid)).data == block.data

    async def test_data_inside_a_name_is_always_there(self, store: Blockstore) -> None:
        for data in (b"", b"held by the name"):
            block = Block.of(data, hash=IDENTITY)
            assert await store.get(block.cid) == block
            await store.put(block)
            await store.put_many([block])
            await store.delete(block.cid)
            assert await store.has(block.cid)
            assert await store.get(block.cid) == block

    async def test_putting_again_changes_nothing(self, store: Blockstore) -> None:
        block = Block.of(b"once is enough")
        await store.put(block)
        await store.put(block)
        await store.put_many([block, block])
        assert await store.get(block.cid) == block
        await store.delete(block.cid)
        assert not await store.has(block.cid)

    async def test_all_of_put_many_are_there_when_it_returns(self, store: Blockstore) -> None:
        blocks = [Block.of(n.to_bytes(2) * 100) for n in range(700)]
        await store.put_many(iter(blocks))
        for block in blocks:
            assert await store.get(block.cid) == block

    async def test_put_many_of_nothing_is_nothing(self, store: Blockstore) -> None:
        with assert_checkpoints():
            await store.put_many([])

    async def test_an_error_of_the_iterator_is_the_callers(self, store: Blockstore) -> None:
        def blocks() -> Iterator[Block]:
            yield Block.of(b"before")
            raise KeyError("of the caller")

        with pytest.raises(KeyError, match="of the caller"):
            await store.put_many(blocks())
        await store.put(Block.of(b"after"))
        assert await store.has(CID.of(b"after"))

    async def test_syncing_keeps_everything(self, store: Blockstore) -> None:
        block = Block.of(b"safe")
        await store.sync()
        await store.put(block)
        await store.sync()
        assert await store.get(block.cid) == block

    async def test_deleting_what_is_not_there_is_fine(self, store: Blockstore) -> None:
        await store.delete(CID.of(b"never put"))

    async def test_a_deleted_block_can_be_put_again(self, store: Blockstore) -> None:
        block = Block.of(b"there and gone and there")
        for _ in range(3):
            await store.put(block)
            await store.delete(block.cid)
            with pytest.raises(BlockNotFound):
                await store.get(block.cid)

    async def test_each_method_is_a_checkpoint(self, store: Blockstore) -> None:
        block = Block.of(b"some bytes")
        inline = Block.of(b"inline", hash=IDENTITY)
        for each in (block, inline):
            with assert_checkpoints():
                await store.put(each)
            with assert_checkpoints():
                await store.put_many([each])
            with assert_checkpoints():
                await store.sync()
            with assert_checkpoints():
                await store.has(each.cid)
            with assert_checkpoints():
                await store.get(each.cid)
            with assert_checkpoints():
                await store.delete(each.cid)
        with assert_checkpoints(), pytest.raises(BlockNotFound):
            await store.get(block.cid)

    async def test_tasks_at_the_same_time_do_not_disturb_each_other(self, store: Blockstore) -> None:
        async def use(n: int) -> None:
            blocks = [Block.of(f"{n} {i}".encode() * 50) for i in range(10)]
            await store.put(blocks[0])
            await store.put_many(blocks[1:])
            for block in blocks:
                assert await store.get(block.cid) == block
            await store.delete(blocks[n % 10].cid)
            assert [await store.has(block.cid) for block in blocks] == [i != n % 10 for i in range(10)]

        async with trio.open_nursery() as nursery:
            for n in range(30):
                nursery.start_soon(use, n)

    async def test_a_cancelled_put_takes_nothing_from_others(self, store: Blockstore) -> None:
        """However putters give up, what the others put is kept, and the store goes on."""
        blocks = [Block.of(n.to_bytes(2) * 5000) for n in range(60)]
        kept: list[Block] = []

        async def put(block: Block, patience: float) -> None:
            with trio.move_on_after(patience):
                await store.put(block)
                kept.append(block)

        async with trio.open_nursery() as nursery:
            for n, block in enumerate(blocks):
                nursery.start_soon(put, block, [0.0, 0.0001, 0.001, 60.0][n % 4])
        assert len(kept) >= len(blocks) // 4
        for block in kept:
            assert await store.get(block.cid) == block
        await store.put_many(blocks)
        assert all([await store.has(block.cid) for block in blocks])

    async def test_it_is_a_dict_of_bytes_by_multihash(self, store: Blockstore) -> None:
        """Whatever is done to it, a store answers as a dict from multihash to bytes would."""

        @settings(deadline=None)
        @given(steps=st.lists(_STEPS, max_size=25))
        def agrees(steps: list[tuple[str, Block, bool]]) -> None:
            trio.from_thread.run(_play, store, steps)

        await trio.to_thread.run_sync(agrees)  # hypothesis is not async; from there it drives this run


async def _play(store: Blockstore, steps: list[tuple[str, Block, bool]]) -> None:
    model: dict[bytes, bytes] = {}
    for block in _FEW:
        await store.delete(block.cid)
    for what, block, other_name in steps:
        cid = CID.new(1, DAG_CBOR, block.cid.multihash) if other_name else block.cid
        await _step(store, model, what, Block(cid, block.data))
    for block in _FEW:
        assert await store.has(block.cid) == (block.cid.multihash in model)


async def _step(store: Blockstore, model: dict[bytes, bytes], what: str, block: Block) -> None:
    key = block.cid.multihash
    if what == "has":
        assert await store.has(block.cid) == (key in model)
    elif what == "put":
        await store.put(block)
        model[key] = block.data
    elif what == "put_many":
        await store.put_many([block, *_FEW[:2]])
        model.update({key: block.data} | {few.cid.multihash: few.data for few in _FEW[:2]})
    elif what == "delete":
        await store.delete(block.cid)
        model.pop(key, None)
    elif key in model:
        assert await store.get(block.cid) == Block(block.cid, model[key])
    else:
        with pytest.raises(BlockNotFound):
            await store.get(block.cid)

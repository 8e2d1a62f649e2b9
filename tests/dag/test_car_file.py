"""CAR files: whole, or not at all."""

from __future__ import annotations

import pytest
import trio

from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import Block, dagcbor
from sessionctx.dag import Dag
from sessionctx.errors import BlockNotFound, TargetExists, TargetUnwritable

LEAVES = [Block.of(bytes([n]) * 300_000) for n in range(5)]
ROOT = Block.of(dagcbor.encode([leaf.cid for leaf in LEAVES]), codec=0x71)


@pytest.fixture
async def full():
    store = MemoryBlockstore()
    await store.put_many([*LEAVES, ROOT])
    return store


async def test_what_is_there_already_stays(full, tmp_path):
    (tmp_path / "a.car").write_bytes(b"mine")
    with pytest.raises(TargetExists):
        await Dag(full).export_car(ROOT.cid, tmp_path / "a.car")
    assert (tmp_path / "a.car").read_bytes() == b"mine"
    with pytest.raises(TargetUnwritable, match="No such file"):
        await Dag(full).export_car(ROOT.cid, tmp_path / "no" / "a.car")


async def test_somebody_else_takes_the_name_meanwhile(full, tmp_path):
    class Slow(MemoryBlockstore):
        async def get(self, cid):
            (tmp_path / "a.car").write_bytes(b"theirs")
            return await full.get(cid)

    with pytest.raises(TargetExists):
        await Dag(Slow()).export_car(ROOT.cid, tmp_path / "a.car")
    assert [path.name for path in tmp_path.iterdir()] == ["a.car"]
    assert (tmp_path / "a.car").read_bytes() == b"theirs"


@pytest.mark.parametrize("version", [1, 2])
async def test_nothing_is_left_of_half_a_car(full, tmp_path, version):
    await full.delete(LEAVES[3].cid)
    with pytest.raises(BlockNotFound):
        await Dag(full).export_car(ROOT.cid, tmp_path / "a.car", version=version)
    assert list(tmp_path.iterdir()) == []


async def test_nothing_is_left_of_one_that_is_cancelled(full, tmp_path):
    class Hanging(MemoryBlockstore):
        async def get(self, cid):
            if cid == LEAVES[3].cid:
                await trio.sleep_forever()
            return await full.get(cid)

    with trio.move_on_after(0.2) as scope:
        await Dag(Hanging()).export_car(ROOT.cid, tmp_path / "a.car")
    assert scope.cancelled_caught
    assert list(tmp_path.iterdir()) == []


async def test_a_part_of_it(full, tmp_path):
    summary = await Dag(full).export_car(f"{ROOT.cid}/2", tmp_path / "a.car", scope="block")
    assert (summary.blocks, summary.roots) == (2, (ROOT.cid,))

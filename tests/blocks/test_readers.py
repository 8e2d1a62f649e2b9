"""Large blocks are read by other threads: several at a time, verified as all are, and to their end before the store shuts."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import trio

from sessionctx.blocks import DiskBlockstore
from sessionctx.blocks.heap import Heap, data_file
from sessionctx.content import Block
from sessionctx.errors import StoreCorrupt

BLOCKS = [Block.of(bytes([number]) * (1024 * 1024)) for number in range(6)]


@pytest.fixture
async def path(tmp_path):
    async with DiskBlockstore.open(tmp_path / "blocks") as store:
        await store.put_many(BLOCKS)
    return tmp_path / "blocks"


@pytest.fixture
def slowly(monkeypatch):
    """Let reads take a moment, and count how many are going on at once."""
    read, going, most = Heap.read, set(), []

    def slow(heap, at, size):
        going.add(threading.get_ident())
        most.append(len(going))
        time.sleep(0.05)
        going.discard(threading.get_ident())
        return read(heap, at, size)

    monkeypatch.setattr(Heap, "read", slow)
    return most


async def test_several_are_read_at_a_time(path, slowly):
    async with DiskBlockstore.open(path) as store, trio.open_nursery() as nursery:
        got = []

        async def get(cid):
            got.append(await store.get(cid))

        for block in BLOCKS:
            nursery.start_soon(get, block.cid)
    assert sorted(block.cid for block in got) == sorted(block.cid for block in BLOCKS)
    assert all(block in BLOCKS for block in got)
    assert 2 <= max(slowly) <= 4


async def test_closing_waits_for_what_is_being_read(path, slowly):
    got = []
    async with trio.open_nursery() as nursery:
        async with DiskBlockstore.open(path) as store:

            async def get():
                got.append(await store.get(BLOCKS[0].cid))

            nursery.start_soon(get)
            await trio.sleep(0.02)
            assert slowly
    assert got == BLOCKS[:1]


def open_files():
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def test_nothing_is_left_open(path):
    before = open_files()
    for _ in range(3):
        async with DiskBlockstore.open(path) as store, trio.open_nursery() as nursery:
            for block in BLOCKS:
                nursery.start_soon(store.get, block.cid)
    assert open_files() == before


async def test_a_damaged_one_is_told_of(path):
    data = data_file(path)
    whole = bytearray(data.read_bytes())
    whole[len(BLOCKS[0].data) // 2] ^= 1
    data.write_bytes(whole)
    async with DiskBlockstore.open(path) as store:
        with pytest.raises(StoreCorrupt, match="does not match"):
            await store.get(BLOCKS[0].cid)
        assert await store.get(BLOCKS[1].cid) == BLOCKS[1]

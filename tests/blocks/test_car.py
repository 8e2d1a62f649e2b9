"""A CAR file as a store that is only read."""

from __future__ import annotations

import pytest

from sessionctx import Node
from sessionctx.blocks import CarBlockstore, MemoryBlockstore
from sessionctx.content import IDENTITY, Block, CarDecoder, car, carindex, carv2
from sessionctx.errors import (
    BlockNotFound,
    CarError,
    CarTruncated,
    NotInTrio,
    StoreClosed,
    StoreCorrupt,
    StoreError,
)

BLOCKS = [Block.of(bytes([n]) * n) for n in range(1, 200)]
INNER = car.encode_header([BLOCKS[0].cid]) + b"".join(car.encode_section(each.cid, each.data) for each in BLOCKS)


def places():
    at = len(car.encode_header([BLOCKS[0].cid]))
    for block in BLOCKS:
        yield block.cid.multihash, at
        at += len(car.encode_section(block.cid, block.data))


def enveloped(index):
    header = carv2.Header(carv2.BEGINNING, len(INNER), carv2.BEGINNING + len(INNER) if index else 0)
    return carv2.encode_beginning(header) + INNER + index


FORMS = {"version 1": INNER, "version 2": enveloped(b""), "indexed": enveloped(carindex.encode(places()))}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
async def test_blocks_are_read_where_they_are(tmp_path, data):
    path = tmp_path / "some.car"
    path.write_bytes(data)
    async with CarBlockstore.open(path) as store:
        assert store.roots == (BLOCKS[0].cid,)
        for block in BLOCKS:
            assert await store.get(block.cid) == block
            assert await store.has(block.cid)
        other = Block.of(b"other")
        assert not await store.has(other.cid)
        with pytest.raises(BlockNotFound, match=r"some\.car"):
            await store.get(other.cid)
        held = Block.of(b"held", hash=IDENTITY)
        assert await store.get(held.cid) == held
        await store.sync()
        for call in (store.put(other), store.put_many([other]), store.delete(BLOCKS[0].cid)):
            with pytest.raises(StoreError, match="only read"):
                await call
    with pytest.raises(StoreClosed):
        await store.get(BLOCKS[0].cid)
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
async def test_what_is_damaged_is_noticed(tmp_path, data):
    path = tmp_path / "some.car"
    last = data.index(BLOCKS[-1].data)
    path.write_bytes(data[:last] + b"\xff" + data[last + 1 :])
    async with CarBlockstore.open(path) as store:
        assert await store.get(BLOCKS[0].cid) == BLOCKS[0]
        with pytest.raises(StoreCorrupt, match="damaged"):
            await store.get(BLOCKS[-1].cid)


async def test_what_cannot_be_opened(tmp_path):
    path = tmp_path / "some.car"
    with pytest.raises(StoreError, match="cannot be read"):
        async with CarBlockstore.open(path):
            pass
    for data, error in ((b"", CarError), (b"no CAR", CarError), (INNER[:-1], CarTruncated), (b"\xff" * 99, CarError)):
        path.write_bytes(data)
        with pytest.raises(error):
            async with CarBlockstore.open(path):
                pass


async def test_an_index_that_leads_nowhere(tmp_path):
    path = tmp_path / "some.car"
    wrong = [*((name, at + 1) for name, at in list(places())[:5]), (BLOCKS[7].cid.multihash, 10**12)]
    path.write_bytes(enveloped(carindex.encode(wrong)))
    async with CarBlockstore.open(path) as store:
        with pytest.raises(StoreCorrupt, match="damaged"):
            await store.get(BLOCKS[7].cid)
        with pytest.raises(BlockNotFound):
            await store.get(BLOCKS[50].cid)


async def test_the_file_may_be_cut_while_it_is_read(tmp_path):
    path = tmp_path / "some.car"
    path.write_bytes(INNER)
    async with CarBlockstore.open(path) as store:
        path.write_bytes(INNER[:100])
        with pytest.raises(StoreCorrupt):
            await store.get(BLOCKS[-1].cid)


def test_outside_of_trio():
    coroutine = CarBlockstore.open("x").__aenter__()
    with pytest.raises(NotInTrio):
        coroutine.send(None)


@pytest.mark.parametrize(
    "name", ["sample-wrapped-v2.car", "sample-v2-indexless.car", "sample-v1.car", "sample-rw-bs-v2.car"]
)
async def test_the_samples_of_go(fixtures, name):
    path = fixtures("go-car") / "v2" / "testdata" / name
    decoder = CarDecoder()
    found = decoder.feed(path.read_bytes())
    async with CarBlockstore.open(path) as store:
        assert store.roots == decoder.roots
        for cid, data in found:
            assert (await store.get(cid)).data == data


@pytest.mark.parametrize(("version", "index"), [(1, True), (2, True), (2, False)])
async def test_what_a_node_writes_it_reads(tmp_path, version, index):
    node = Node.over(MemoryBlockstore())
    (tmp_path / "in").mkdir()
    for n in range(50):
        (tmp_path / "in" / f"file {n}").write_bytes(bytes([n]) * 1000)
    root = (await node.files.add(tmp_path / "in")).cid
    summary = await node.dag.export_car(root, tmp_path / "some.car", version=version, index=index)
    assert (summary.blocks, summary.roots) == (51, (root,))
    data = (tmp_path / "some.car").read_bytes()
    if version == 2:
        header = carv2.decode_header(data[11:51])
        assert bool(header.index_offset) is index
        assert not index or len(carindex.Index(data[header.index_offset :])) == 51
    async with CarBlockstore.open(tmp_path / "some.car") as store:
        await Node.over(store).files.export(store.roots[0], tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()
    }

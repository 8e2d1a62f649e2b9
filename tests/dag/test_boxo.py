"""Files that boxo (kubo's library) made: ours have the same names, and its other layouts are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sessionctx.content import DAG_PB, RAW, Block, CarDecoder, unixfs
from sessionctx.dag import Dag, Files, Progress
from sessionctx.dag.unixfs import FileBuilder, Profile
from sessionctx.dag.unixfs.build import PLAIN, Attributes
from sessionctx.errors import DagTooDeep, InvalidDag

SAID = json.loads((Path(__file__).parent / "vectors" / "boxo.json").read_text())
ATTRIBUTES = {
    "none": PLAIN,
    "mode": Attributes(0o640),
    "mtime": Attributes(None, unixfs.Mtime(1_700_000_000)),
    "both": Attributes(0o640, unixfs.Mtime(1_700_000_000)),
    "nanos": Attributes(None, unixfs.Mtime(1_700_000_000, 123_456_789)),
    "before": Attributes(None, unixfs.Mtime(-5, 7)),
}


def content(size):
    return bytes(number % 251 for number in range(size))


def label(vector):
    return f"{'raw' if vector['raw_leaves'] else 'pb'}-{vector['size']}-{vector['attributes']}"


@pytest.mark.parametrize("vector", SAID["balanced"], ids=label)
def test_balanced_files_with_attributes_have_the_names_of_boxo(vector):
    raw = vector["raw_leaves"]
    builder = FileBuilder(Profile("boxo", 1 if raw else 0, 10, 3, raw, 256, 1 << 18, "links"), lambda block: None)
    data = content(vector["size"])
    for at in range(0, len(data), 10):
        builder.add(data[at : at + 10])
    assert str(builder.finish(ATTRIBUTES[vector["attributes"]]).cid) == vector["cid"]


@pytest.mark.parametrize("vector", SAID["trickle"], ids=label)
async def test_trickle_files_are_read(vector, store):
    """Three leaves, then trees of growing depth; bytes come in order, and ranges are slices."""
    for raw in vector["blocks"]:
        data = bytes.fromhex(raw)
        await store.put(Block.of(data, codec=DAG_PB, version=0))
        await store.put(Block.of(data, codec=RAW))
    files, whole = Files(store), content(vector["size"])
    attributes = ATTRIBUTES[vector["attributes"]]
    stat = await files.stat(vector["cid"])
    assert stat.size == len(whole)
    assert stat.mode == attributes.mode
    assert stat.mtime == (attributes.mtime.seconds if attributes.mtime else None)
    for offset, length in ((0, None), (3, 20), (95, 11), (len(whole), None)):
        async with files.cat(vector["cid"], offset=offset, length=length) as chunks:
            got = b"".join([chunk async for chunk in chunks])
        assert got == whole[offset:][:length]
    async with files.open(vector["cid"]) as file:
        file.seek(max(len(whole) - 7, 0))
        assert await file.read() == whole[-7:]


async def test_metadata_is_read_as_the_file_it_is_about(store, pb, file, folder, tmp_path):
    """Alone, in a folder, and about metadata; here with the bytes that boxo makes of it."""
    leaf = Block.of(b"hello")
    about = pb([("", leaf)], bytes.fromhex(SAID["metadata"]))
    twice = pb([("", about)], bytes.fromhex(SAID["metadata"]))
    root = folder({"a": about, "b": twice, "c": file([leaf])})
    await store.put_many([leaf, about, twice, root, file([leaf])])
    files = Files(store)
    stat = await files.stat(root.cid, path="a")
    assert stat.kind == "metadata"
    for name in "abc":
        async with files.cat(root.cid, path=name, offset=1) as chunks:
            assert [chunk async for chunk in chunks] == [b"ello"]
        async with files.open(root.cid, path=name) as opened:
            assert await opened.read() == b"hello"
    async with files.ls(root.cid, detail=True) as entries:
        found = [entry async for entry in entries]
    assert [(entry.name, entry.kind, entry.size) for entry in found] == [(name, "file", 5) for name in "abc"]
    assert found[0].cid == about.cid
    async with Dag(store).car(root.cid, path="b", scope="entity") as car:
        decoder = CarDecoder()
        found = decoder.feed(b"".join([chunk async for chunk in car]))
    assert {cid for cid, _ in found} == {root.cid, twice.cid, about.cid, leaf.cid}
    told = []
    await files.export(twice.cid, tmp_path / "twice", progress=told.append)
    assert told[-1] == Progress(1, 5, 5)  # what it is about says how much there is
    exported = await files.export(root.cid, tmp_path / "out")
    assert exported.files == 3
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == dict.fromkeys("abc", b"hello")


async def test_metadata_of_nothing_and_without_end_is_an_error(store, pb):
    nothing = pb((), unixfs.Data(unixfs.Type.METADATA))
    chain = [Block.of(b"x")]
    for _ in range(1025):
        chain.append(pb([("", chain[-1])], unixfs.Data(unixfs.Type.METADATA)))
    await store.put_many([nothing, *chain])
    with pytest.raises(InvalidDag, match="metadata of nothing"):
        await Files(store).stat(nothing.cid)
    with pytest.raises(DagTooDeep):
        async with Files(store).open(chain[-1].cid):
            pass
    with pytest.raises(DagTooDeep):
        async with Files(store).cat(chain[-1].cid) as chunks:
            [chunk async for chunk in chunks]

"""Cutting files where their content says, as kubo does."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.blocks import MemoryBlockstore
from sessionctx.dag import Files, unixfs
from sessionctx.dag.unixfs import make_chunker
from sessionctx.dag.unixfs.chunk import MAX_CHUNK, ContentChunker
from sessionctx.errors import MissingExtra, Unsupported

VECTORS = json.loads((Path(__file__).parent / "vectors" / "chunkers.json").read_text())["vectors"]
MIB = 1 << 20


def content(name, size):
    if name in ("zeros", "ones"):
        return bytes([name == "ones"]) * size
    seed = name.removeprefix("stream:")
    found = (hashlib.sha256(f"{seed}:{number}".encode()).digest() for number in range(-(-size // 32)))
    return b"".join(found)[:size]


def cut(chunker, data, piece):
    chunks = [chunk for at in range(0, len(data), piece) for chunk in chunker.feed(data[at : at + piece])]
    return chunks + list(chunker.finish())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['chunker']}-{v['content']}-{v['size']}")
def test_chunks_are_those_of_kubo(vector):
    data = content(vector["content"], vector["size"])
    chunks = cut(make_chunker(vector["chunker"])(), data, 70_001)
    assert [len(chunk) for chunk in chunks] == vector["sizes"]
    assert b"".join(chunks) == data


def slowly(data, low, high, is_mark):
    """The dullest chunker by content."""
    chunks, start = [], 0
    for end in range(1, len(data) + 1):
        size = end - start
        if size == high or (size >= low and is_mark(data[:end])):
            chunks.append(data[start:end])
            start = end
    return [*chunks, data[start:]] if start < len(data) else chunks


@given(
    data=st.binary(max_size=200),
    pieces=st.lists(st.integers(0, 60), max_size=20),
    low=st.integers(2, 9),
    more=st.integers(0, 9),
)
def test_chunks_do_not_depend_on_how_bytes_arrive(data, pieces, low, more):
    """Cut is at the first mark from *low* on, or at *high*; here a mark is two bytes whose sum has three zero bits."""

    def is_mark(head):
        return (head[-1] + head[-2]) % 8 == 0

    def marks(held, known):
        return [end for end in range(max(known + 1, 2), len(held) + 1) if is_mark(held[:end])]

    chunker, chunks, at = ContentChunker(marks, low, low + more), [], 0
    for piece in (*pieces, len(data)):
        chunks += chunker.feed(data[at : at + piece])
        at += piece
    chunks += chunker.finish()
    assert chunks == slowly(data, low, low + more, is_mark)


@pytest.mark.parametrize("name", ["buzhash", "rabin-65536", "rabin-1000-5000-20000"])
def test_the_pieces_a_file_comes_in_do_not_matter(name):
    data = random.Random(0).randbytes(600_000)
    once = cut(make_chunker(name)(), data, len(data))
    for piece in (31, 4096, 65_537):
        assert cut(make_chunker(name)(), data, piece) == once


@pytest.mark.parametrize(
    "name",
    [
        *("", "size", "size-0", "size-x", "size--1", "size-²", f"size-{MAX_CHUNK + 1}", "buzhash-1", "fastcdc"),
        *("rabin-", "rabin-20", "rabin-1-2", "rabin-15-20-30", "rabin-30-20-40", "rabin-16-64-32"),
        f"rabin-16-20-{MAX_CHUNK + 1}",
    ],
)
def test_what_is_no_chunker_is_refused(name):
    with pytest.raises(Unsupported, match="there is no chunker"):
        make_chunker(name)


def test_without_numpy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sessionctx.dag.unixfs.rolling", None)
    monkeypatch.delattr(unixfs, "rolling", raising=False)
    with pytest.raises(MissingExtra, match=r"sessionctx\[cdc\]"):
        make_chunker("buzhash")
    assert cut(make_chunker("size-2")(), b"abc", 3) == [b"ab", b"c"]


@pytest.mark.parametrize("name", ["buzhash", "rabin-65536"])
async def test_a_byte_inserted_changes_about_one_chunk(name, tmp_path):
    """The chunks before it stay, those after it fall into step again at once."""

    class Counting(MemoryBlockstore):
        leaves = 0
        new = 0

        async def put_many(self, blocks):
            for block in blocks:
                if block.cid.codec == 0x55:
                    self.leaves += 1
                    self.new += not await self.has(block.cid)
            await super().put_many(blocks)

    data = random.Random(1).randbytes(8 * MIB)
    store = Counting()
    files = Files(store)
    path = tmp_path / "file"
    path.write_bytes(data)
    first = await files.add(path, chunker=name)
    assert store.new == store.leaves > 20
    store.new = store.leaves = 0
    path.write_bytes(data[: 3 * MIB] + b"!" + data[3 * MIB :])
    second = await files.add(path, chunker=name)
    assert 1 <= store.new <= 3
    assert first.cid != second.cid
    assert second == await files.add(path.read_bytes(), chunker=name)
    async with files.cat(second.cid) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == path.read_bytes()


async def test_the_size_can_be_chosen(store):
    files = Files(store)
    assert await files.add(bytes(3 * MIB), chunker="size-262144", profile="unixfs-v0-2015") == await files.add(
        bytes(3 * MIB), profile="unixfs-v0-2015"
    )
    assert (await files.stat((await files.add(bytes(100), chunker="size-10")).cid)).blocks == 10
    with pytest.raises(Unsupported):
        await files.add(b"x", chunker="size-none")

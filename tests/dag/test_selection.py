"""Selections: what is asked for and what is given are the same blocks, in the same order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import Block, ByteRange, PBLink, PBNode, dagpb, unixfs
from sessionctx.dag import car_stream
from sessionctx.dag.selection import Selection
from sessionctx.errors import NotADirectory, PathNotFound
from sessionctx.fetch import Sweep
from sessionctx.testing import samples

FILE = samples.file(5000, chunk=100, width=4)
HAMT = samples.folder(300, 10, sharded=True)


class Holding(MemoryBlockstore):
    """A store that has these blocks, in any trio run."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = {block.cid: block for block in blocks}

    async def get(self, cid):
        return self.blocks[cid] if cid in self.blocks else await super().get(cid)


def metadata_of(block):
    """Metadata, as the first tools made it, of a file."""
    fields = unixfs.encode(unixfs.Data(unixfs.Type.METADATA))
    return Block.of(dagpb.encode(PBNode((PBLink(block.cid, "", len(block.data)),), fields)), codec=0x70)


@pytest.fixture(scope="module")
def top(cbor):
    """The root of ``a/file``, ``a/wrapped`` and ``many/...`` below data, and a store of all."""
    by_cid = {block.cid: block for block in [*FILE.blocks, *HAMT.blocks]}
    wrapped = metadata_of(by_cid[FILE.root])
    links = [("file", FILE.root), ("wrapped", wrapped.cid)]
    inner = Block.of(
        dagpb.encode(
            PBNode(
                tuple(PBLink(cid, name, 1) for name, cid in links), unixfs.encode(unixfs.Data(unixfs.Type.DIRECTORY))
            )
        ),
        codec=0x70,
    )
    root = cbor({"in": {"a": inner.cid}, "many": HAMT.root, "plain": [1, 2]})
    return root, Holding([*by_cid.values(), wrapped, inner, root])


PATHS = ["", "in/a", "in/a/file", "in/a/wrapped", "many", "many/7", "plain/1", "plain"]
spans = st.builds(ByteRange, st.integers(0, 6000), st.none() | st.integers(6000, 7000)) | st.builds(
    ByteRange, st.integers(-6000, -1), st.none()
)


@given(path=st.sampled_from(PATHS), scope=st.sampled_from(["all", "entity", "block"]), span=st.none() | spans)
def test_what_is_asked_for_is_what_is_given(top, play, path, scope, span):
    """A sweep that follows a selection expects each block of its CAR before that comes, and none that does not."""
    root, store = top
    segments = [segment for segment in path.split("/") if segment]
    sweep = Sweep(root.cid, follow=Selection(scope, span).follow(root.cid, segments))

    async def main():
        text = None if span is None else str(span)
        async with car_stream(store, root.cid, path=path, scope=scope, span=text) as chunks:
            chunks.places = []
            async for _ in chunks:
                pass
        blocks = {cid.multihash: block for cid, block in store.blocks.items()}
        given = [blocks[name] for name, _ in chunks.places]
        for block in given:
            assert sweep.expects(block.cid.multihash)
            assert sweep.next() == block.cid
            sweep.arrived(block)
        assert sweep.done
        if path == "in/a/wrapped" and scope == "entity" and span is None:
            assert set(given[-len(FILE.blocks) :]) == set(FILE.blocks)

    play(main)


def follow(store, root, path):
    """The names of the blocks to which a path leads, one after the other; the last is where it ends."""
    chosen = Selection("block")
    at, tag = root.cid, chosen.begin(root.cid, path.split("/"))
    while links := list(chosen.visit(store.blocks[at], tag)[1]):
        ((at, tag),) = links
    return at, tag


def test_a_path_is_followed_without_anybody_waiting(top):
    root, store = top
    assert follow(store, root, "in/a/file") == (FILE.root, None)
    assert follow(store, root, "plain/1")[0] == root.cid  # it ends inside
    for path, error in (("in/b", PathNotFound), ("many/nobody", PathNotFound), ("in/a/file/x", NotADirectory)):
        with pytest.raises(error):
            follow(store, root, path)


def test_only_a_whole_dag_is_whole():
    way = Selection().begin(FILE.root, ["x"])
    assert Selection().whole(None)
    assert not Selection().whole(way)
    assert not Selection("entity").whole(None)
    assert not Selection(span=ByteRange(0, 5)).whole(None)

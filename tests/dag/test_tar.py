"""Archives: what is in them, and names that are paths (IPIP-288)."""

from __future__ import annotations

import tarfile
from io import BytesIO

import pytest

from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import DAG_PB, Block, PBLink, PBNode, dagpb, unixfs
from sessionctx.dag import Files
from sessionctx.errors import BlockNotFound, UnsafePath

LEAF = Block.of(b"x" * 600)
LINK = Block.of(dagpb.encode(PBNode((), unixfs.encode(unixfs.Data(unixfs.Type.SYMLINK, b"/etc")))), codec=DAG_PB)


class Tree:
    """Makes directories of any names in a store."""

    def __init__(self):
        self.store = MemoryBlockstore()
        self.files = Files(self.store)

    async def folder(self, *entries):
        await self.store.put_many([LEAF, LINK])
        links = tuple(PBLink(block.cid, name, 1) for name, block in entries)
        fields = unixfs.encode(unixfs.Data(unixfs.Type.DIRECTORY))
        block = Block.of(dagpb.encode(PBNode(links, fields)), codec=DAG_PB)
        await self.store.put(block)
        return block

    async def names(self, root):
        """The names in the archive of *root*, without its own."""
        async with self.files.tar(root.cid, name="top") as chunks:
            data = b"".join([chunk async for chunk in chunks])
        assert len(data) % 512 == 0
        with tarfile.open(fileobj=BytesIO(data)) as archive:
            members = archive.getmembers()
            assert all(archive.extractfile(one).read() == LEAF.data for one in members if one.isfile())
        assert members[0].name == "top"
        return [member.name.removeprefix("top/") for member in members[1:]]


@pytest.fixture
def tree():
    return Tree()


@pytest.mark.parametrize(
    ("name", "leads"),
    [
        ("../a", "a"),
        ("../b/c/../a", "b/a"),
        ("../b/a", "b/a"),
        ("./a", "b/a"),
        ("/a", "b/a"),
        ("x/../a", "b/a"),
        ("x/y/../../../b/./a", "b/a"),
        ("../../top/b/a", None),
        ("../../a", None),
        ("c/a", None),
        ("../c/a", None),
        ("..", None),
        ("x/..", None),
        ("a/", None),
        ("../b/c/a", None),
    ],
)
async def test_a_name_may_be_a_path_to_a_folder_around_it(tree, name, leads):
    inner = await tree.folder((name, LEAF))
    root = await tree.folder(("b", inner))
    if leads is None:
        with pytest.raises(UnsafePath, match="entry called"):
            await tree.names(root)
    else:
        assert await tree.names(root) == ["b", leads]


async def test_only_a_file_may_be_called_so(tree):
    for other in (LINK, await tree.folder()):
        root = await tree.folder(("./a", other))
        with pytest.raises(UnsafePath, match="only a file"):
            await tree.names(root)


async def test_such_a_file_cannot_be_written_through_a_symlink(tree):
    inner = await tree.folder(("../a", LEAF))
    assert await tree.names(await tree.folder(("b", inner), ("link", LINK))) == ["b", "a", "link"]
    with pytest.raises(UnsafePath, match="after a symlink"):
        await tree.names(await tree.folder(("a", LINK), ("b", inner)))


async def test_the_same_name_twice_is_refused_however_it_is_written(tree):
    with pytest.raises(UnsafePath, match="two entries"):
        await tree.names(await tree.folder(("./a", LEAF), ("a", LEAF)))


async def test_what_is_lost_is_known_before_the_first_byte_of_a_small_archive(tree):
    root = await tree.folder(("a", LEAF), ("b", Block.of(b"lost")))
    async with tree.files.tar(root.cid) as chunks:
        with pytest.raises(BlockNotFound):
            await anext(chunks)


async def test_of_a_large_archive_the_good_bytes_come_first(tree):
    root = await tree.folder(*((f"{number:03}", LEAF) for number in range(100)), ("z", Block.of(b"lost")))
    async with tree.files.tar(root.cid) as chunks:
        got = await anext(chunks)
        with pytest.raises(BlockNotFound):
            while True:
                got += await anext(chunks)
    assert len(got) == 512 + 100 * (512 + 1024)

"""What the gateways serve that are compared: everything that people publish, and what they publish by mistake."""

from __future__ import annotations

import random

import attrs

from sessionctx import Node
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import (
    CBOR,
    CID,
    DAG_CBOR,
    DAG_JSON,
    DAG_PB,
    JSON,
    RAW,
    Block,
    PBLink,
    PBNode,
    car,
    dagpb,
    encode,
)
from sessionctx.content import unixfs as fields
from sessionctx.dag import V0_2015, V1_2025

SMALL = attrs.evolve(V1_2025, chunk_size=256, hamt_threshold=4096)
"""The default profile with small chunks and shards, so that small files and folders have many blocks."""
OLD = attrs.evolve(V0_2015, chunk_size=256)

ASCII = b"hello application/vnd.ipld.car\n"
MULTIBLOCK = b"".join(bytes([letter]) * 256 for letter in b"abcd") + b"ef"
ODD_NAMES = (
    "a#b?c.txt",
    "Portugal%2C+España=Peninsula Ibérica.txt",
    "emoji🚀.txt",
    'quote"s & <angles>.txt',
    "sub dir/file!'()*~.txt",
)
BINARY = random.Random(3).randbytes(1000)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


class Recorder(MemoryBlockstore):
    """Knows what it has, so that another gateway can be given the same."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[bytes, Block] = {}

    async def put(self, block: Block) -> None:
        await self.put_many([block])

    async def put_many(self, blocks) -> None:
        given = list(blocks)
        self.kept |= {block.cid.multihash: block for block in given}
        await super().put_many(given)

    async def delete(self, cid: CID) -> None:
        self.kept.pop(cid.multihash, None)
        await super().delete(cid)

    def write_car(self, path) -> None:
        """Write all of it to a CAR."""
        with path.open("wb") as file:
            file.write(car.encode_header([]))
            for block in self.kept.values():
                file.write(car.encode_prefix(block.cid, len(block.data)) + block.data)


@attrs.frozen
class Site:
    """CIDs by what is there."""

    roots: dict[str, CID]
    """Where paths begin."""
    lost: frozenset[CID]
    """Blocks that nobody has."""


def write_folder(folder) -> None:
    """Write the folder that is the heart of it."""
    for name in ("ą/ę", "page", "empty", "sub dir"):
        (folder / name).mkdir(parents=True)
    for name in ODD_NAMES:
        (folder / name).write_text(f"this is {name}\n")
    (folder / "ascii.txt").write_bytes(ASCII)
    (folder / "multiblock.txt").write_bytes(MULTIBLOCK)
    (folder / "copy.txt").write_bytes(MULTIBLOCK)
    (folder / "ą" / "ę" / "file-źł.txt").write_text("I am a txt file on path with utf8\n")
    (folder / "ą" / "ę" / "t.json").write_text('{"test": "json"}\n')
    (folder / "page" / "index.html").write_text("<!doctype html>\n<title>A page</title>\n")
    (folder / "page" / "style.css").write_text("body { margin: 0 }\n")
    (folder / "link").symlink_to("ascii.txt")
    (folder / "data.bin").write_bytes(BINARY)
    (folder / "pixel.png").write_bytes(PIXEL)
    (folder / "untold").write_text("no extension tells what this is\n")
    (folder / "nothing").write_bytes(b"")


async def publish(node: Node, folder) -> Site:
    """Add everything to a *node*."""
    write_folder(folder)
    roots = {
        "dir": (await node.files.add(folder, profile=SMALL)).cid,
        "old": (await node.files.add(folder, profile=OLD)).cid,
        "hamt": await _many(node, folder),
        **await _data(node),
        **await _by_hand(node),
    }
    roots["file"] = (await node.dag.resolve(f"{roots['dir']}/multiblock.txt")).cid
    holes, lost = await _with_a_hole(node)
    return Site(roots | {"holes": holes, "inline": Block.of(b"said by its name\n", hash=0).cid}, frozenset({lost}))


async def _many(node: Node, folder) -> CID:
    many = folder.parent / "many"
    many.mkdir()
    for number in range(200):
        (many / f"{number}.txt").write_text(f"{number}\n" * 100)
    return (await node.files.add(many, profile=SMALL)).cid


async def _data(node: Node) -> dict[str, CID]:
    """Data in each codec: a document with links to a file, to data, and to data inside of it."""
    leaf = (await node.files.add(ASCII)).cid
    found: dict[str, CID] = {}
    for name, codec in (("dag-json", DAG_JSON), ("dag-cbor", DAG_CBOR)):
        inner = await node.dag.put({"hello": "this is not a link"}, codec=codec)
        found[name] = await node.dag.put(
            {"foo": {"link": {"bar": inner}}, "file": leaf, "list": [1, leaf]}, codec=codec
        )
    for name, codec in (("json", JSON), ("cbor", CBOR)):
        block = Block.of(encode(codec, {"test": ["plain", 1]}), codec=codec)
        await node.store.put(block)
        found[name] = block.cid
    return found


async def _by_hand(node: Node) -> dict[str, CID]:
    """Nodes that no importer makes."""
    leaf = Block.of(b"hello\n")
    directory = fields.encode(fields.Data(fields.Type.DIRECTORY))
    inner = _node(PBNode((PBLink(leaf.cid, "b.txt", 6),), directory))
    slash = PBNode((PBLink(inner.cid, "a", 60), PBLink(Block.of(ASCII).cid, "a/b.txt", 6)), directory)
    blocks = {
        "slash": _node(slash),
        "data-first": Block.of(
            b"\x0a\x02\x08\x01" + dagpb.encode(PBNode((PBLink(leaf.cid, "hello.txt", 6),))), codec=DAG_PB
        ),
        "dated": _node(PBNode((), fields.encode(fields.Data(fields.Type.FILE, b"dated\n", 6, mode=0o755)))),
        "nameless": _node(PBNode((PBLink(leaf.cid),), b"no unixfs")),
        "outside": _node(PBNode((PBLink(leaf.cid, "../../out", 6), PBLink(leaf.cid, "in", 6)), directory)),
    }
    await node.store.put_many([leaf, inner, Block.of(ASCII, codec=RAW), *blocks.values()])
    return {name: block.cid for name, block in blocks.items()}


def _node(node: PBNode) -> Block:
    return Block.of(dagpb.encode(node), codec=DAG_PB)


async def _with_a_hole(node: Node) -> tuple[CID, CID]:
    """A file of three leaves, and the one in the middle, which is deleted."""
    file = await node.store.get((await node.files.add(bytes(range(65, 77)) * 64, profile=SMALL)).cid)
    lost = file.links()[1]
    await node.store.delete(lost)
    return file.cid, lost

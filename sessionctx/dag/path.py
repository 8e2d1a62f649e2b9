"""Paths: from ``cid/a/b/c`` to the block it names, through UnixFS directories, dag-cbor, dag-json and json data.

Source: specs.ipfs.tech/http-gateways/path-gateway and specs.ipfs.tech/unixfs (path resolution).
"""

from __future__ import annotations

from typing import Final

import attrs
import trio

from sessionctx import session
from sessionctx.blocks import Blockstore
from sessionctx.content import CBOR, CID, DAG_CBOR, DAG_JSON, JSON, Block, Value, decode
from sessionctx.dag.opening import Opening
from sessionctx.dag.unixfs.hamt import TOP, Place, Sub
from sessionctx.dag.unixfs.node import Node, describe, open_node, open_shard
from sessionctx.errors import DagTooDeep, DecodeError, NotADirectory, PathNotFound, Unsupported

Ref = CID | str
"""What names something: a CID, or a text ``cid/path`` (also ``/ipfs/cid/path`` or ``ipfs://cid/path``)."""

MAX_SEGMENTS: Final = 1024
_DATA: Final = frozenset({DAG_CBOR, DAG_JSON, CBOR, JSON})
"""Codecs of blocks that a path can go into."""


@attrs.frozen
class Resolved:
    """Where a path leads."""

    cid: CID
    """The block."""
    rest: tuple[str, ...] = ()
    """What is left of the path, inside the block: empty, unless the path ends within data."""
    roots: tuple[CID, ...] = ()
    """The CIDs at the segments of the path: the one it begins with, ..., the one it leads to."""
    trail: tuple[CID, ...] = ()
    """All blocks that were gone through, in order, without the last one; with the shards of big directories."""


def parse_ref(ref: Ref, path: str = "") -> tuple[CID, list[str]]:
    """Take a reference apart: the CID, and the segments of the path with ``.``, ``..`` and empty ones resolved.

    Raises:
        InvalidCID: it does not begin with a CID.
        PathNotFound: ``..`` leads above the CID.
        DagTooDeep: it has more than 1024 segments.
    """
    if isinstance(ref, str):
        text = ref.removeprefix("ipfs://").removeprefix("/ipfs/")
        name, _, inner = text.partition("/")
        pasted = not name or ":" in name  # a URL, or a path of another kind: all of it says what is wrong
        ref, path = CID.parse(ref if pasted else name), f"{inner}/{path}"
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == ".." and not segments:
            raise PathNotFound(f"the path {path[:200]!r} leads above {ref} with '..'")
        if segment == "..":
            segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    if len(segments) > MAX_SEGMENTS:
        raise DagTooDeep(f"a path of {len(segments)} segments is over the limit of {MAX_SEGMENTS}")
    return ref, segments


@session.operation
async def resolve(blocks: Blockstore, ref: Ref, path: str = "") -> Resolved:
    """Find the block that *ref* (and *path* below it) names. Symlinks are not followed.

    Raises:
        InvalidCID, DagTooDeep: as :func:`parse_ref`.
        PathNotFound: a segment does not exist; the message names it and where it was looked for.
        NotADirectory: the path goes on below something that holds no names.
        BlockNotFound, FetchFailed, ...: as the store raises them.
    """
    cid, segments = parse_ref(ref, path)
    await trio.lowlevel.checkpoint()
    way = _Way(blocks, [cid], segments)
    if segments:
        async with Opening(blocks, cid, segments):
            while way.left:
                await way.step()
    return Resolved(way.roots[-1], tuple(way.rest), tuple(way.roots), tuple(way.trail))


class _Way:
    """A path being gone."""

    def __init__(self, blocks: Blockstore, roots: list[CID], segments: list[str]) -> None:
        self.blocks = blocks
        self.roots = roots
        self.left = segments
        self.done: list[str] = []
        self.trail: list[CID] = []
        self.rest: list[str] = []

    @property
    def here(self) -> str:
        """Where we are, for errors."""
        return "/".join((str(self.roots[0]), *self.done))

    async def step(self) -> None:
        """Go on to the next block."""
        block = await self.blocks.get(self.roots[-1])
        self.trail.append(block.cid)
        if block.cid.codec in _DATA:
            self._through_data(block)
        else:
            self._arrive(await self._in_directory(open_node(block), self.left[0]), 1)

    def _arrive(self, cid: CID, segments: int) -> None:
        self.roots.append(cid)
        self.done += self.left[:segments]
        del self.left[:segments]

    def _through_data(self, block: Block) -> None:
        value = decode_data(block)
        for index, segment in enumerate(self.left):
            value = enter(value, segment, "/".join((self.here, *self.left[:index])))
            if isinstance(value, CID):
                self._arrive(value, index + 1)
                return
        self.left, self.rest = [], self.left
        self.trail.pop()

    async def _in_directory(self, node: Node, name: str) -> CID:
        if node.kind != "directory":
            raise NotADirectory(f"{self.here} is {describe(node)}: there is no {name!r} in it")
        if node.sharded:
            found = await self._in_shards(node, name)
        else:
            found = next((link.cid for link in node.links if link.name == name), None)
        if found is None:
            raise PathNotFound(f"there is no {name!r} in the directory {self.here}")
        return found

    async def _in_shards(self, node: Node, name: str) -> CID | None:
        place: Place = TOP
        while isinstance(found := open_shard(node, place).find(name), Sub):
            self.trail.append(found.link.cid)
            node, place = open_node(await self.blocks.get(found.link.cid)), found.place
            if not node.sharded:
                raise NotADirectory(f"{node.cid} is {describe(node)}, not a shard of the directory {self.here}")
        return found.cid if found else None


def decode_data(block: Block) -> Value:
    """Return what a block holds, as plain data. :exc:`DecodeError` that names the block, :exc:`Unsupported`."""
    try:
        return decode(block.cid.codec, block.data)
    except (DecodeError, Unsupported) as error:
        raise type(error)(f"{block.cid}: {error}") from None


def enter(value: Value, segment: str, where: str) -> Value:
    """Return what *segment* names in a map or list. :exc:`PathNotFound`, :exc:`NotADirectory`."""
    if isinstance(value, dict):
        if segment in value:
            return value[segment]
        raise PathNotFound(f"there is no {segment!r} in the map {where}")
    if isinstance(value, list):
        if segment.isascii() and segment.isdigit() and len(segment) < 10 and int(segment) < len(value):
            return value[int(segment)]
        raise PathNotFound(f"there is no {segment!r} in the list {where}, which has {len(value)} items")
    raise NotADirectory(f"{where} is a {type(value).__name__}: there is no {segment!r} in it")

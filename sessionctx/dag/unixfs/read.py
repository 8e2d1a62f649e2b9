"""Reading files and directories: bytes, entries, and what a node says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs

from sessionctx.blocks import Blockstore
from sessionctx.content import CID, Block, PBLink
from sessionctx.dag.frontier import AHEAD, MAX_DEPTH, Ahead, Frontier
from sessionctx.dag.unixfs.hamt import TOP, Place, Sub
from sessionctx.dag.unixfs.node import Kind, Node, entries, need_directory, open_node
from sessionctx.dag.unixfs.parts import Part, Span, check_part, inside, open_part
from sessionctx.dag.walk import Walk
from sessionctx.errors import DagTooDeep, InvalidDag


@attrs.frozen
class Stat:
    """What the first block of a file, directory or symlink says about it."""

    cid: CID
    kind: Kind
    size: int
    """Bytes of the file, or of a symlink's target; 0 for a directory."""
    dag_size: int
    """Bytes of all blocks, as far as the links tell: a hint, nobody has checked it."""
    blocks: int
    """Blocks linked directly: parts of a file; entries of a directory, or of its first shard."""
    sharded: bool = False
    """Whether it is a directory that needs many blocks."""
    target: str | None = None
    """Of a symlink, where it points."""
    mode: int | None = None
    """POSIX permissions, where given."""
    mtime: float | None = None
    """Modification time, seconds since 1970, where given."""


@attrs.frozen
class Entry:
    """A name in a directory."""

    name: str
    cid: CID
    dag_size: int | None
    """Bytes of all blocks of it, as the directory says: a hint, nobody has checked it."""
    kind: Kind | None = None
    """What it is; ``None`` if that was not asked for."""
    size: int | None = None
    """Bytes of the file; ``None`` if not asked for, or no file."""


def stat_of(block: Block) -> Stat:
    """Read what the first block says. :exc:`DecodeError`, :exc:`InvalidDag`."""
    node = open_node(block)
    fields = node.fields
    mtime = fields.mtime if fields else None
    return Stat(
        node.cid,
        node.kind,
        len(node.payload) if node.kind == "symlink" else node.size,
        len(block.data) + sum(link.tsize or 0 for link in node.links),
        len(node.links),
        node.sharded,
        node.payload.decode(errors="replace") if node.kind == "symlink" else None,
        fields.mode if fields else None,
        mtime.seconds + (mtime.nanoseconds or 0) / 1e9 if mtime else None,
    )


def size_below(block: Block) -> int | None:
    """Return how many bytes of files its first block promises of a file or directory, see `Progress`; else None."""
    node = open_node(block)
    if node.kind == "directory":
        return sum(link.tsize or 0 for link in node.links)
    return None if node.kind == "metadata" else node.size


def read_file(
    blocks: Blockstore, root: CID, offset: int = 0, length: int | None = None, *, ahead: int = AHEAD
) -> Walk[Part, Iterable[bytes]]:
    """Walk the bytes of a file, in order, from *offset* on; subtrees that hold nothing wanted are not fetched.

    It begins with one block at a time, and widens to *ahead* as it is read.
    """
    span = Span(offset, None if length is None else offset + length)

    def visit(block: Block, part: Part) -> tuple[Iterable[bytes], Iterable[tuple[CID, Part]]]:
        node, children = open_part(block, part)
        data = span.cut(node.payload, part.start)
        return (data,) if data else (), children

    frontier = Frontier(root, Part(0, None, span), visit, Ahead(ahead, narrow=True), dups=True)
    return Walk(blocks, frontier, whole=inside)


Piece: TypeAlias = tuple[int, bytes]
"""Some bytes of a file: where they stand, and they themselves."""


def read_pieces(
    blocks: Blockstore,
    root: Block,
    top: Node,
    span: Span,
    ahead: Ahead,
) -> Walk[Part, Iterable[Piece]]:
    """Walk a file in the pieces in which its blocks hold it: those with bytes in *span*, each whole.

    *root* is the file's first block, and *top* what was read in it: with a thousand links, that takes milliseconds.
    """

    def visit(block: Block, part: Part) -> tuple[Iterable[Piece], Iterable[tuple[CID, Part]]]:
        node = top if block is root else open_node(block)
        children = check_part(node, part)
        wanted = node.payload and span.overlaps(part.start, len(node.payload))
        return ((part.start, node.payload),) if wanted else (), children

    frontier = Frontier(root.cid, Part(0, None, span), visit, ahead, dups=True)
    return Walk(blocks, frontier, first=root, whole=inside)


async def content_of(blocks: Blockstore, block: Block) -> Block:
    """Return the block itself, or what it is metadata of. :exc:`DagTooDeep` after 1024 links."""
    for _ in range(MAX_DEPTH):
        node = open_node(block)
        if node.kind != "metadata":
            return block
        block = await blocks.get(node.links[0].cid)
    raise DagTooDeep(f"{block.cid} is metadata of metadata, more than {MAX_DEPTH} times")


Listed: TypeAlias = "Place | PBLink"
"""What a block is in a listing: a shard of the directory, or what an entry names."""


def read_directory(
    blocks: Blockstore, root: CID, *, detail: bool = False, ahead: int = AHEAD
) -> Walk[Listed, Iterable[Entry]]:
    """Walk the entries of a directory; with *detail*, the first block of each is read to say what it is."""

    def visit(block: Block, tag: Listed) -> tuple[Iterable[Entry], Iterable[tuple[CID, Listed]]]:
        node = open_node(block)
        if isinstance(tag, PBLink):
            if node.kind == "metadata":
                return (), ((node.links[0].cid, tag),)
            size = node.size if node.kind == "file" else None
            return (Entry(tag.name or "", tag.cid, tag.tsize, node.kind, size),), ()
        if tag is TOP:
            need_directory(node)
        found = directory_links(node, tag)
        if detail:
            return (), _entries_and_shards(found)
        if not node.sharded:
            return (Entry(link.name or "", link.cid, link.tsize) for link in node.links), ()
        read = list(found)
        shards: list[tuple[CID, Listed]] = [(item.link.cid, item.place) for item in read if isinstance(item, Sub)]
        return (Entry(link.name or "", link.cid, link.tsize) for link in read if isinstance(link, PBLink)), shards

    return Walk(blocks, Frontier(root, TOP, visit, Ahead(ahead), dups=True))


def _entries_and_shards(found: Iterator[PBLink | Sub]) -> Iterator[tuple[CID, Listed]]:
    for item in found:
        yield (item.link.cid, item.place) if isinstance(item, Sub) else (item.cid, item)


def directory_links(node: Node, place: Place) -> Iterator[PBLink | Sub]:
    """Give what the shard (or whole directory) at *place* holds. :exc:`InvalidDag` if it is no shard, but should be."""
    if place is not TOP and not node.sharded:
        raise InvalidDag(f"{node.cid} is linked as a shard of a directory, but is a {node.kind}")
    return entries(node, place)

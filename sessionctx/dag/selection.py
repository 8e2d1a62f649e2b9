"""What is wanted of a DAG: the blocks along a path, and of what is at its end, those in a scope. Pure.

Whoever gives a DAG (a CAR) and whoever asks for one (an `Opening`) follows the same links: those that `Selection` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import attrs

from sessionctx.content import CBOR, CID, DAG_CBOR, DAG_JSON, JSON, RAW, Block, ByteRange, DagScope, Value, decode
from sessionctx.dag.unixfs.hamt import TOP, Place, Sub
from sessionctx.dag.unixfs.node import describe, open_node, open_shard
from sessionctx.dag.unixfs.parts import Part, Span, open_part
from sessionctx.dag.unixfs.read import directory_links
from sessionctx.errors import DecodeError, NotADirectory, PathNotFound, Unsupported

_DATA: Final = frozenset({DAG_CBOR, DAG_JSON, CBOR, JSON})
"""Codecs of blocks that a path can go into."""


# --- along a path


@attrs.frozen
class Way:
    """A place on a path: what of its *segments* is behind us, and where the block here hangs in its directory."""

    root: CID
    segments: tuple[str, ...]
    at: int = 0
    place: Place = TOP
    """Of a shard; the top for a block that a segment (or the root) names."""

    @property
    def left(self) -> tuple[str, ...]:
        """The segments that are still to be gone."""
        return self.segments[self.at :]

    def here(self, further: int = 0) -> str:
        """Say where we are, for errors; or *further* segments on."""
        return "/".join((str(self.root), *self.segments[: self.at + further]))

    def on(self, segments: int) -> Way:
        """Return the place so many segments on."""
        return attrs.evolve(self, at=self.at + segments, place=TOP)


@attrs.frozen
class Inside:
    """The end of a path that lies inside of a block, in its data."""

    value: Value


def step(block: Block, way: Way) -> tuple[CID, Way] | Inside:
    """Return the next block on the way, and where that is; or what the path names inside of this one.

    There must be segments left.

    Raises:
        PathNotFound: the segment does not exist; the message names it and where it was looked for.
        NotADirectory: the path goes on below something that holds no names.
        DecodeError, InvalidDag, Unsupported: the block cannot be read.
    """
    if block.cid.codec in _DATA:
        return _through_data(block, way)
    node, name = open_node(block), way.segments[way.at]
    if way.place is not TOP and not node.sharded:
        raise NotADirectory(f"{node.cid} is {describe(node)}, not a shard of the directory {way.here()}")
    if node.kind != "directory":
        raise NotADirectory(f"{way.here()} is {describe(node)}: there is no {name!r} in it")
    if node.sharded:
        found = open_shard(node, way.place).find(name)
        if isinstance(found, Sub):
            return found.link.cid, attrs.evolve(way, place=found.place)
    else:
        found = next((link for link in node.links if link.name == name), None)
    if found is None:
        raise PathNotFound(f"there is no {name!r} in the directory {way.here()}")
    return found.cid, way.on(1)


def _through_data(block: Block, way: Way) -> tuple[CID, Way] | Inside:
    value = decode_data(block)
    for index, segment in enumerate(way.left):
        value = _enter(value, segment, way.here(index))
        if isinstance(value, CID):
            return value, way.on(index + 1)
    return Inside(value)


def decode_data(block: Block) -> Value:
    """Return what a block holds, as plain data. :exc:`DecodeError` that names the block, :exc:`Unsupported`."""
    try:
        return decode(block.cid.codec, block.data)
    except (DecodeError, Unsupported) as error:
        raise type(error)(f"{block.cid}: {error}") from None


def _enter(value: Value, segment: str, where: str) -> Value:
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


# --- and at its end


Tag: TypeAlias = "Way | Place | Part | None"
"""What a block is: on the way; or, at the end of it: (a shard of) a directory, a part of a file, or not known yet."""


@attrs.frozen
class Selection:
    """The blocks along a path, and those of what is there that are in *scope*. A *span* implies ``"entity"``."""

    scope: DagScope = "all"
    span: ByteRange | None = None

    def begin(self, root: CID, segments: Sequence[str]) -> Tag:
        """Return the tag of the block where the path begins."""
        return Way(root, tuple(segments)) if segments else None

    def visit(self, block: Block, tag: Tag) -> tuple[Block, Iterable[tuple[CID, Tag]]]:
        """Return the block itself, and the links that lead to more of what is wanted. Errors as of `step`."""
        if isinstance(tag, Way):
            following = step(block, tag)
            if not isinstance(following, Inside):
                cid, way = following
                return block, ((cid, way if way.left else None),)
            tag = None
        if self.scope == "entity" or self.span is not None:
            return block, self._entity(block, tag)
        if self.scope == "block" or block.cid.codec == RAW:
            return block, ()
        return block, [(cid, None) for cid in block.links()]

    def whole(self, tag: Tag) -> bool:
        """Whether all that hangs below a block is wanted."""
        return tag is None and self.scope == "all" and self.span is None

    def _entity(self, block: Block, tag: Place | Part | None) -> Iterable[tuple[CID, Tag]]:
        """Follow the links of one file (its bytes in the span) or one directory (all its shards)."""
        if isinstance(tag, Part):
            return open_part(block, tag)[1]
        node = open_node(block)
        if node.kind == "directory":
            found = directory_links(node, tag or TOP)
            return ((item.link.cid, item.place) for item in found if isinstance(item, Sub))
        if node.kind == "metadata":
            return ((node.links[0].cid, None),)
        if node.kind == "file":
            start, stop = (self.span or ByteRange()).within(node.size)
            return open_part(block, Part(0, None, Span(start, stop)))[1] if start < stop else ()
        return ()

    def follow(self, root: CID, segments: Sequence[str]) -> Callable[[Block], Iterator[CID]]:
        """Return what gives the links of each block that was reached so, from the *root* on, without tags."""
        tags: dict[CID, Tag] = {root: self.begin(root, segments)}

        def links(block: Block) -> Iterator[CID]:
            for cid, tag in self.visit(block, tags.pop(block.cid))[1]:
                tags[cid] = tag
                yield cid

        return links

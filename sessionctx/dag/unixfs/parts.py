"""The parts of a file: which nodes below a node are read, and where their bytes belong. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from sessionctx.content import CID, Block
from sessionctx.dag.unixfs.node import Node, describe, need_file, open_node
from sessionctx.errors import InvalidDag


class Span:
    """The bytes of a file that are wanted: from *start*, up to and without *stop*; all, by default."""

    __slots__ = ("empties", "start", "stop")

    def __init__(self, start: int = 0, stop: int | None = None) -> None:
        self.start = start
        self.stop = stop
        self.empties: set[CID] = set()

    def overlaps(self, start: int, size: int) -> bool:
        """Whether *size* bytes at *start* hold some that are wanted."""
        return start + size > self.start and (self.stop is None or start < self.stop)

    def cut(self, data: bytes, start: int) -> bytes:
        """Return the part that is wanted of *data*, which stands at *start*."""
        stop = len(data) if self.stop is None else self.stop - start
        if self.start <= start and stop >= len(data):
            return data
        return data[max(self.start - start, 0) : max(stop, 0)]


@attrs.define
class Part:
    """Where a node belongs in its file."""

    start: int
    size: int | None
    """What the node above says; ``None`` for the root."""
    file: Span


def inside(part: Part) -> bool:
    """Whether all bytes below a node are wanted."""
    span, size = part.file, part.size
    if span.start > part.start:
        return False
    return span.stop is None or (size is not None and part.start + size <= span.stop)


def open_part(block: Block, part: Part) -> tuple[Node, Iterable[tuple[CID, Part]]]:
    """Read a node of a file: itself, and those below it that hold wanted bytes, in order.

    :exc:`InvalidDag` if it is not what the node above says; :exc:`NotAFile` if the root is none.
    """
    node = open_node(block)
    return node, check_part(node, part)


def check_part(node: Node, part: Part) -> Iterable[tuple[CID, Part]]:
    """Check a node of a file, and give those below it that hold wanted bytes. Errors as for :func:`open_part`."""
    if part.size is None and node.kind == "metadata":
        return ((node.links[0].cid, part),)
    if part.size is None:
        need_file(node)
    elif node.kind != "file":
        raise InvalidDag(f"{node.cid} is linked as a part of a file, but is {describe(node)}")
    elif part.size != node.size:
        raise InvalidDag(f"{node.cid} has {node.size} bytes of a file, the node above it says {part.size}")
    return _children(node, part) if node.links else ()


def _children(node: Node, part: Part) -> Iterator[tuple[CID, Part]]:
    assert node.fields is not None
    span, start = part.file, part.start + len(node.payload)
    for link, size in zip(node.links, node.fields.blocksizes, strict=True):
        if size == 0:
            # Nothing to read, but it is checked that there is nothing: once, or a small DAG could make endless work.
            if link.cid not in span.empties:
                span.empties.add(link.cid)
                yield link.cid, Part(start, 0, span)
        elif span.overlaps(start, size):
            yield link.cid, Part(start, size, span)
        start += size

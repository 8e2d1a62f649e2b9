"""The balanced layout of files: chunks go in, blocks come out, the root last. Pure, and streaming.

Source: specs.ipfs.tech/unixfs (balanced layout) and IPIP-499.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import attrs

from sessionctx.content import CID, DAG_PB, RAW, Block, PBLink, PBNode, dagpb, unixfs, varint
from sessionctx.dag.unixfs.profile import Profile

Emit = Callable[[Block], None]
"""Where finished blocks go, children before their parents."""


@attrs.define
class Built:
    """The root of something that was built."""

    cid: CID
    dag_size: int
    """Bytes of all blocks below and including this one: what links say as Tsize."""
    size: int = 0
    """Bytes of the file."""


@attrs.frozen
class Attributes:
    """What the root of a file, directory or symlink says beside its content; ``None`` where it says nothing."""

    mode: int | None = None
    """POSIX permissions, 12 bits."""
    mtime: unixfs.Mtime | None = None


PLAIN: Final = Attributes()
"""Says nothing: what profiles want, so that a CID depends on content and names alone."""


def build_node(profile: Profile, emit: Emit, data: unixfs.Data, links: tuple[PBLink, ...] = ()) -> Built:
    """Encode one dag-pb node with UnixFS *data*."""
    encoded = dagpb.encode(PBNode(links, unixfs.encode(data)))
    block = Block.of(encoded, codec=DAG_PB, version=profile.cid_version)
    emit(block)
    return Built(block.cid, len(encoded) + sum(link.tsize or 0 for link in links), data.filesize or 0)


def build_symlink(profile: Profile, emit: Emit, target: bytes, attributes: Attributes = PLAIN) -> Built:
    """Encode a symbolic link to *target*."""
    data = unixfs.Data(unixfs.Type.SYMLINK, target, mode=attributes.mode, mtime=attributes.mtime)
    return build_node(profile, emit, data)


Leaf: TypeAlias = tuple[Block, Built]
"""The block of a chunk, and what links to it say."""


def make_leaf(profile: Profile, chunk: bytes) -> Leaf:
    """Make the leaf that holds *chunk*."""
    size = len(chunk)
    if profile.raw_leaves:
        block = Block.of(chunk, codec=RAW)
    else:
        block = Block.of(encode_leaf(chunk), codec=DAG_PB, version=profile.cid_version)
    return block, Built(block.cid, len(block.data), size)


def encode_leaf(chunk: bytes) -> bytes:
    """Return the dag-pb node of a file that holds *chunk*, as ``dagpb`` and ``unixfs`` do, but copy it only once."""
    data = unixfs.Data(unixfs.Type.FILE, b"" if chunk else None, filesize=len(chunk))
    around = unixfs.encode(data)  # 08 02, and where there are bytes 12 and their length (0 here); 18 and the size
    if not chunk:
        return dagpb.encode(PBNode((), around))
    head = around[:3] + varint.encode(len(chunk))
    size = len(head) + len(chunk) + len(around) - 4
    return b"".join((b"\x0a", varint.encode(size), head, chunk, around[4:]))


class FileBuilder:
    """Builds one file from its chunks in order. Holds at most one unfinished node per level of the tree."""

    def __init__(self, profile: Profile, emit: Emit) -> None:
        self._profile = profile
        self._emit = emit
        self._levels: list[list[Built]] = []
        self._first: Leaf | None = None  # held back: alone, it might have to say more than its bytes

    def add(self, chunk: bytes) -> None:
        """Take the next chunk, which the caller has cut to the profile's size."""
        self.add_leaf(make_leaf(self._profile, chunk))

    def add_leaf(self, leaf: Leaf) -> None:
        """Take the next chunk as its leaf."""
        if self._first is None and not self._levels:
            self._first = leaf
            return
        self._release()
        block, built = leaf
        self._emit(block)
        self._place(built, 0)

    def finish(self, attributes: Attributes = PLAIN) -> Built:
        """Close the nodes that are open, and return the root. A file without chunks is one empty leaf."""
        if not self._levels:
            return self._single(self._first or make_leaf(self._profile, b""), attributes)
        level = 0
        while level < len(self._levels) - 1:
            self._close(level)
            level += 1
        return self._node(self._levels[level], attributes)

    def _release(self) -> None:
        if self._first is not None:
            block, built = self._first
            self._first = None
            self._emit(block)
            self._place(built, 0)

    def _single(self, leaf: Leaf, attributes: Attributes) -> Built:
        """Emit the only leaf. If there is something to say about the file, it is a node that holds the bytes."""
        block, built = leaf
        if attributes == PLAIN:
            self._emit(block)
            return built
        chunk = block.data
        if block.cid.codec == DAG_PB:
            chunk = unixfs.decode(dagpb.decode(block.data).data or b"").data or b""
        data = unixfs.Data(unixfs.Type.FILE, chunk or None, len(chunk), mode=attributes.mode, mtime=attributes.mtime)
        return build_node(self._profile, self._emit, data)

    def _place(self, child: Built, level: int) -> None:
        """Add *child* to the open node of *level*; if that is full, it is closed first, as it is not the root."""
        if level == len(self._levels):
            self._levels.append([])
        if len(self._levels[level]) == self._profile.width:
            self._close(level)
        self._levels[level].append(child)

    def _close(self, level: int) -> None:
        """Make a node of what is collected at *level*, and place it one level up."""
        children, self._levels[level] = self._levels[level], []
        self._place(self._node(children, PLAIN), level + 1)

    def _node(self, children: list[Built], attributes: Attributes) -> Built:
        sizes = tuple(child.size for child in children)
        links = tuple(PBLink(child.cid, "", child.dag_size) for child in children)
        data = unixfs.Data(
            unixfs.Type.FILE,
            filesize=sum(sizes),
            blocksizes=sizes,
            mode=attributes.mode,
            mtime=attributes.mtime,
        )
        return build_node(self._profile, self._emit, data, links)

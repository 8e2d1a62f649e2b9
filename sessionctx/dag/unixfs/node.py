"""Reading one UnixFS node out of a block, checked. Pure.

Source: specs.ipfs.tech/unixfs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import attrs

from sessionctx.content import CID, DAG_PB, RAW, Block, PBLink, code_name, dagpb, unixfs
from sessionctx.dag.unixfs.hamt import TOP, Place, Shard, Sub
from sessionctx.errors import DecodeError, InvalidDag, NotADirectory, NotAFile

Kind = Literal["file", "directory", "symlink", "metadata", "data"]
"""``"data"`` is a block of another kind than UnixFS, such as dag-cbor. ``"metadata"``, which is not made any more, says
something about the file that it links to, and is read as that.
"""

MAX_FOLDERS: Final = 256
"""Folders inside the outermost one, which can be added and exported."""

_KINDS: Final[dict[unixfs.Type, Kind]] = {
    unixfs.Type.RAW: "file",  # what the first tools called the leaves of files
    unixfs.Type.FILE: "file",
    unixfs.Type.DIRECTORY: "directory",
    unixfs.Type.HAMT_SHARD: "directory",
    unixfs.Type.SYMLINK: "symlink",
    unixfs.Type.METADATA: "metadata",
}


@attrs.define
class Node:
    """A block, read as UnixFS."""

    cid: CID
    kind: Kind
    payload: bytes = b""
    """Of a file, the bytes that come before its links; of a symlink, its target."""
    links: tuple[PBLink, ...] = ()
    fields: unixfs.Data | None = None
    """What the node says about itself; ``None`` for a raw block."""
    size: int = 0
    """Bytes of the file."""

    @property
    def sharded(self) -> bool:
        """Whether it is a shard of a big directory."""
        return self.fields is not None and self.fields.type is unixfs.Type.HAMT_SHARD


def open_node(block: Block) -> Node:
    """Read *block*. :exc:`DecodeError` for broken bytes, :exc:`InvalidDag` for fields that contradict each other."""
    cid, codec = block.cid, block.cid.codec
    if codec == RAW:
        return Node(cid, "file", block.data, size=len(block.data))
    if codec != DAG_PB:
        return Node(cid, "data")
    try:
        pb = dagpb.decode(block.data)
        fields = unixfs.decode(pb.data or b"")
    except DecodeError as error:
        raise DecodeError(f"{cid} is no UnixFS node: {error}") from None
    kind = _KINDS[fields.type]
    try:
        size = unixfs.check_file(fields, pb) if kind == "file" else 0
    except InvalidDag as error:
        raise InvalidDag(f"{cid}: {error}") from None
    if kind == "symlink" and pb.links:
        raise InvalidDag(f"{cid} is a symlink and has links to blocks")
    if kind == "metadata" and not pb.links:
        raise InvalidDag(f"{cid} is metadata of nothing: it links to no file")
    payload = b"" if kind in ("directory", "metadata") else fields.data or b""
    return Node(cid, kind, payload, pb.links, fields, size)


def describe(node: Node) -> str:
    """Say what a node is, for errors that wanted another kind."""
    if node.kind == "symlink":
        return f"a symlink to {node.payload[:200].decode(errors='replace')!r} (symlinks are not followed)"
    if node.kind == "data":
        return f"{code_name(node.cid.codec)} data"
    if node.kind == "metadata":
        return "metadata"
    return f"a {node.kind}"


def need_file(node: Node) -> Node:
    """Return a file as it is. :exc:`NotAFile` for anything else."""
    if node.kind != "file":
        raise NotAFile(f"{node.cid} is {describe(node)}, not a file")
    return node


def need_directory(node: Node) -> Node:
    """Return a directory as it is. :exc:`NotADirectory` for anything else."""
    if node.kind != "directory":
        raise NotADirectory(f"{node.cid} is {describe(node)}, not a directory")
    return node


def entries(node: Node, place: Place = TOP) -> Iterator[PBLink | Sub]:
    """Give the entries of a directory, and of a sharded one also the shards below. :exc:`InvalidDag`."""
    return iter(open_shard(node, place) if node.sharded else node.links)


def open_shard(node: Node, place: Place = TOP) -> Shard:
    """Read a shard of a directory that hangs at *place*. :exc:`InvalidDag`, :exc:`DagTooDeep`."""
    assert node.fields is not None
    try:
        return Shard(node.fields, node.links, place)
    except InvalidDag as error:
        raise InvalidDag(f"{node.cid}: {error}") from None

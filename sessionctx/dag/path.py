"""Paths: from ``cid/a/b/c`` to the block it names, through UnixFS directories, dag-cbor, dag-json and json data.

Source: specs.ipfs.tech/http-gateways/path-gateway and specs.ipfs.tech/unixfs (path resolution).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import trio

from sessionctx import session
from sessionctx.blocks import Blockstore, default_limits
from sessionctx.content import CID, Value
from sessionctx.dag.opening import Opening
from sessionctx.dag.selection import Inside, Way, step
from sessionctx.dag.unixfs.hamt import TOP
from sessionctx.errors import DagTooDeep, PathNotFound

Ref = CID | str
"""What names something: a CID, or a text ``cid/path`` (also ``/ipfs/cid/path`` or ``ipfs://cid/path``)."""

MAX_SEGMENTS: Final = 1024


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
    value: Value = attrs.field(default=None, eq=False, repr=False)
    """What the path names inside the block, where something is left of it."""


def parse_ref(ref: Ref, path: str = "") -> tuple[CID, list[str]]:
    """Take a reference apart: the CID, and the segments of the path with ``.``, ``..`` and empty ones resolved.

    Raises:
        InvalidCID: it does not begin with a CID.
        PathNotFound: ``..`` leads above the CID.
        DagTooDeep: it has more than 1024 segments.
    """
    if isinstance(ref, str):
        ref, inner = split_ref(ref)
        path = f"{inner}/{path}"
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


def split_ref(text: str) -> tuple[CID, str]:
    """Return the CID that a reference begins with, and the path behind it as it is written. :exc:`InvalidCID`."""
    name, _, path = text.removeprefix("ipfs://").removeprefix("/ipfs/").partition("/")
    pasted = not name or ":" in name  # a URL, or a path of another kind: all of it says what is wrong
    return CID.parse(text if pasted else name), path


async def resolve(blocks: Blockstore, ref: Ref, path: str = "") -> Resolved:
    """Find the block that *ref* (and *path* below it) names. Symlinks are not followed.

    Raises:
        InvalidCID, DagTooDeep: as :func:`parse_ref`.
        PathNotFound: a segment does not exist; the message names it and where it was looked for.
        NotADirectory: the path goes on below something that holds no names.
        BlockNotFound, FetchFailed, ...: as the store raises them.
    """
    session.require_trio("resolve")
    cid, segments = parse_ref(ref, path)
    await trio.lowlevel.checkpoint()
    if not segments:
        return Resolved(cid, roots=(cid,))
    with session.begin(default_limits=default_limits(blocks)):
        async with Opening(blocks, cid, segments):
            return await find(blocks, cid, segments)


async def find(blocks: Blockstore, cid: CID, segments: Sequence[str]) -> Resolved:
    """Go along a path, block by block. Errors as for `resolve`."""
    roots, trail, way = [cid], list[CID](), Way(cid, tuple(segments))
    while way.left:
        following = step(await blocks.get(cid), way)
        if isinstance(following, Inside):
            return Resolved(cid, way.left, tuple(roots), tuple(trail), following.value)
        trail.append(cid)
        cid, way = following
        if way.place is TOP:
            roots.append(cid)
    return Resolved(cid, (), tuple(roots), tuple(trail))

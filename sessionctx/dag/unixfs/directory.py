"""Writing directories: in one block while they are small, sharded when they are big. Pure.

Source: specs.ipfs.tech/unixfs and IPIP-499 (the thresholds).
"""

from __future__ import annotations

from collections.abc import Sequence

from sessionctx.content import PBLink, unixfs, varint
from sessionctx.dag.unixfs.build import Built, Emit, build_node
from sessionctx.dag.unixfs.hamt import build_hamt
from sessionctx.dag.unixfs.profile import Profile

_DATA = unixfs.Data(unixfs.Type.DIRECTORY)


def build_directory(profile: Profile, emit: Emit, entries: Sequence[PBLink]) -> Built:
    """Build the directory with these *entries*, in any order; their names differ."""
    if estimate(profile, entries) > profile.hamt_threshold:
        return build_hamt(profile, emit, entries)
    return build_node(profile, emit, _DATA, tuple(entries))


def estimate(profile: Profile, entries: Sequence[PBLink]) -> int:
    """Return the size, in bytes, which the profile compares with its threshold."""
    if profile.hamt_estimate == "links":
        return sum(len((entry.name or "").encode()) + len(bytes(entry.cid)) for entry in entries)
    data = len(unixfs.encode(_DATA))
    return _field(data) + sum(_field(_link_size(entry)) for entry in entries)


def _link_size(entry: PBLink) -> int:
    """Return the bytes of the link: Hash, Name and Tsize."""
    size = _field(len(bytes(entry.cid))) + _field(len((entry.name or "").encode()))
    return size + 1 + len(varint.encode(entry.tsize or 0))


def _field(size: int) -> int:
    """Return the bytes of a field that holds *size* bytes, with its key and length."""
    return 1 + len(varint.encode(size)) + size

"""Writing directories: in one block while they are small, sharded when they are big. Pure.

Source: specs.ipfs.tech/unixfs and IPIP-499 (the thresholds).
"""

from __future__ import annotations

from collections.abc import Sequence

from sessionctx.content import PBLink, unixfs, varint
from sessionctx.dag.unixfs.build import PLAIN, Attributes, Built, Emit, build_node
from sessionctx.dag.unixfs.hamt import build_hamt
from sessionctx.dag.unixfs.profile import Profile


def build_directory(profile: Profile, emit: Emit, entries: Sequence[PBLink], attributes: Attributes = PLAIN) -> Built:
    """Build the directory with these *entries*, in any order; their names differ.

    It is sharded as soon as the profile's estimate is over its threshold, and in one block again once it is not.
    """
    if estimate(profile, entries, attributes) > profile.hamt_threshold:
        return build_hamt(profile, emit, entries, attributes)
    return build_node(profile, emit, _data(attributes), tuple(entries))


def _data(attributes: Attributes) -> unixfs.Data:
    return unixfs.Data(unixfs.Type.DIRECTORY, mode=attributes.mode, mtime=attributes.mtime)


def estimate(profile: Profile, entries: Sequence[PBLink], attributes: Attributes = PLAIN) -> int:
    """Return the size, in bytes, which the profile compares with its threshold."""
    if profile.hamt_estimate == "links":
        return sum(len((entry.name or "").encode()) + len(bytes(entry.cid)) for entry in entries)
    data = len(unixfs.encode(_data(attributes)))
    return _field(data) + sum(_field(_link_size(entry)) for entry in entries)


def _link_size(entry: PBLink) -> int:
    """Return the bytes of the link: Hash, Name and Tsize."""
    size = _field(len(bytes(entry.cid))) + _field(len((entry.name or "").encode()))
    return size + 1 + len(varint.encode(entry.tsize or 0))


def _field(size: int) -> int:
    """Return the bytes of a field that holds *size* bytes, with its key and length."""
    return 1 + len(varint.encode(size)) + size

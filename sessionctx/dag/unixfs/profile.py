"""Import profiles: how files and directories are cut into blocks, so that the same input has the same CID everywhere.

Source: IPIP-499 (CID profiles for UnixFS).
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

from sessionctx.errors import Unsupported


@attrs.frozen
class Profile:
    """All that decides about the CID of an imported file or directory."""

    name: str
    cid_version: Literal[0, 1]
    chunk_size: int
    """Bytes of a file in one leaf."""
    width: int
    """Most links in one node of a file."""
    raw_leaves: bool
    """Leaves are plain bytes; otherwise dag-pb nodes that hold them."""
    hamt_fanout: int
    """Buckets in one shard of a big directory."""
    hamt_threshold: int
    """A directory estimated to be larger than this, in bytes, is sharded."""
    hamt_estimate: Literal["links", "block"]
    """What is compared: the bytes of names and CIDs, or the bytes of the whole block."""
    chunker: str | None = None
    """How files are cut instead of every *chunk_size* bytes, such as ``buzhash``; see `make_chunker`."""


V1_2025: Final = Profile("unixfs-v1-2025", 1, 1024 * 1024, 1024, True, 256, 256 * 1024, "block")
"""CIDs of version 1, chunks of 1 MiB, 1024 links a node, raw leaves. The default."""

V0_2015: Final = Profile("unixfs-v0-2015", 0, 256 * 1024, 174, False, 256, 256 * 1024, "links")
"""CIDs of version 0, chunks of 256 KiB, 174 links a node, dag-pb leaves: as the first tools made them."""

PROFILES: Final = {profile.name: profile for profile in (V1_2025, V0_2015)}
"""The profiles by their names."""


def find_profile(profile: Profile | str) -> Profile:
    """Return the profile of this name. :exc:`Unsupported`."""
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise Unsupported(f"there is no import profile {profile[:80]!r}; there are {', '.join(PROFILES)}")
    return PROFILES[profile]

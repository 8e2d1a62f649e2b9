"""HAMT-sharded directories: directories too big for one block, as a tree over the hashes of their names. Pure.

Source: specs.ipfs.tech/unixfs (HAMT sharding); the order of bits and of the bitfield's bytes as pinned by IPIP-499's
vectors: the hash is read from its most significant bit, the bitfield is a big-endian number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs
import mmh3

from sessionctx.content import PBLink, unixfs
from sessionctx.dag.unixfs.build import PLAIN, Attributes, Built, Emit, build_node
from sessionctx.dag.unixfs.profile import Profile
from sessionctx.errors import DagTooDeep, InvalidDag

MURMUR3_X64_64: Final = 0x22
HASH_BITS: Final = 64
MAX_FANOUT: Final = 1024


def name_hash(name: str) -> int:
    """Return the hash by which *name* is placed: the first 64 bits of murmur3-x64-128."""
    return mmh3.hash64(name.encode(), signed=False)[0]


# --- writing


def build_hamt(profile: Profile, emit: Emit, entries: Iterable[PBLink], attributes: Attributes = PLAIN) -> Built:
    """Build the shards of a directory with these *entries*, whose names differ. :exc:`InvalidDag` if two hash alike."""
    hashed = [(name_hash(entry.name or ""), entry) for entry in entries]
    return _build(profile, emit, hashed, HASH_BITS, attributes)


def _build(
    profile: Profile, emit: Emit, entries: list[tuple[int, PBLink]], bits_left: int, attributes: Attributes
) -> Built:
    """Build the shard of *entries*, which agree in all but the last *bits_left* bits. At most 22 calls deep."""
    bits, digits = _bits(profile.hamt_fanout), _digits(profile.hamt_fanout)
    if bits_left < bits:
        raise InvalidDag(f"the names {entries[0][1].name!r} and {entries[1][1].name!r} have the same hash")
    shift = bits_left - bits
    buckets: dict[int, list[tuple[int, PBLink]]] = {}
    for hashed, entry in entries:
        buckets.setdefault(hashed >> shift & profile.hamt_fanout - 1, []).append((hashed, entry))
    links: list[PBLink] = []
    for bucket, inside in sorted(buckets.items()):
        prefix = f"{bucket:0{digits}X}"
        if len(inside) == 1:
            entry = inside[0][1]
            links.append(PBLink(entry.cid, f"{prefix}{entry.name}", entry.tsize))
        else:
            shard = _build(profile, emit, inside, shift, PLAIN)
            links.append(PBLink(shard.cid, prefix, shard.dag_size))
    return build_node(profile, emit, _data(profile.hamt_fanout, buckets, attributes), tuple(links))


def _data(fanout: int, buckets: Iterable[int], attributes: Attributes) -> unixfs.Data:
    bitfield = sum(1 << bucket for bucket in buckets)
    return unixfs.Data(
        unixfs.Type.HAMT_SHARD,
        bitfield.to_bytes((bitfield.bit_length() + 7) // 8, "big"),
        hash_type=MURMUR3_X64_64,
        fanout=fanout,
        mode=attributes.mode,
        mtime=attributes.mtime,
    )


# --- reading


@attrs.frozen
class Place:
    """Where a shard hangs in the tree: the bits of the hash which all names below it share."""

    prefix: int = 0
    bits: int = 0
    fanout: int | None = None
    """The fanout of the shard above, which this one must have, too."""


TOP: Final = Place()


@attrs.frozen
class Sub:
    """A link to a shard below."""

    link: PBLink
    place: Place


class Shard:
    """One shard, checked: its links match its bitfield, and each name hangs where its hash says."""

    def __init__(self, data: unixfs.Data, links: tuple[PBLink, ...], place: Place = TOP) -> None:
        """Check the shard as far as can be done without looking at each link. :exc:`InvalidDag`, :exc:`DagTooDeep`."""
        self._fanout = fanout = _check_fanout(data, place)
        self._links = links
        self._place = place
        self._step = _bits(fanout)
        self._digits = _digits(fanout)
        if place.bits + self._step > HASH_BITS:
            raise DagTooDeep("a sharded directory is deeper than the hash of its names")
        bitfield = int.from_bytes(data.data or b"", "big")
        if bitfield >> fanout:
            raise InvalidDag(f"a shard of {fanout} buckets has a wider bitfield")
        if bitfield.bit_count() != len(links):
            raise InvalidDag(f"a shard says {bitfield.bit_count()} buckets are used, and has {len(links)} links")
        self._bitfield = bitfield

    def __iter__(self) -> Iterator[PBLink | Sub]:
        """Give the entries (links with their names) and the shards below, in order. :exc:`InvalidDag`."""
        used = self._bitfield
        for link in self._links:
            bucket = (used & -used).bit_length() - 1
            used &= used - 1
            yield self._read(link, bucket)

    def find(self, name: str) -> PBLink | Sub | None:
        """Return the entry called *name*, or the shard in which it would be, or ``None``. :exc:`InvalidDag`."""
        bucket = name_hash(name) >> HASH_BITS - self._place.bits - self._step & self._fanout - 1
        if not self._bitfield >> bucket & 1:
            return None
        index = (self._bitfield & (1 << bucket) - 1).bit_count()
        found = self._read(self._links[index], bucket)
        return None if isinstance(found, PBLink) and found.name != name else found

    def _read(self, link: PBLink, bucket: int) -> PBLink | Sub:
        label = link.name or ""
        if label[: self._digits] != f"{bucket:0{self._digits}X}":
            raise InvalidDag(f"the link {label[:80]!r} of a shard is not in its bucket, which is {bucket:X}")
        prefix = self._place.prefix << self._step | bucket
        bits = self._place.bits + self._step
        name = label[self._digits :]
        if not name:
            return Sub(link, Place(prefix, bits, self._fanout))
        if name_hash(name) >> HASH_BITS - bits != prefix:
            raise InvalidDag(f"the name {name[:80]!r} is in a shard where its hash does not belong")
        return PBLink(link.cid, name, link.tsize)


def _check_fanout(data: unixfs.Data, place: Place) -> int:
    fanout = data.fanout or 0
    if data.hash_type != MURMUR3_X64_64:
        raise InvalidDag(f"a shard hashes names with {data.hash_type}, not with murmur3-x64-64 ({MURMUR3_X64_64})")
    if fanout < 8 or fanout > MAX_FANOUT or fanout & fanout - 1:
        raise InvalidDag(f"a shard cannot have {fanout} buckets: 8 to {MAX_FANOUT}, a power of two")
    if place.fanout not in (None, fanout):
        raise InvalidDag(f"a shard of {fanout} buckets is below one of {place.fanout}")
    return fanout


def _bits(fanout: int) -> int:
    return fanout.bit_length() - 1


def _digits(fanout: int) -> int:
    return len(f"{fanout - 1:X}")

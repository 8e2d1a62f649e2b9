"""Blocks, and the check that bytes match their name."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NoReturn

from sessionctx.content import multihash
from sessionctx.content.cid import CID
from sessionctx.content.codecs import links
from sessionctx.content.codes import IDENTITY, MAX_BLOCK, RAW, SHA2_256, hash_name
from sessionctx.errors import BlockTooLarge, HashMismatch, Unsupported

MIN_DIGEST: Final = 20
"""Bytes in the shortest digest that is trusted as a name; identity is excepted.

The limit of kubo, so that all peers agree on what can be fetched: 160 bits, as in sha1. Finding other bytes for a
shorter name comes within reach of those who want to.
"""


def verify(cid: CID, data: bytes | memoryview) -> None:
    """Raise :exc:`HashMismatch` unless *data* is what *cid* names.

    :exc:`BlockTooLarge` above 2 MiB. :exc:`Unsupported` for a hash function that is not known here, and for a digest
    shorter than 20 bytes or longer than its function makes. :exc:`MissingExtra` for blake3 without its package.
    """
    name = cid.multihash
    if name[:2] == b"\x12\x20" and len(data) <= MAX_BLOCK and sha256(data).digest() == name[2:]:  # nearly always
        return
    verifier = Verifier(cid)
    verifier.update(data)
    verifier.finish()


class Verifier:
    """The check of :func:`verify` while the bytes arrive: ``update(chunk)`` for each, then ``finish()``.

    Making one raises :exc:`Unsupported` and :exc:`MissingExtra` as there.
    """

    __slots__ = ("_cid", "_code", "_digest", "_hasher", "_size")

    def __init__(self, cid: CID) -> None:
        self._cid = cid
        self._code, self._digest = multihash.split(cid.multihash)
        self._hasher = multihash.hasher(self._code)
        self._size = 0
        size = len(self._digest)
        if size > self._hasher.digest_size:
            raise Unsupported(
                f"{cid} has {size} bytes of {hash_name(self._code)}, which makes no more than "
                f"{self._hasher.digest_size}: nothing can match it"
            )
        if size < MIN_DIGEST and self._code != IDENTITY:
            raise Unsupported(f"{cid} has a digest of {size} bytes; under {MIN_DIGEST}, anyone could forge the data")

    def update(self, chunk: bytes | memoryview) -> None:
        """Add bytes. :exc:`BlockTooLarge` as soon as they are more than 2 MiB."""
        self._size += len(chunk)
        if self._size > MAX_BLOCK:
            raise BlockTooLarge(f"{self._cid} comes with over {MAX_BLOCK} bytes; blocks are not larger than that")
        self._hasher.update(chunk)

    def finish(self) -> None:
        """Raise :exc:`HashMismatch` unless all bytes together are what the CID names."""
        found = self._hasher.digest()
        if self._code != IDENTITY:
            found = found[: len(self._digest)]
        if found != self._digest:
            raise HashMismatch(
                f"{self._size} bytes are not what {self._cid} names: their {hash_name(self._code)} is "
                f"{found[:32].hex()}, not {self._digest[:32].hex()}"
            )


class Block:
    """Bytes that match their name. Immutable; equal when CID and bytes are."""

    __slots__ = ("cid", "data")
    cid: CID
    data: bytes

    def __init__(self, cid: CID, data: bytes) -> None:
        """Verify *data*; errors as in :func:`verify`."""
        data = bytes(data)  # no copy of what is bytes already
        verify(cid, data)
        object.__setattr__(self, "cid", cid)
        object.__setattr__(self, "data", data)

    @classmethod
    def of(cls, data: bytes, *, codec: int = RAW, hash: int = SHA2_256, version: int = 1) -> Block:  # noqa: A002
        """Name *data*. Errors as in :func:`verify`, and :exc:`InvalidCID` where version 0 cannot be."""
        if len(data) > MAX_BLOCK:
            raise BlockTooLarge(f"{len(data)} bytes are too many for a block; the limit is {MAX_BLOCK}")
        cid = CID.of(data, codec=codec, hash=hash, version=version)
        if hash != SHA2_256:
            Verifier(cid)  # refuses names that nobody would trust
        return cls.vouched(cid, data)

    @classmethod
    def vouched(cls, cid: CID, data: bytes) -> Block:
        """Make a block without a check: the caller vouches that these bytes were verified already."""
        block = cls.__new__(cls)
        object.__setattr__(block, "cid", cid)
        object.__setattr__(block, "data", data)
        return block

    def links(self) -> list[CID]:
        """Return the CIDs it links to; order and errors as in :func:`sessionctx.content.links`."""
        return links(self.cid.codec, self.data)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a block cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a block cannot be changed: {name}")

    def __len__(self) -> int:
        return len(self.data)

    def __eq__(self, other: object) -> bool:
        return self.cid == other.cid and self.data == other.data if isinstance(other, Block) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.cid)

    def __reduce__(self) -> tuple[object, ...]:
        return Block, (self.cid, self.data)

    def __repr__(self) -> str:
        return f"Block({str(self.cid)!r}, {len(self.data)} bytes)"

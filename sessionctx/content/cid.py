"""CID: the name of bytes, made from their digest.

Source: github.com/multiformats/cid. Version 0 is a bare sha2-256 multihash and means dag-pb; version 1 is
``varint(1) varint(codec) multihash``.
"""

from __future__ import annotations

import functools
from typing import Final

from sessionctx.content import multibase, multihash, varint
from sessionctx.content.codes import DAG_PB, IDENTITY, LIBP2P_KEY, RAW, SHA2_256
from sessionctx.content.mistakes import explain
from sessionctx.errors import ContentError, DecodeError, InvalidCID

MAX_BYTES: Final = 1 + varint.MAX_BYTES + varint.MAX_BYTES + 2 + multihash.MAX_DIGEST
"""Bytes in the longest CID."""
MAX_TEXT: Final = 1 + 8 * MAX_BYTES
"""Characters in the longest text that can be a CID: the longest one in base2."""

_new = object.__new__
_V0: Final = b"\x12\x20"
_COMMON: Final = frozenset(bytes((1, codec)) + _V0 for codec in range(0x80))
"""How most CIDs begin: version 1, a codec of one byte, sha2-256, 32 bytes."""


@functools.total_ordering
class CID:
    """The name of some bytes. Immutable; equal, ordered and hashed by its own bytes.

    Make one with :meth:`parse`, :meth:`from_bytes`, :meth:`read`, :meth:`of` or :meth:`new`.
    """

    __slots__ = ("_raw", "_text")
    _raw: bytes
    _text: str | None

    def __init__(self, *_: object) -> None:
        raise TypeError("use CID.parse(text), CID.from_bytes(data) or, to name data, CID.of(data)")

    @staticmethod
    def parse(text: str) -> CID:
        """Read the text form: version 0 (``Qm...``) or version 1 in any multibase, and nothing around it.

        :exc:`InvalidCID` says where it stops being one. IPNS keys (``k51...``) have the form of a CID but name a
        publisher instead of content, so they are refused here; :meth:`from_bytes` takes them, as data may link to them.
        """
        try:
            if text[:2] == "Qm" and len(text) == 46:
                return CID.from_bytes(multibase.decode("z" + text))
            cid = _parse_v1(text)
        except ContentError as error:
            raise InvalidCID(explain(text, str(error))) from None
        if text[0] == "b" and text.islower():  # exactly what we would write
            cid._text = text  # noqa: SLF001
        return cid

    @staticmethod
    def from_bytes(data: bytes | memoryview) -> CID:
        """Read the binary form; nothing may follow it. :exc:`InvalidCID`."""
        raw = data if type(data) is bytes else bytes(data)
        if not ((raw[:4] in _COMMON and len(raw) == 36) or (raw[:2] == _V0 and len(raw) == 34)):
            end = _end(raw, 0)
            if end != len(raw):
                raise InvalidCID(f"{len(raw) - end} bytes follow the CID")
        cid = _new(CID)
        cid._raw = raw  # noqa: SLF001
        cid._text = None  # noqa: SLF001
        return cid

    @staticmethod
    def read(data: bytes | memoryview, offset: int = 0) -> tuple[CID, int]:
        """Read the CID that begins at *offset*; return it and the offset behind it. :exc:`InvalidCID`."""
        end = _end(data, offset)
        return CID.from_bytes(data[offset:end]), end

    @staticmethod
    def of(data: bytes | memoryview, *, codec: int = RAW, hash: int = SHA2_256, version: int = 1) -> CID:  # noqa: A002
        """Name *data*. :exc:`Unsupported` and :exc:`MissingExtra` as in ``multihash.hasher``; else as :meth:`new`."""
        return CID.new(version, codec, multihash.wrap(hash, multihash.digest(hash, data)))

    @staticmethod
    def new(version: int, codec: int, multihash: bytes) -> CID:
        """Put a CID together. :exc:`InvalidCID` if the parts are wrong or do not fit each other."""
        if version == 0:
            if codec != DAG_PB or len(multihash) != 34 or multihash[:2] != _V0:
                raise InvalidCID("version 0 can only name dag-pb, by 32 bytes of sha2-256; use version 1")
            return CID.from_bytes(multihash)
        if version != 1:
            raise InvalidCID(f"there is no CID version {version}")
        return CID.from_bytes(b"\x01" + varint.encode(codec) + multihash)

    @property
    def version(self) -> int:
        """0 or 1."""
        return 0 if self._raw[0] == 0x12 else 1

    @property
    def codec(self) -> int:
        """The number of the codec that reads the bytes, such as ``codes.DAG_PB``."""
        raw = self._raw
        if raw[0] == 0x12:
            return DAG_PB
        return raw[1] if raw[1] < 0x80 else varint.decode(raw, 1)[0]

    @property
    def multihash(self) -> bytes:
        """Hash function, length and digest: the key under which a store keeps the bytes."""
        raw = self._raw
        if raw[0] == 0x12:
            return raw
        return raw[2:] if raw[1] < 0x80 else raw[varint.decode(raw, 1)[1] :]

    @property
    def hash_code(self) -> int:
        """The number of the hash function, such as ``codes.SHA2_256``."""
        return varint.decode(self.multihash)[0]

    @property
    def digest(self) -> bytes:
        """The digest alone."""
        return multihash.split(self.multihash)[1]

    @property
    def is_identity(self) -> bool:
        """Whether it holds the data itself: its digest is the data."""
        return self.multihash[0] == IDENTITY

    def to_v1(self) -> CID:
        """Return the same name as version 1."""
        return self if self._raw[0] == 1 else CID.new(1, DAG_PB, self._raw)

    def to_v0(self) -> CID:
        """Return the same name as version 0. :exc:`InvalidCID` unless it is dag-pb by sha2-256."""
        return self if self._raw[0] == 0x12 else CID.new(0, self.codec, self.multihash)

    def encode(self, base: str = "base32") -> str:
        """Return the text in a base by its name, such as ``"base36"``. :exc:`Unsupported` if there is no such base.

        :exc:`InvalidCID` for version 0, whose only form is base58btc: use :meth:`to_v1` first.
        """
        if self._raw[0] == 1:
            return multibase.encode(base, self._raw)
        if base != "base58btc":
            raise InvalidCID(f"{self} is of version 0, which has no {base} form; use to_v1() first")
        return multibase.encode(base, self._raw)[1:]

    def __str__(self) -> str:
        if self._text is None:
            self._text = self.encode("base32" if self._raw[0] == 1 else "base58btc")
        return self._text

    def __repr__(self) -> str:
        return f"CID({str(self)!r})"

    def __bytes__(self) -> bytes:
        return self._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __eq__(self, other: object) -> bool:
        return self._raw == other._raw if isinstance(other, CID) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._raw < other._raw if isinstance(other, CID) else NotImplemented

    def __reduce__(self) -> tuple[object, ...]:
        return CID.from_bytes, (self._raw,)


def _parse_v1(text: str) -> CID:
    if len(text) > MAX_TEXT:
        raise InvalidCID(f"{MAX_TEXT} characters is the longest that one can be")
    raw = multibase.decode(text)
    if raw[:1] == b"\x12":
        raise InvalidCID("version 0 is written without a first letter for its base; leave it out")
    cid = CID.from_bytes(raw)
    if raw[1] == LIBP2P_KEY:
        raise InvalidCID("it is an IPNS key, which names a publisher; give the CID that it points to")
    return cid


def _end(data: bytes | memoryview, offset: int) -> int:
    """Return the offset behind the CID that begins at *offset*, having checked all of it."""
    head = bytes(data[offset : offset + 4])
    if head in _COMMON:
        end = offset + 36
    elif head[:2] == _V0:
        end = offset + 34
    else:
        return _uncommon_end(data, offset)
    if end > len(data):
        raise InvalidCID(f"the CID is cut off: {len(data) - offset} of {end - offset} bytes are there")
    return end


def _uncommon_end(data: bytes | memoryview, offset: int) -> int:
    try:
        version, at = varint.decode(data, offset)
        if version != 1:
            raise InvalidCID(f"there is no CID version {version}")
        _, at = varint.decode(data, at)
        _, _, end = multihash.measure(data, at)
    except DecodeError as error:
        raise InvalidCID(str(error)) from None
    return end

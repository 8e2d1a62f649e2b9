"""Self-describing digests: ``varint(function) varint(length) digest``.

Source: github.com/multiformats/multihash. blake3 needs the extra ``sessionctx[blake3]``; all else is in hashlib.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Final, Protocol

from sessionctx.content import codes, varint
from sessionctx.errors import DecodeError, MissingExtra, Unsupported

MAX_DIGEST: Final = 128
"""Bytes in the longest digest; so identity names hold at most 128 bytes of data."""


class Hasher(Protocol):
    """What :func:`hasher` gives: a hash object as in :mod:`hashlib`."""

    @property
    def digest_size(self) -> int:
        """Bytes in its digest (for identity: at most)."""
        ...

    def update(self, data: bytes | memoryview, /) -> object:
        """Add bytes."""
        ...

    def digest(self) -> bytes:
        """Return the digest of all bytes added."""
        ...


class _Identity:
    """The function that changes nothing: the digest is the data."""

    digest_size = MAX_DIGEST

    def __init__(self) -> None:
        self._data = bytearray()

    def update(self, data: bytes | memoryview, /) -> None:
        self._data += data

    def digest(self) -> bytes:
        return bytes(self._data)


def _blake3() -> Hasher:
    try:
        from blake3 import blake3
    except ImportError as error:
        raise MissingExtra("blake3 digests need one more package: pip install 'sessionctx[blake3]'") from error
    return blake3()


_MAKERS: Final[dict[int, Callable[[], Hasher]]] = {
    codes.IDENTITY: _Identity,
    codes.SHA1: functools.partial(hashlib.sha1, usedforsecurity=False),
    codes.SHA2_256: hashlib.sha256,
    codes.SHA2_384: hashlib.sha384,
    codes.SHA2_512: hashlib.sha512,
    codes.SHA3_224: hashlib.sha3_224,
    codes.SHA3_256: hashlib.sha3_256,
    codes.SHA3_384: hashlib.sha3_384,
    codes.SHA3_512: hashlib.sha3_512,
    codes.BLAKE3: _blake3,
    **{code: functools.partial(hashlib.blake2b, digest_size=size) for size, code in enumerate(codes.BLAKE2B, 1)},
    **{code: functools.partial(hashlib.blake2s, digest_size=size) for size, code in enumerate(codes.BLAKE2S, 1)},
}


def hasher(code: int) -> Hasher:
    """Return a fresh hash object for a function by its number, such as ``codes.SHA2_256``.

    :exc:`Unsupported` if the function is not known here; :exc:`MissingExtra` for blake3 where its package is missing.
    """
    make = _MAKERS.get(code)
    if make is None:
        raise Unsupported(f"the hash function {codes.hash_name(code)} is not supported")
    return make()


def digest(code: int, data: bytes | memoryview) -> bytes:
    """Return the digest of *data*, in full length. Errors as in :func:`hasher`."""
    function = hasher(code)
    function.update(data)
    return function.digest()


def wrap(code: int, digest: bytes) -> bytes:
    """Return a digest as a multihash. :exc:`Unsupported` if it is longer than 128 bytes."""
    if len(digest) > MAX_DIGEST:
        raise Unsupported(f"a name holds at most {MAX_DIGEST} bytes of {codes.hash_name(code)}, not {len(digest)}")
    return varint.encode(code) + varint.encode(len(digest)) + digest


def split(multihash: bytes) -> tuple[int, bytes]:
    """Return the function and the digest of a multihash. :exc:`DecodeError` unless it is one, and nothing more."""
    code, start, end = measure(multihash)
    if end != len(multihash):
        raise DecodeError(f"{len(multihash) - end} bytes follow the digest")
    return code, multihash[start:]


def measure(data: bytes | memoryview, offset: int = 0) -> tuple[int, int, int]:
    """Return the function of the multihash that begins at *offset*, and where its digest begins and ends.

    :exc:`DecodeError`.
    """
    code, at = varint.decode(data, offset)
    size, at = varint.decode(data, at)
    if size > MAX_DIGEST:
        raise DecodeError(f"a digest of {size} bytes is over the limit of {MAX_DIGEST}")
    if at + size > len(data):
        raise DecodeError(f"the digest is cut off: {len(data) - at} of {size} bytes are there")
    return code, at, at + size

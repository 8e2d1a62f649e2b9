"""The numbers of the field: codecs, hash functions and the size limit, with their names for humans.

Source: the multicodec table (github.com/multiformats/multicodec), of which this is the part that meets content.
"""

from __future__ import annotations

from typing import Final

MAX_BLOCK: Final = 2 * 1024 * 1024
"""Bytes in the largest block which anyone sends or accepts."""

CBOR: Final = 0x51
RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
LIBP2P_KEY: Final = 0x72
DAG_JSON: Final = 0x0129
JSON: Final = 0x0200

IDENTITY: Final = 0x00
SHA1: Final = 0x11
SHA2_256: Final = 0x12
SHA2_512: Final = 0x13
SHA3_512: Final = 0x14
SHA3_384: Final = 0x15
SHA3_256: Final = 0x16
SHA3_224: Final = 0x17
BLAKE3: Final = 0x1E
SHA2_384: Final = 0x20
BLAKE2B: Final = range(0xB201, 0xB241)
"""blake2b with digests of 1 to 64 bytes."""
BLAKE2S: Final = range(0xB241, 0xB261)
"""blake2s with digests of 1 to 32 bytes."""
BLAKE2B_256: Final = 0xB220

_CODECS: Final = {
    CBOR: "cbor",
    RAW: "raw",
    DAG_PB: "dag-pb",
    DAG_CBOR: "dag-cbor",
    LIBP2P_KEY: "libp2p-key",
    0x78: "git-raw",
    DAG_JSON: "dag-json",
    JSON: "json",
    0x0202: "car",
}
_HASHES: Final = {
    IDENTITY: "identity",
    SHA1: "sha1",
    SHA2_256: "sha2-256",
    SHA2_512: "sha2-512",
    SHA3_512: "sha3-512",
    SHA3_384: "sha3-384",
    SHA3_256: "sha3-256",
    SHA3_224: "sha3-224",
    BLAKE3: "blake3",
    SHA2_384: "sha2-384",
    **{code: f"blake2b-{size * 8}" for size, code in enumerate(BLAKE2B, 1)},
    **{code: f"blake2s-{size * 8}" for size, code in enumerate(BLAKE2S, 1)},
}
_NUMBERS: Final = {name: code for table in (_CODECS, _HASHES) for code, name in table.items()}


def code_name(code: int) -> str:
    """Return the name of a codec, such as ``"dag-pb"``, or its number in hex where it has none here."""
    return _CODECS.get(code) or hex(code)


def hash_name(code: int) -> str:
    """Return the name of a hash function, such as ``"sha2-256"``, or its number in hex where it has none here."""
    return _HASHES.get(code) or hex(code)


def code_of(name: str) -> int:
    """Return the number of a codec or hash function by its name. :exc:`KeyError` if it has none here."""
    return _NUMBERS[name]

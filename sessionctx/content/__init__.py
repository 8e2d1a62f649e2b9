"""Names for bytes: CIDs and what they are made of, the codecs, the check that bytes match their name. Pure, no I/O."""

from __future__ import annotations

from sessionctx.content import (
    car,
    carindex,
    carv2,
    codes,
    dagcbor,
    dagjson,
    dagpb,
    multibase,
    multihash,
    unixfs,
    varint,
)
from sessionctx.content.block import Block, Verifier, verify
from sessionctx.content.car import CarDecoder
from sessionctx.content.cid import CID
from sessionctx.content.codecs import decode, encode, links
from sessionctx.content.codes import (
    BLAKE2B_256,
    BLAKE3,
    CBOR,
    DAG_CBOR,
    DAG_JSON,
    DAG_PB,
    IDENTITY,
    JSON,
    LIBP2P_KEY,
    MAX_BLOCK,
    RAW,
    SHA1,
    SHA2_256,
    SHA2_512,
    code_name,
    code_of,
    hash_name,
)
from sessionctx.content.dagpb import PBLink, PBNode
from sessionctx.content.data import Value
from sessionctx.content.memory import keep_what_is_freed
from sessionctx.content.scope import DAG_SCOPES, ByteRange, DagScope

__all__ = [
    "BLAKE2B_256",
    "BLAKE3",
    "CBOR",
    "CID",
    "DAG_CBOR",
    "DAG_JSON",
    "DAG_PB",
    "DAG_SCOPES",
    "IDENTITY",
    "JSON",
    "LIBP2P_KEY",
    "MAX_BLOCK",
    "RAW",
    "SHA1",
    "SHA2_256",
    "SHA2_512",
    "Block",
    "ByteRange",
    "CarDecoder",
    "DagScope",
    "PBLink",
    "PBNode",
    "Value",
    "Verifier",
    "car",
    "carindex",
    "carv2",
    "code_name",
    "code_of",
    "codes",
    "dagcbor",
    "dagjson",
    "dagpb",
    "decode",
    "encode",
    "hash_name",
    "keep_what_is_freed",
    "links",
    "multibase",
    "multihash",
    "unixfs",
    "varint",
    "verify",
]

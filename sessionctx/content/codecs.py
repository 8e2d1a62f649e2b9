"""The codecs that can be read and written here, and what each can tell about its bytes.

Reading is relaxed, unless asked otherwise: bytes are what their name says, and whoever wrote them may have been less
strict than the specification. Writing is always strict.
"""

from __future__ import annotations

from sessionctx.content import dagcbor, dagjson, dagpb, pbform
from sessionctx.content.cid import CID
from sessionctx.content.codes import CBOR, DAG_CBOR, DAG_JSON, DAG_PB, JSON, LIBP2P_KEY, RAW, code_name
from sessionctx.content.data import Value
from sessionctx.content.data import links as links_in
from sessionctx.errors import Unsupported


def decode(codec: int, data: bytes, *, strict: bool = False) -> Value:
    """Return the data that the bytes of a block hold; a dag-pb node as a map of ``Data`` and ``Links``.

    With *strict*, dag-cbor and dag-json must be written in the one way that these have. (dag-pb always must.)

    Raises:
        DecodeError: they break the rules of the codec.
        BlockTooLarge: they are over 2 MiB.
        Unsupported: it is none of raw, dag-pb, dag-cbor, dag-json, cbor and json.
    """
    if codec == RAW:
        return data
    if codec == DAG_PB:
        return pbform.form_of(dagpb.decode(data))
    if codec in (DAG_CBOR, CBOR):
        return dagcbor.decode(data, strict=strict and codec == DAG_CBOR)
    if codec == DAG_JSON:
        return dagjson.decode(data, strict=strict)
    if codec == JSON:
        return dagjson.parse(data)
    raise _unsupported(codec)


def encode(codec: int, value: Value) -> bytes:
    """Return the bytes of *value*, strictly.

    Raises:
        TypeError, ValueError: the codec cannot hold it.
        BlockTooLarge: they would be over 2 MiB.
        Unsupported: as for `decode`.
    """
    if codec == RAW:
        if not isinstance(value, bytes):
            raise TypeError(f"a raw block is bytes, not {type(value).__name__}")
        return value
    if codec == DAG_PB:
        return dagpb.encode(pbform.node_of(value))
    if codec in (DAG_CBOR, CBOR):
        return dagcbor.encode(value)
    if codec in (DAG_JSON, JSON):
        return dagjson.encode(value, links=codec == DAG_JSON)
    raise _unsupported(codec)


def links(codec: int, data: bytes) -> list[CID]:
    """Return the CIDs that *data* links to, with repeats, in the order in which they are written.

    Plain json and cbor have none. :exc:`Unsupported` for codecs that cannot be read here; :exc:`DecodeError`.
    """
    if codec in (RAW, CBOR, JSON):
        return []
    if codec == DAG_PB:
        return [link.cid for link in dagpb.decode(data).links]
    return links_in(decode(codec, data))


def _unsupported(codec: int) -> Unsupported:
    why = ": an IPNS key names a publisher, not content" if codec == LIBP2P_KEY else ""
    return Unsupported(f"the codec {code_name(codec)} cannot be read here{why}")

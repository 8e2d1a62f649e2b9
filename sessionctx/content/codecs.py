"""What a codec can tell about its bytes."""

from __future__ import annotations

from sessionctx.content import dagcbor, dagpb
from sessionctx.content.cid import CID
from sessionctx.content.codes import DAG_CBOR, DAG_PB, LIBP2P_KEY, RAW, code_name
from sessionctx.errors import Unsupported


def links(codec: int, data: bytes) -> list[CID]:
    """Return the CIDs that *data* links to, with repeats, in the order of the links (dag-cbor: level by level).

    :exc:`Unsupported` for codecs other than raw, dag-pb and dag-cbor; :exc:`DecodeError`.
    """
    if codec == RAW:
        return []
    if codec == DAG_PB:
        return [link.cid for link in dagpb.decode(data).links]
    if codec == DAG_CBOR:
        return dagcbor.links(dagcbor.decode(data))
    why = ": an IPNS key names a publisher, not content" if codec == LIBP2P_KEY else ""
    raise Unsupported(f"the codec {code_name(codec)} cannot be read here{why}")

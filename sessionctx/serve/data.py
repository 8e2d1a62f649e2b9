"""Data: blocks of dag-json, dag-cbor, json and cbor as they are, or as a page.

Nothing is written anew in another codec: that is for clients, which can check the block first.

Sources: path gateway specification; IPIP-328 (codecs), IPIP-524 (no conversions).
"""

from __future__ import annotations

from sessionctx.content import CBOR, DAG_CBOR, DAG_JSON, JSON, code_name
from sessionctx.dag import Resolved
from sessionctx.serve import answer, pages
from sessionctx.serve.accept import TYPES, Format
from sessionctx.serve.exchange import Exchange
from sessionctx.serve.request import Refused, Request

_CODECS: dict[int, Format] = {DAG_JSON: "dag-json", DAG_CBOR: "dag-cbor", JSON: "json", CBOR: "cbor"}
_AS: dict[int, frozenset[Format]] = {
    DAG_JSON: frozenset({"", "dag-json", "json"}),
    DAG_CBOR: frozenset({"", "dag-cbor", "cbor"}),
    JSON: frozenset({"", "json"}),
    CBOR: frozenset({"", "cbor"}),
}
"""What a block can be asked for as: its codec, or the plain one that whoever knows no links reads it as."""


async def send(exchange: Exchange, request: Request, found: Resolved) -> None:
    """Answer with the block that was *found*, if it is what is wanted."""
    if found.rest:
        raise Refused(
            501,
            f"The path ends inside of {found.cid}. Ask for that, and look into it: "
            "reading IPLD Kinds other than Links (CBOR Tag 42) is not implemented.",
        )
    wanted = request.wanted.format
    if wanted not in _AS.get(found.cid.codec, ()):
        raise Refused(406, f"{found.cid} is {code_name(found.cid.codec)}, and not converted: get it as ?format=raw.")
    data = (await exchange.blocks.get(found.cid)).data
    if request.wanted.html and found.cid.codec in (DAG_JSON, DAG_CBOR) and request.query.get("download") != "true":
        await _page(exchange, request, found, data)
        return
    headers = _headers(request, found, wanted or _CODECS[found.cid.codec])
    if not await exchange.unmodified(request, headers):
        await exchange.whole(request, headers, data)


def _headers(request: Request, found: Resolved, wanted: Format) -> dict[str, str]:
    extension = wanted.removeprefix("dag-")
    kind = "attachment" if extension == "cbor" or request.query.get("download") == "true" else "inline"
    return {
        "Content-Type": TYPES[wanted],
        "Content-Disposition": answer.disposition(kind, request.query.get("filename") or f"{found.cid}.{extension}"),
        "Cache-Control": answer.IMMUTABLE,
        "ETag": f'"{found.cid}.{wanted}"',
        **answer.negotiated(request),
        **answer.located(request, found.roots),
    }


async def _page(exchange: Exchange, request: Request, found: Resolved, held: bytes) -> None:
    headers = {
        **pages.HEADERS,
        "ETag": f'"DagIndex-{pages.VERSION}_CID-{found.cid}"',
        **answer.negotiated(request),
        **answer.located(request, found.roots),
    }
    if not await exchange.unmodified(request, headers):
        page = pages.data_page(request.content_path, found.cid, held)
        await exchange.whole(request, headers, page.encode())

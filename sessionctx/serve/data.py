"""Data: blocks of dag-json, dag-cbor, json and cbor as they are, in another of these codecs, or as a page.

Sources: path gateway specification; IPIP-328 (codecs), IPIP-524 (conversions).
"""

from __future__ import annotations

from sessionctx.content import CBOR, CID, DAG_CBOR, DAG_JSON, JSON, decode, encode, links
from sessionctx.dag import Resolved
from sessionctx.serve import answer, pages
from sessionctx.serve.accept import TYPES, Format
from sessionctx.serve.exchange import Exchange
from sessionctx.serve.request import Refused, Request

_CODECS: dict[int, Format] = {DAG_JSON: "dag-json", DAG_CBOR: "dag-cbor", JSON: "json", CBOR: "cbor"}
_WRITTEN: dict[Format, int] = {"dag-json": DAG_JSON, "dag-cbor": DAG_CBOR, "json": DAG_JSON, "cbor": DAG_CBOR}
"""In which codec each format is written, where it is not that of the block."""


async def send(exchange: Exchange, request: Request, found: Resolved) -> None:
    """Answer with the block that was *found*, in the format that is wanted or else in its own."""
    if found.rest:
        raise Refused(
            501,
            f"The path ends inside of {found.cid}. Ask for that, and look into it: "
            "reading IPLD Kinds other than Links (CBOR Tag 42) is not implemented.",
        )
    block = await exchange.blocks.get(found.cid)
    own = _CODECS.get(found.cid.codec)
    if request.wanted.html:
        await _page(exchange, request, found, block.data)
        return
    wanted = request.wanted.format or own
    assert wanted is not None
    headers = _headers(request, found, wanted)
    if not await exchange.unmodified(request, headers):
        await exchange.whole(request, headers, _bytes(found.cid, block.data, own, wanted))


def _bytes(cid: CID, held: bytes, own: Format | None, wanted: Format) -> bytes:
    """Return what a block holds in the *wanted* format; as it is, where that says no more than its *own*."""
    if (
        own is not None
        and own.removeprefix("dag-") == wanted.removeprefix("dag-")
        and not (own in ("json", "cbor") and wanted != own)
    ):
        return held
    codec = _WRITTEN[wanted]
    source = codec if own in ("json", "cbor") and own == wanted.removeprefix("dag-") else cid.codec
    try:
        return encode(codec, decode(source, held))
    except (TypeError, ValueError) as error:
        raise Refused(406, f"{cid} cannot be written as {wanted}: {error}.") from None


def _headers(request: Request, found: Resolved, wanted: Format) -> dict[str, str]:
    extension = wanted.removeprefix("dag-")
    kind = "attachment" if extension == "cbor" or request.query.get("download") == "true" else "inline"
    return {
        "Content-Type": TYPES[wanted],
        "Content-Disposition": answer.disposition(kind, request.query.get("filename") or f"{found.cid}.{extension}"),
        "Cache-Control": answer.IMMUTABLE,
        "ETag": f'"{found.cid}.{wanted}"',
        "Vary": "Accept",
        **answer.located(request, found.roots),
    }


async def _page(exchange: Exchange, request: Request, found: Resolved, held: bytes) -> None:
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "ETag": f'"DagIndex-{pages.VERSION}_CID-{found.cid}"',
        "Vary": "Accept",
        **answer.located(request, found.roots),
    }
    if not await exchange.unmodified(request, headers):
        value, leads = decode(found.cid.codec, held), links(found.cid.codec, held)
        page = pages.data_page(request.content_path, found.cid, value, leads)
        await exchange.whole(request, headers, page.encode())

"""A file, directory or symlink as a tar, made while it is sent.

Source: path gateway specification; IPIP-288.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from sessionctx.dag import Files, Resolved
from sessionctx.errors import UnsafePath
from sessionctx.serve import answer
from sessionctx.serve.accept import TYPES
from sessionctx.serve.exchange import Exchange
from sessionctx.serve.request import Refused, Request


async def send(exchange: Exchange, request: Request, found: Resolved) -> None:
    """Answer with what was *found*; all in it is below its CID as a name."""
    headers = {
        "Content-Type": TYPES["tar"],
        "Content-Disposition": answer.disposition("attachment", request.query.get("filename") or f"{found.cid}.tar"),
        "Cache-Control": answer.IMMUTABLE,
        "ETag": f'W/"{found.cid}.x-tar"',
        "Accept-Ranges": "none",
        **answer.negotiated(request),
        **answer.located(request, found.roots),
    }
    if await exchange.unmodified(request, headers):
        return
    async with Files(exchange.blocks).tar(found.cid, ahead=exchange.ahead) as chunks:
        first = await _first(chunks)  # errors up to here have a status of their own
        await exchange.start(200, headers)
        if request.method == "GET":
            await exchange.piece(first)
            async for chunk in chunks:
                await exchange.piece(chunk)
    await exchange.end()


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    try:
        return await anext(chunks)
    except UnsafePath as error:  # the second sentence is the conformance suite's, which means "not allowed"
        text = f"{error}. relative UnixFS paths outside the root are now allowed, use CAR instead"
        raise Refused(422, text) from None

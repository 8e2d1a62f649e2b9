"""The gateway: what a store has, over HTTP, to be verified by whoever reads it, or as files for browsers.

Sources: trustless and path gateway specifications, https://specs.ipfs.tech/http-gateways/.
"""

from __future__ import annotations

from functools import partial

from sessionctx import session
from sessionctx.blocks import Blockstore
from sessionctx.content import CBOR, DAG_CBOR, DAG_JSON, JSON
from sessionctx.dag import Resolved, car_stream, resolve
from sessionctx.serve import answer, asgi, data, files, tar
from sessionctx.serve.asgi import App, Receive, Scope, Send
from sessionctx.serve.exchange import CORS, Exchange
from sessionctx.serve.request import Refused, Request, read
from sessionctx.session import require_trio


def gateway(blocks: Blockstore, *, ahead: int = 4, trustless: bool = False) -> App:
    """An ASGI app that serves what *blocks* has at ``/ipfs/{cid}/{path}``.

    With ``?format=raw`` or ``car`` (or an ``Accept`` header that says so) it serves blocks, and CARs of what is below a
    path, which readers verify. Otherwise it serves files with their ranges and types, directories as pages or with
    their ``index.html``, or as JSON with ``format=json``; data as it is, or as a page for browsers; and ``format=tar``.

    It asks *blocks* for each block, so give it a local store for a gateway that answers from what it has, or a store
    with peers behind it for one that fetches. It needs an ASGI server that runs on trio, see `run`; under asyncio it
    raises :exc:`~sessionctx.errors.NotInTrio`.

    A body whose blocks are not all there ends in the middle: the app raises, and the server closes the connection
    without the end of the body. A request of a client that went away is dropped.

    Args:
        blocks: where to get the blocks.
        ahead: how many blocks are read ahead for each answer in progress, which bounds the memory that it takes. The
            default suits a local store; 32 suits one that fetches.
        trustless: serve only what can be verified: raw blocks and CARs.

    Raises:
        TypeError: *blocks* is no store.
    """
    if not hasattr(blocks, "get"):
        raise TypeError("a gateway serves a block store: node.store, or node.blocks to fetch what is missing")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        require_trio("serve.gateway")
        if scope["type"] == "http":
            await Exchange(blocks, ahead, scope, receive, send).run(partial(_serve, trustless=trustless))
        elif scope["type"] == "lifespan":
            await asgi.lifespan(receive, send)
        else:
            await send({"type": "websocket.close"})

    return app


async def _serve(exchange: Exchange, *, trustless: bool) -> None:
    if exchange.scope["method"] == "OPTIONS":
        await exchange.start(204, {"Allow": CORS["Access-Control-Allow-Methods"]})
        await exchange.end()
        return
    request = read(exchange.scope, trustless=trustless)
    with session.begin(default_limits=exchange.default_limits):  # one request, one session
        if request.only_if_cached and not await exchange.blocks.has(request.cid):
            raise Refused(412, "It is not here, and the request says only-if-cached.")
        await _answer(exchange, request)


async def _answer(exchange: Exchange, request: Request) -> None:
    wanted = request.wanted.format
    known = wanted == "car" or (wanted == "raw" and not request.path)  # its tag is, without a look at any block
    if known and answer.unmodified(request, answer.etag(request)) and await exchange.blocks.has(request.cid):
        await exchange.start(304, answer.unchanging(request))
        await exchange.end()
    elif wanted == "car":
        await _car(exchange, request)
    else:
        await _found(exchange, request, await _resolve(exchange, request))


async def _resolve(exchange: Exchange, request: Request) -> Resolved:
    if not request.path:
        return Resolved(request.cid, roots=(request.cid,))
    return await resolve(exchange.blocks, request.cid, request.path)


async def _found(exchange: Exchange, request: Request, found: Resolved) -> None:
    """Answer with the block or file that the path has led to."""
    wanted = request.wanted.format
    if wanted == "raw":
        headers = answer.headers(request, found.roots)
        if not (request.path and await exchange.unmodified(request, headers)):
            await exchange.whole(request, headers, (await exchange.blocks.get(found.cid)).data)
    elif wanted == "tar":
        await tar.send(exchange, request, found)
    elif wanted in ("dag-json", "dag-cbor") or found.cid.codec in (DAG_JSON, DAG_CBOR, JSON, CBOR):
        await data.send(exchange, request, found)
    else:
        await files.send(exchange, request, found)


async def _car(exchange: Exchange, request: Request) -> None:
    found = await _resolve(exchange, request)
    headers = answer.headers(request, found.roots)
    if request.method == "HEAD":
        await exchange.blocks.get(found.cid)
        await exchange.start(200, headers)
        await exchange.end()
        return
    async with car_stream(
        exchange.blocks,
        request.cid,
        path=request.path,
        scope=request.scope,
        span=request.span,
        dups=request.wanted.dups,
        ahead=exchange.ahead,
    ) as chunks:
        first = await anext(chunks)  # errors up to here have a status of their own
        await exchange.start(200, headers)
        await exchange.piece(first)
        async for chunk in chunks:
            await exchange.piece(chunk)
    await exchange.end()

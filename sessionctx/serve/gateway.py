"""The trustless gateway: blocks and CARs over HTTP, so that whoever reads them can verify them.

Source: trustless gateway specification, https://specs.ipfs.tech/http-gateways/trustless-gateway/.
"""

from __future__ import annotations

import attrs
import trio

from sessionctx import session
from sessionctx.blocks import Blockstore, default_limits
from sessionctx.dag import car_stream, resolve
from sessionctx.errors import (
    DagError,
    DecodeError,
    FetchFailed,
    LimitReached,
    NoPeers,
    NotADirectory,
    NotFound,
    PathNotFound,
    SessionctxError,
    Unsupported,
)
from sessionctx.serve import answer, asgi
from sessionctx.serve.asgi import App, Receive, Scope, Send
from sessionctx.serve.log import logger
from sessionctx.serve.request import Refused, Request, read
from sessionctx.session import Limits, require_trio


def gateway(blocks: Blockstore, *, ahead: int = 4) -> App:
    """An ASGI app that serves what *blocks* has at ``/ipfs/{cid}``: raw blocks, and CARs of what is below a path.

    It asks *blocks* for each block, so give it a local store for a gateway that answers from what it has, or a store
    with peers behind it for one that fetches. It needs an ASGI server that runs on trio, see `run`; under asyncio it
    raises :exc:`~sessionctx.errors.NotInTrio`.

    A CAR whose blocks are not all there ends in the middle: the app raises, and the server closes the connection
    without the end of the body. A request of a client that went away is dropped.

    Args:
        blocks: where to get the blocks.
        ahead: how many blocks are read ahead for each CAR in progress, which bounds the memory that it takes. The
            default suits a local store; 32 suits one that fetches.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        require_trio("serve.gateway")
        if scope["type"] == "http":
            await _Exchange(blocks, ahead, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await asgi.lifespan(receive, send)
        else:
            await send({"type": "websocket.close"})

    return app


@attrs.define(eq=False)
class _Exchange:
    """One request and its answer."""

    _blocks: Blockstore
    _ahead: int
    _scope: Scope
    _receive: Receive
    _send: Send
    _begun: bool = attrs.field(default=False, init=False)
    _watching: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    @property
    def default_limits(self) -> Limits | None:
        """Those of the session that answers it, if none is bound: the store's."""
        return default_limits(self._blocks)

    async def run(self) -> None:
        """Answer, unless the client goes away before the answer is complete."""
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            try:
                await self._run()
            except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery, which would wrap it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _watch(self, answering: trio.CancelScope) -> None:
        with self._watching:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            answering.cancel()

    async def _run(self) -> None:
        try:
            await self._answer(read(self._scope))
        except Refused as refused:
            await self._refuse(refused)
        except SessionctxError as error:
            if self._begun:
                raise
            told = _refusal(error)
            if told.status >= 500:
                logger.warning("%s: %s", self._scope["path"], error)
            await self._refuse(told)

    @session.operation  # one request, one session: what is learnt on the path serves for what follows
    async def _answer(self, request: Request) -> None:
        if answer.unmodified(request) and await self._blocks.has(request.cid):
            await self._start(304, answer.unchanging(request))
            await self._end()
        elif request.only_if_cached and not await self._blocks.has(request.cid):
            raise Refused(412, "It is not here, and the request says only-if-cached.")
        elif request.wanted.format == "raw":
            await self._block(request)
        else:
            await self._car(request)

    async def _block(self, request: Request) -> None:
        data = (await self._blocks.get(request.cid)).data
        headers = answer.headers(request, [request.cid])
        part = answer.byte_range(request, len(data))
        if part is not None:
            begin, end = part
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
            data = data[begin:end]
        headers["Content-Length"] = str(len(data))
        await self._start(200 if part is None else 206, headers)
        await self._end(data)

    async def _car(self, request: Request) -> None:
        found = await resolve(self._blocks, request.cid, request.path)
        headers = answer.headers(request, found.roots)
        if request.method == "HEAD":
            await self._blocks.get(found.cid)
            await self._start(200, headers)
            await self._end()
            return
        async with car_stream(
            self._blocks,
            request.cid,
            path=request.path,
            scope=request.scope,
            span=request.span,
            dups=request.wanted.dups,
            ahead=self._ahead,
        ) as chunks:
            first = await anext(chunks)  # errors up to here have a status of their own
            await self._start(200, headers)
            await asgi.body(self._send, first, more=True)
            async for chunk in chunks:
                await asgi.body(self._send, chunk, more=True)
        await self._end()

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self._begun = True
        await asgi.start(self._send, status, headers)

    async def _end(self, data: bytes = b"") -> None:
        self._watching.cancel()  # servers say "disconnect" after the last piece, too, some before `send` returns
        await asgi.body(self._send, b"" if self._scope["method"] == "HEAD" else data)

    async def _refuse(self, refused: Refused) -> None:
        text = (refused.text + "\n").encode()
        about = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(text)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **refused.headers,
        }
        await self._start(refused.status, about)
        await self._end(text)


_REFUSALS: tuple[tuple[tuple[type[SessionctxError], ...], int, str], ...] = (  # the first that fits counts
    ((PathNotFound, NotADirectory), 404, "{error}"),
    ((NotFound, NoPeers), 404, "It is not here."),
    ((FetchFailed,), 502, "It is not here, and the peers of this gateway could not serve it. Try again later."),
    ((LimitReached,), 503, "This gateway has reached a limit of its own. Try again later."),
    ((DagError, DecodeError), 422, "The blocks are here but do not form what was asked for: {error}"),
    ((Unsupported,), 501, "{error}"),
    ((SessionctxError,), 500, "This gateway cannot read its store. Its log says more."),
)


def _refusal(error: SessionctxError) -> Refused:
    """What a client is told about *error*: nothing about our peers and disks, which are not its business."""
    status, text = next((status, text) for kinds, status, text in _REFUSALS if isinstance(error, kinds))
    return Refused(status, text.format(error=error))

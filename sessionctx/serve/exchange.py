"""One request and its answer: begun once, ended once, dropped when the client goes away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import attrs
import trio

from sessionctx.blocks import Blockstore, default_limits
from sessionctx.errors import SessionctxError
from sessionctx.serve import answer, asgi
from sessionctx.serve.asgi import Receive, Scope, Send
from sessionctx.serve.log import logger
from sessionctx.serve.refusals import refusal_of
from sessionctx.serve.request import Refused, Request
from sessionctx.session import Limits

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Range, User-Agent, X-Requested-With",
    "Access-Control-Expose-Headers": "Content-Range, Content-Length, X-Ipfs-Path, X-Ipfs-Roots, X-Chunked-Output, "
    "X-Stream-Output, Ipfs-Uri",
}
"""Scripts of any origin may read what a gateway serves: it is public, and asks for no credentials."""
_CORS: Final = asgi.fields(CORS)


@attrs.define(eq=False)
class Exchange:
    """One request and its answer."""

    blocks: Blockstore
    ahead: int
    """Blocks that are read ahead for it."""
    scope: Scope
    _receive: Receive
    _send: Send
    _begun: bool = attrs.field(default=False, init=False)
    _watching: trio.CancelScope | None = attrs.field(default=None, init=False)

    @property
    def default_limits(self) -> Limits | None:
        """Those of the session that answers it, if none is bound: the store's."""
        return default_limits(self.blocks)

    async def run(self, work: Callable[[Exchange], Awaitable[None]]) -> None:
        """Answer by doing the *work*, unless the client goes away before the answer is complete."""
        if asgi.CANCELS in cast("Mapping[str, object]", self.scope.get("extensions") or {}):
            await self._do(work)
        else:
            await self._watched(work)

    async def _watched(self, work: Callable[[Exchange], Awaitable[None]]) -> None:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            try:
                await self._do(work)
            except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery, which would wrap it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _watch(self, answering: trio.CancelScope) -> None:
        with trio.CancelScope() as self._watching:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            answering.cancel()

    async def _do(self, work: Callable[[Exchange], Awaitable[None]]) -> None:
        try:
            await work(self)
        except Refused as refused:
            await self._refuse(refused)
        except SessionctxError as error:
            if self._begun:
                raise
            told = refusal_of(error)
            if told.status >= 500:
                logger.warning("%s: %s", self.scope["path"], error)
            await self._refuse(told)

    # --- answering

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """Send the head; the body comes next."""
        self._begun = True
        await asgi.start(self._send, status, [*asgi.fields(headers), *_CORS])

    async def piece(self, data: bytes) -> None:
        """Send a piece of the body, and more will follow."""
        await asgi.body(self._send, data, more=True)

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece; an answer to HEAD has none."""
        if self._watching is not None:
            self._watching.cancel()  # servers say "disconnect" after the last piece, too, some before `send` returns
        await asgi.body(self._send, b"" if self.scope["method"] == "HEAD" else data)

    async def whole(self, request: Request, headers: dict[str, str], data: bytes) -> None:
        """Send *data*, or the range of it that is asked for. Raises `Refused` if that lies outside."""
        part = answer.byte_range(request, len(data), headers["ETag"])
        if part is not None:
            begin, end = part
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
            data = data[begin:end]
        headers |= {"Content-Length": str(len(data)), "Accept-Ranges": "bytes"}
        await self.start(200 if part is None else 206, headers)
        await self.end(data)

    async def unmodified(self, request: Request, headers: dict[str, str], *more: str) -> bool:
        """Say that nothing has changed, if the client holds what the tag of *headers*, or one of *more*, names."""
        if not answer.unmodified(request, headers["ETag"], *more):
            return False
        kept = {"ETag", "Cache-Control", "Content-Location", "Vary", "Ipfs-Uri"}
        await self.start(304, {name: value for name, value in headers.items() if name in kept})
        await self.end()
        return True

    async def _refuse(self, refused: Refused) -> None:
        text = (refused.text + "\n").encode()
        about = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(text)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **refused.headers,
        }
        await self.start(refused.status, about)
        await self.end(text)

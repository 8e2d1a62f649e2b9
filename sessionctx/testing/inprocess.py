"""A gateway without a network: a real `GatewayTransport`, whose requests go straight to an ASGI app, on trio's clock.

::

    app = faults.truncating(serve.gateway(store), after=100_000)
    async with serving(app, latency=0.05) as gateway:
        with session.begin(peers=[gateway]):
            ...

So what is between a request and its blocks (statuses, headers, redirects, limits, the decoding of CARs) can be tested
on a `trio.testing.MockClock`, without sockets. Bytes on the wire, TLS and connections are left out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Self, cast
from urllib.parse import unquote

import attrs
import httpx
import trio

from sessionctx import session
from sessionctx.testing.chance import Chance, dice, draw
from sessionctx.testing.faults import App, Message
from sessionctx.transports import HTTP, GatewayTransport

__all__ = ["serving"]

_FAILED: Final = {"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]}


@asynccontextmanager
async def serving(
    app: App, url: str = "http://gateway.test", *, latency: Chance = 0.0, seed: int = 0, http: HTTP | None = None
) -> AsyncGenerator[GatewayTransport]:
    """Lend a transport whose gateway is *app*.

    The app runs in tasks of this block, outside the session of whoever asks. Where it raises, the client sees what it
    would see of a server: status 500 before the answer has begun, and then a connection that is closed too early.

    Args:
        app: an ASGI app that runs on trio, such as ``serve.gateway(store)``; wrap it with `sessionctx.testing.faults`.
        url: what the gateway shall be called; nobody looks for it.
        latency: seconds from a request to the moment at which the app gets it.
        seed: of the latency, if it is a distribution.
        http: the limits of the client; its own *client* is replaced.
    """
    async with trio.open_nursery() as nursery:
        transport = _AppTransport(app, nursery, lambda n: draw(latency, dice(seed, url, n)))
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            yield GatewayTransport(url, http=attrs.evolve(http or HTTP(), client=client))
        nursery.cancel_scope.cancel()


class _AppTransport(httpx.AsyncBaseTransport):
    """Asks an ASGI app, and hands its answer on while it is being made."""

    def __init__(self, app: App, nursery: trio.Nursery, latency: Callable[[int], float]) -> None:
        self._app = app
        self._nursery = nursery
        self._latency = latency
        self._requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        wait = self._latency(self._requests)
        self._requests += 1
        await trio.sleep(wait)
        send, receive = trio.open_memory_channel[Message](0)
        scope = trio.CancelScope()
        body = _Body(receive, scope)
        with session.leave():
            self._nursery.start_soon(self._answer, request, scope, send)
        try:
            begun = await body.next()
        except BaseException:
            scope.cancel()
            raise
        return httpx.Response(
            cast("int", begun["status"]), headers=cast("list[tuple[bytes, bytes]]", begun["headers"]), stream=body
        )

    async def _answer(
        self, request: httpx.Request, scope: trio.CancelScope, answer: trio.MemorySendChannel[Message]
    ) -> None:
        begun = False

        async def send(message: Message) -> None:
            nonlocal begun
            begun = True
            await answer.send(message)

        with scope:
            async with answer:
                try:
                    await self._app(_scope_of(request), _receiver(), send)
                except Exception:  # noqa: BLE001 - what the app raises is what a server would log
                    if not begun:
                        await answer.send(dict(_FAILED))
                        await answer.send({"type": "http.response.body"})


class _Body(httpx.AsyncByteStream):
    """The body of an answer; closing it is what an app sees as a client that went away."""

    def __init__(self, messages: trio.MemoryReceiveChannel[Message], scope: trio.CancelScope) -> None:
        self._messages = messages
        self._scope = scope
        self._over = False

    async def next(self) -> Message:
        """Return the next message of the app."""
        try:
            return await self._messages.receive()
        except trio.EndOfChannel:
            raise httpx.RemoteProtocolError("the connection was closed before the answer was complete") from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            message = await self.next()
            self._over = not message.get("more_body", False)
            if piece := cast("bytes", message.get("body", b"")):
                return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._scope.cancel()
        self._messages.close()
        await trio.lowlevel.checkpoint()


def _receiver() -> Callable[[], Awaitable[Message]]:
    """A `receive` that gives the empty body of a GET, and then nothing: who goes away cancels the app."""
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await trio.sleep_forever()
        asked = True
        await trio.lowlevel.checkpoint()
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


def _scope_of(request: httpx.Request) -> dict[str, object]:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
        "server": (request.url.host, request.url.port),
    }

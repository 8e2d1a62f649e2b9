"""Where httpx comes in: the pool as a transport of an httpx client, and an httpx client in place of the pool."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cache
from typing import Final, Self, cast

import h11
import httpx
import trio

from sessionctx.errors import InvalidPeer
from sessionctx.transports.http.body import Body, Buffer
from sessionctx.transports.http.connection import Connection
from sessionctx.transports.http.pool import Turn
from sessionctx.transports.http.response import Answer
from sessionctx.transports.http.target import endpoint_at
from sessionctx.transports.http.trouble import (
    BadHTTP,
    BrokenOff,
    ConnectionLate,
    HeadLate,
    NotConnected,
    Trouble,
    reason,
)

_AS_HTTPX: Final[dict[type[Trouble], type[httpx.TransportError]]] = {
    NotConnected: httpx.ConnectError,
    ConnectionLate: httpx.ConnectTimeout,
    HeadLate: httpx.ReadTimeout,
    BrokenOff: httpx.ReadError,
    BadHTTP: httpx.RemoteProtocolError,
}


@cache
def public_authorities() -> ssl.SSLContext:
    """Return a context that trusts the usual public authorities, whatever the environment says."""
    return httpx.create_ssl_context(trust_env=False)


class HttpxTransport(httpx.AsyncBaseTransport):
    """Our connections below an httpx client: ``httpx.AsyncClient(transport=HttpxTransport())``, in a trio run.

    It speaks HTTP/1.1 and keeps the client's timeouts, except for those of writing. What belongs to a client stays
    there: authentication, headers, cookies, redirects, event hooks. For a proxy or HTTP/2, mount a transport of
    httpx's beside it. Connections belong to the endpoint and the trio run, shared by all transports with the same
    *tls*, and by the gateways: closing the client closes none. A request waits while *connections* or more are in use
    at its endpoint, by whomever, and until those are served that came before it.
    """

    def __init__(self, *, connections: int = 16, tls: ssl.SSLContext | None = None) -> None:
        self._connections = connections
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request*; the connection is given back when the answer is closed. Raises httpx's transport errors."""
        timeouts = cast("Mapping[str, float | None]", request.extensions.get("timeout", {}))
        seconds = {name: _seconds(timeouts.get(name)) for name in ("pool", "connect", "read")}
        async with AsyncExitStack() as stack:
            try:
                endpoint = endpoint_at(f"{request.url.scheme}://{request.url.netloc.decode()}")
                tls = (self._tls or public_authorities()) if endpoint.scheme == "https" else None
                with trio.fail_after(seconds["pool"]):
                    turn = await stack.enter_async_context(Turn(endpoint, tls, self._connections))
                sent = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
                connect, header = seconds["connect"], seconds["read"]
                head, connection = await turn.ask(sent, _body(request), connect=connect, header=header)
                stack.callback(turn.give_back, connection)
            except trio.TooSlowError as error:
                raise httpx.PoolTimeout(f"no connection became free within {seconds['pool']:g} s") from error
            except InvalidPeer as error:
                raise httpx.UnsupportedProtocol(str(error)) from error
            except h11.LocalProtocolError as error:
                raise httpx.LocalProtocolError(str(error)) from error
            except Trouble as trouble:
                raise _as_httpx(trouble) from trouble
            stream = _Stream(connection, stack.pop_all(), seconds["read"])
        extensions = {"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason}
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=stream, extensions=extensions)


class _Stream(httpx.AsyncByteStream):
    """The body of an answer, as httpx reads it."""

    def __init__(self, connection: Connection, stack: AsyncExitStack, idle: float) -> None:
        self._connection = connection
        self._stack = stack
        self._idle = idle

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        with trio.move_on_after(self._idle):
            try:
                chunk = await self._connection.receive()
            except Trouble as trouble:
                raise _as_httpx(trouble) from trouble
            if not chunk:
                raise StopAsyncIteration
            return chunk
        raise httpx.ReadTimeout(f"no bytes came for {self._idle:g} s")

    async def aclose(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def by_client(
    client: httpx.AsyncClient,
    url: str,
    headers: Mapping[str, str],
    *,
    known: bool,
    seconds: float,
    method: str = "GET",
    body: Body | None = None,
    went: Callable[[int], object] | None = None,
) -> AsyncGenerator[Answer]:
    """Ask through a client that was handed in, and lend the answer. Raises `Trouble`.

    Its own credentials are not sent on, behind a redirect to an endpoint that is not *known* (the first one).
    """
    content = None if body is None else _as_content(body, went)
    request = client.build_request(method, url, headers=headers, content=content, timeout=None)  # limits are the door's
    if not known:
        request.headers.pop("authorization", None)
    try:
        with trio.fail_after(seconds if body is None else math.inf):
            auth = httpx.USE_CLIENT_DEFAULT if known else None
            response = await client.send(request, stream=True, auth=auth, follow_redirects=False)
    except httpx.HTTPError as error:
        raise _as_trouble(error) from error
    except trio.TooSlowError:
        raise HeadLate(f"{seconds:g} s") from None
    chunks = aiter(cast("AsyncIterable[bytes]", response.stream))

    broken = False

    async def receive() -> bytes:
        nonlocal broken
        if broken:  # the client's generators have ended with the wait, and that must not look like the end of the body
            raise BrokenOff("reading it was given up")
        broken = True
        try:
            chunk = await anext(chunks, b"")
        except httpx.HTTPError as error:
            raise _as_trouble(error) from error
        broken = False
        return chunk

    try:
        frames = not response.http_version.startswith("HTTP/1.")
        yield Answer(response.status_code, response.headers.raw, receive, frames)
    finally:
        # The client reads through nested generators. Reading on, cancelled, unwinds them where they stand; left alone
        # they would be found by the garbage collector. What is buffered still comes: often it is just the end.
        with trio.CancelScope(shield=True) as scope, suppress(httpx.HTTPError):
            scope.cancel()
            async for _ in chunks:
                pass
        await response.aclose()


def _seconds(timeout: float | None) -> float:
    """Return what trio calls what httpx calls ``None``."""
    return math.inf if timeout is None else timeout


async def _as_content(body: Body, went: Callable[[int], object] | None) -> AsyncIterator[bytes]:
    """Give the pieces of *body* in the only form that the client takes."""
    pieces = body.pieces
    async for piece in pieces if isinstance(pieces, AsyncIterable) else _each(pieces):
        yield bytes(piece)
        if went is not None:
            went(len(piece))


async def _each(pieces: Sequence[Buffer]) -> AsyncIterator[Buffer]:
    for piece in pieces:
        yield piece


def _body(request: httpx.Request) -> AsyncIterable[bytes] | None:
    framed = "content-length" in request.headers or "transfer-encoding" in request.headers
    return cast("AsyncIterable[bytes]", request.stream) if framed else None


def _as_httpx(trouble: Trouble) -> httpx.TransportError:
    return _AS_HTTPX[type(trouble)](reason(trouble))


def _as_trouble(error: httpx.HTTPError) -> Trouble:
    why = reason(error)
    if isinstance(error, httpx.ConnectError | httpx.ProxyError | httpx.UnsupportedProtocol):
        return NotConnected(why)
    if isinstance(error, httpx.ProtocolError) and not ("closed" in why or "disconnected" in why):
        return BadHTTP(why)
    return BrokenOff(why)

"""The one door to HTTP: get an answer from one peer, within limits, and say in our own errors what went wrong.

Only this module imports the HTTP client. It never inflates a body, never reads the environment, shows no secrets, and
keeps the connections of an endpoint for the length of the trio run.
"""

from __future__ import annotations

import importlib.metadata
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from types import MappingProxyType
from typing import Final, Self, cast

import attrs
import httpx
import trio

from sessionctx.errors import BadAnswer, NotInTrio, PeerError, PeerFailed, Stalled, Unreachable
from sessionctx.transports.endpoints import Endpoints
from sessionctx.transports.headers import shown
from sessionctx.transports.start import Start

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_IDLE: Final = 15.0  # seconds
_DRAIN_BYTES: Final = 64 * 1024
_DRAIN_SECONDS: Final = 1.0
_SMALL: Final = 1024  # bytes

_endpoints: Final = Endpoints[httpx.AsyncHTTPTransport]("sessionctx.transports.http")


@attrs.frozen
class HTTP:
    """How to speak HTTP with strangers: its limits, each with a default. It holds no connection and can be shared."""

    idle: float = 30.0
    """Seconds in which a body must make *progress*; otherwise the peer is dead (:exc:`Stalled`)."""
    progress: int = 1024
    """Bytes of the body that must come in each *idle* seconds; a shorter rest at its end is fine."""
    connect: float = 10.0
    """Seconds for name lookup, TCP and TLS together (:exc:`Unreachable`)."""
    header: float = 30.0
    """Seconds from the request to the end of the answer's header (:exc:`Stalled`)."""
    redirects: int = 5
    """Redirects that are followed (:exc:`BadAnswer`)."""
    connections: int = 16
    """Connections to one endpoint at a time; who wants one more waits. What a request costs grows with it."""
    tls: ssl.SSLContext | None = None
    """Whom to trust; by default the usual public authorities."""

    @asynccontextmanager
    async def get(
        self,
        url: str,
        *,
        peer: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        authorization: str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Response]:
        """Ask for *url* (which holds no credentials), follow redirects, and lend the answer for the block.

        The answer's header has arrived on entering. A success (2xx) can then be read; the body of anything else is
        gone already, so that the connection can be used again. *authorization* is sent to the endpoint of *url* alone.
        A body over *limit* bytes is refused, by its ``Content-Length`` if that tells; so is one with a
        ``Content-Encoding``.

        Raises :exc:`Unreachable`, :exc:`Stalled`, :exc:`PeerFailed` and :exc:`BadAnswer`, each with *peer*;
        :exc:`NotInTrio` outside a trio run.
        """
        if not trio.lowlevel.in_trio_task():
            raise NotInTrio("sessionctx asks its peers from a trio task only: start the program with trio.run(main)")
        target = httpx.URL(url)
        sent = {"User-Agent": _user_agent(), "Accept": "*/*", **headers, "Accept-Encoding": "identity"}
        for _ in range(self.redirects + 1):
            secret = {"Authorization": authorization} if authorization else {}
            async with self._exchange(httpx.Request("GET", target, headers=sent | secret), peer, limit) as response:
                onward = _onward(target, response, peer)
                if onward is None:
                    yield response
                    return
            if _endpoint(onward) != _endpoint(target):
                authorization = None
            target = onward
        raise BadAnswer(f"{peer} redirects for ever (more than {self.redirects} times): is it set up right?", peer=peer)

    @asynccontextmanager
    async def _exchange(self, request: httpx.Request, peer: str, limit: int | None) -> AsyncGenerator[Response]:
        """Send one request to one endpoint, and lend its answer."""
        key = (*_endpoint(request.url), self.connections, self.tls)
        async with _endpoints.use(key, lambda: self._pool(request.url), at_once=self.connections) as pool:
            response = Response(await self._ask(pool, request, peer), http=self, peer=peer, limit=limit)
            try:
                await response.prepare()
                yield response
            finally:
                await response.aclose()

    async def _ask(
        self, pool: httpx.AsyncHTTPTransport, request: httpx.Request, peer: str, *, again: bool = True
    ) -> httpx.Response:
        """Send the request and wait for the header; *again*, if a kept connection turns out to be closed or spoilt."""
        start = Start(connect=self.connect, header=self.header, tls=request.url.scheme == "https")
        request.extensions["trace"] = start
        with start.patience, start.guard:
            try:
                return await pool.handle_async_request(request)
            except httpx.HTTPError as error:
                if not (again and start.reused):
                    raise _failure(peer, error) from error
            finally:
                await start.aclose()
        if not start.patience.cancelled_caught:
            return await self._ask(pool, request, peer, again=False)
        if start.asked:
            raise Stalled(f"{peer} sent no whole header within {self.header:g} s", peer=peer)
        raise Unreachable(f"{peer} did not take the connection within {self.connect:g} s", peer=peer)

    def _pool(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        context = (self.tls or _public_authorities()) if url.scheme == "https" else _nobody()
        limits = httpx.Limits(max_connections=self.connections, keepalive_expiry=_KEEP_IDLE)
        return httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)


class Response:
    """An answer whose header has arrived: read it whole, or iterate over its bytes as they come."""

    def __init__(self, answer: httpx.Response, *, http: HTTP, peer: str, limit: int | None) -> None:
        self.status = answer.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in answer.headers.items()}
        """Names in lower case; repeated ones joined by a comma."""
        self._answer = answer
        self._body = aiter(cast("httpx.AsyncByteStream", answer.stream))
        self._http = http
        self._peer = peer
        self._limit = limit
        self._received = 0
        self._progress = 0  # bytes since the last time that there were enough of them ...
        self._patience = http.idle  # ... and the seconds that are left for the rest
        self._buffered = False

    @property
    def ok(self) -> bool:
        """Whether the peer calls it a success (2xx)."""
        return 200 <= self.status <= 299

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. :exc:`Stalled`, :exc:`PeerFailed`, :exc:`BadAnswer`."""
        with trio.CancelScope() as patience:
            chunk = await self._next(patience)
            if chunk is None:
                raise StopAsyncIteration
            return chunk
        raise self._stalled()

    async def read(self, progress: Callable[[int], None] | None = None) -> bytes:
        """Return the whole body; *progress* is called with each number of fresh bytes. Errors as in iteration."""
        chunks: list[bytes] = []
        with trio.CancelScope() as patience:
            while (chunk := await self._next(patience)) is not None:
                chunks.append(chunk)
                if progress is not None:
                    progress(len(chunk))
            return b"".join(chunks)
        raise self._stalled()

    async def _next(self, patience: trio.CancelScope) -> bytes | None:
        """Return the next bytes, ``None`` at the end; the scope is cancelled if they take too long."""
        if self._buffered:
            await trio.lowlevel.checkpoint()
        began = trio.current_time()
        patience.deadline = began + self._patience
        try:
            chunk = await anext(self._body, None)
        except httpx.HTTPError as error:
            raise _failure(self._peer, error) from error
        if chunk is not None:
            self._account(len(chunk), trio.current_time() - began)
        return chunk

    def _account(self, size: int, seconds: float) -> None:
        self._received += size
        if self._limit is not None and self._received > self._limit:
            raise BadAnswer(
                f"{self._peer} sends more than the {self._limit} bytes that are allowed here", peer=self._peer
            )
        self._buffered = size < _SMALL  # then it may have come without a wait, and a thousand more of them
        self._progress += size
        self._patience -= seconds
        if self._progress >= self._http.progress:
            self._progress, self._patience = 0, self._http.idle

    def _stalled(self) -> Stalled:
        return Stalled(
            f"{self._peer} sent fewer than {self._http.progress} bytes in {self._http.idle:g} s"
            f" (after {self._received} bytes)",
            peer=self._peer,
        )

    async def prepare(self) -> None:
        """Refuse a body that must not be read, and get rid of one that nobody will read."""
        if not self.ok:
            with trio.move_on_after(_DRAIN_SECONDS), suppress(PeerError):
                while self._received < _DRAIN_BYTES and await anext(self, None) is not None:
                    pass
            return
        if (coding := self.headers.get("content-encoding", "identity").strip().lower()) != "identity":
            raise BadAnswer(
                f"{self._peer} sent {shown(coding)} encoded data though plain data was asked for", peer=self._peer
            )
        length = int(self.headers.get("content-length", "0"))
        if self._limit is not None and length > self._limit:
            raise BadAnswer(
                f"{self._peer} announces {length} bytes where at most {self._limit} are allowed", peer=self._peer
            )

    async def aclose(self) -> None:
        """Let the connection go: back to the others if the body was read to its end, closed otherwise."""
        # The client reads through nested generators. Reading on, cancelled, unwinds them where they stand; left alone
        # they would be found by the garbage collector. What is buffered still comes: often it is just the end.
        with trio.CancelScope(shield=True) as scope, suppress(httpx.HTTPError):
            scope.cancel()
            async for _ in self._body:
                pass
        await self._answer.aclose()


def _endpoint(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port


def _onward(url: httpx.URL, response: Response, peer: str) -> httpx.URL | None:
    """Return where the answer redirects to, if it does. :exc:`BadAnswer` if that is nowhere to go."""
    location = response.headers.get("location")
    if response.status not in _REDIRECTS or location is None:
        return None
    try:
        onward = url.join(location).copy_with(userinfo=b"", fragment=None)
    except httpx.InvalidURL:
        onward = httpx.URL()
    if onward.scheme and onward.scheme not in ("http", "https"):
        raise BadAnswer(f"{peer} redirects to {shown(onward.scheme)}, which is not HTTP", peer=peer)
    if not onward.host:
        raise BadAnswer(f"{peer} redirects to what is no URL", peer=peer)
    if (url.scheme, onward.scheme) == ("https", "http"):
        raise BadAnswer(f"{peer} redirects from https to http, which is not followed", peer=peer)
    return onward


def _failure(peer: str, error: httpx.HTTPError) -> PeerError:
    """Say in our own words what went wrong."""
    why = _reason(error)
    if isinstance(error, httpx.ConnectError):
        return Unreachable(f"{peer} cannot be reached: {why}", peer=peer)
    if isinstance(error, httpx.ProtocolError) and not ("closed" in why or "disconnected" in why):
        return BadAnswer(f"{peer} breaks the rules of HTTP: {why}", peer=peer)
    return PeerFailed(f"{peer} broke off its answer: {why}", peer=peer)


def _reason(error: BaseException) -> str:
    """Return the text of the innermost cause, which says most: the client wraps it several times."""
    while (inner := _inner(error)) is not None:
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


def _inner(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    wrapped = error.args[0] if error.args else None  # httpcore's way
    return error.__cause__ or (wrapped if isinstance(wrapped, BaseException) else None)


@cache
def _user_agent() -> str:
    try:
        return f"sessionctx/{importlib.metadata.version('sessionctx')}"
    except importlib.metadata.PackageNotFoundError:  # frozen into one file, or run from where it lies
        return "sessionctx"


@cache
def _public_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


@cache
def _nobody() -> ssl.SSLContext:
    """For plain HTTP: the client wants a context, and loading authorities into one costs tens of milliseconds."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

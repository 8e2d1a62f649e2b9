"""Get an answer from one peer, within limits, and say in our own errors what went wrong.

It never inflates a body, never reads the environment, shows no secrets, and keeps the connections of an endpoint for
the length of the trio run.
"""

from __future__ import annotations

import importlib.metadata
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs
import h11
import trio

from sessionctx.errors import BadAnswer, NotInTrio
from sessionctx.transports.http.body import Body
from sessionctx.transports.http.client import by_client, public_authorities
from sessionctx.transports.http.pool import Turn
from sessionctx.transports.http.response import Answer, Response
from sessionctx.transports.http.target import Target
from sessionctx.transports.http.trouble import Trouble, told

if TYPE_CHECKING:
    import httpx

_REPEATED_ELSEWHERE: Final = frozenset({"GET", "HEAD"})


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
    """Redirects that are followed (:exc:`BadAnswer`): none from https to http, nor from a public host to this machine
    or a private network, by their addresses or a name without a dot."""
    connections: int = 16
    """Requests to one endpoint (scheme, host, port) at a time, those of all its users in the trio run together.

    Who comes while there are as many or more waits for its turn: first come, first served."""
    tls: ssl.SSLContext | None = None
    """Whom to trust; by default the usual public authorities."""
    client: httpx.AsyncClient | None = None
    """Asks in our place, with its own connections, TLS, proxies, HTTP/2, authentication, headers and event hooks.

    Redirects and limits stay ours, except for *connections* and *tls*; so do its time limits and following redirects
    count for nothing here. It costs several times as much CPU per block. Whoever made it closes it."""
    public_only: bool = False
    """Whether connections to loopback, private and other addresses off the public internet are refused, by whatever
    name or redirect they were reached (:exc:`Unreachable`). For addresses that strangers told us."""

    def __attrs_post_init__(self) -> None:
        if self.public_only and self.client is not None:
            raise ValueError("public_only= cannot be kept by a client= of your own, which connects by itself")

    def get(
        self,
        url: str,
        *,
        peer: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        authorization: str | None = None,
        limit: int | None = None,
        waited: Callable[[], object] | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        """Ask for *url* with the method ``GET``: see `request`."""
        return self.request(
            "GET", url, peer=peer, headers=headers, authorization=authorization, limit=limit, waited=waited
        )

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        peer: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        authorization: str | None = None,
        body: Body | None = None,
        limit: int | None = None,
        raw: bool = False,
        waited: Callable[[], object] | None = None,
        went: Callable[[int], object] | None = None,
    ) -> AsyncGenerator[Response]:
        """Ask for *url* (which holds no credentials), follow redirects, and lend the answer for the block.

        The answer's header has arrived on entering. A success (2xx) can then be read; the body of anything else is
        gone already, so that the connection can be used again: `Response.complaint` has its beginning.
        *authorization* is sent to the endpoint of *url* alone. A body over *limit* bytes is refused, by its
        ``Content-Length`` if that tells; so is one with a ``Content-Encoding``. *waited* is called when a request had
        to wait for its turn at our own limit of *connections*, and goes out now: the peer's time begins only then.
        *went* is called with the bytes of *body* as they go out, of which the peer must take some in each *idle*
        seconds. A body that came from an iterable of another length than it said is a :exc:`ValueError`.

        Only ``GET`` and ``HEAD`` are sent on by a redirect, and not if *raw*: then a redirect is an answer like
        others, bodies are taken in whatever encoding they have, and the headers are meant for this one request.

        Raises :exc:`Unreachable`, :exc:`Stalled`, :exc:`PeerFailed` and :exc:`BadAnswer`, each with *peer*;
        :exc:`NotInTrio` outside a trio run.
        """
        if not trio.lowlevel.in_trio_task():
            raise NotInTrio("sessionctx asks its peers from a trio task only: start the program with trio.run(main)")
        target = Target.parse(url)
        known = True  # nobody else than the first endpoint sends us where credentials go
        sent = {"Accept": "*/*", **headers, "Accept-Encoding": "identity"}
        if body is not None:
            sent["Content-Length"] = str(body.length)
        asking = _Asking(method, body, waited, went, raw)
        follow = not raw and method in _REPEATED_ELSEWHERE
        for _ in range(self.redirects + 1):
            secret = {"Authorization": authorization} if authorization and known else {}
            try:
                async with self._ask(target, sent | secret, asking, known=known) as answer:
                    with closing(
                        Response(answer, peer, limit, idle=self.idle, progress=self.progress, plain=not raw)
                    ) as response:
                        await response.prepare()
                        location = response.headers.get("location") if follow else None
                        onward = target.onward(response.status, location, peer)
                        if onward is None:
                            yield response
                            return
            except h11.LocalProtocolError as error:
                raise ValueError(f"the body of a request to {peer} is not as long as it said") from error
            except Trouble as trouble:
                raise told(peer, trouble) from trouble
            known = known and onward.endpoint == target.endpoint
            target = onward
        raise BadAnswer(f"{peer} redirects for ever (more than {self.redirects} times): is it set up right?", peer=peer)

    def _ask(
        self, target: Target, headers: Mapping[str, str], asking: _Asking, *, known: bool
    ) -> AbstractAsyncContextManager[Answer]:
        """Send one request to one endpoint, and lend its answer. Raises `Trouble`."""
        if self.client is None:
            return self._by_pool(target, headers, asking)
        seconds, method, body, went = self.connect + self.header, asking.method, asking.body, asking.went
        return by_client(
            self.client, target.url, headers, known=known, seconds=seconds, method=method, body=body, went=went
        )

    @asynccontextmanager
    async def _by_pool(self, target: Target, headers: Mapping[str, str], asking: _Asking) -> AsyncGenerator[Answer]:
        endpoint, body = target.endpoint, asking.body
        tls = (self.tls or public_authorities()) if endpoint.scheme == "https" else None
        checked = (_fresh if asking.raw else _pattern)(endpoint.public.partition("//")[2], *headers.items()).headers
        request = h11.Request(method=asking.method, target=target.path, headers=checked)
        async with Turn(endpoint, tls, self.connections) as turn:
            if turn.waited and asking.waited is not None:
                asking.waited()
            head, connection = await turn.ask(
                request,
                None if body is None else body.pieces,
                connect=self.connect,
                header=self.header,
                idle=self.idle,
                went=asking.went,
                public_only=self.public_only,
            )
            try:
                yield Answer(head.status_code, head.headers, connection.receive)
            finally:
                turn.give_back(connection)


@attrs.frozen
class _Asking:
    """What is the same for each endpoint that a request goes to."""

    method: str
    body: Body | None
    waited: Callable[[], object] | None
    went: Callable[[int], object] | None
    raw: bool


def _fresh(host: str, *headers: tuple[str, str]) -> h11.Request:
    """Return a request with these headers, checked."""
    return h11.Request(method="GET", target="/", headers=[("Host", host), ("User-Agent", _user_agent()), *headers])


@lru_cache(maxsize=128)
def _pattern(host: str, *headers: tuple[str, str]) -> h11.Request:
    """Return the same, for many requests: others that take its headers over need not look at each of them again."""
    return _fresh(host, *headers)


@cache
def _user_agent() -> str:
    try:
        return f"sessionctx/{importlib.metadata.version('sessionctx')}"
    except importlib.metadata.PackageNotFoundError:  # frozen into one file, or run from where it lies
        return "sessionctx"

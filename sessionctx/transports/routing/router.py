"""How to ask ONE router who has a CID.

Source: specs.ipfs.tech/routing/http-routing-v1, IPIP-337, 417 and 484.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from typing import Final, Self

import attrs
import trio

from sessionctx.content import CID
from sessionctx.errors import (
    BadAnswer,
    BadRequest,
    NotInTrio,
    NotOffered,
    PeerError,
)
from sessionctx.transports.address import Address
from sessionctx.transports.base import Transport
from sessionctx.transports.headers import content_type, shown
from sessionctx.transports.http import HTTP, Response
from sessionctx.transports.registry import open_transport
from sessionctx.transports.routing.cache import Cache, fresh_for
from sessionctx.transports.routing.filters import Filter
from sessionctx.transports.routing.records import Decoder, Document, Lines, Provider, provider_of

STREAM_TYPE: Final = "application/x-ndjson"
DOCUMENT_TYPE: Final = "application/json"
MOST_BYTES: Final = 1024 * 1024
"""Bytes of one answer."""
MOST_RECORDS: Final = 100
"""Records of one answer; what comes behind them is not read."""
OVER_HTTP: Final = ("http", "https")
"""The filter for addresses that a gateway can have."""


class Router:
    """One router, asked over HTTP: who has this CID, and where is that peer?

    *url* may hold credentials and a path, like that of a gateway; ``/routing/v1`` at its end may be left out. *http*
    says how to speak with the router and with the gateways that it names. These may be anywhere, so that a router could
    have us ask our own network: addresses and names which are not public are no gateways, and connections to them are
    refused even if a public name or a redirect leads there, unless *allow_private*.

    Answers are kept for as long as their ``Cache-Control`` allows, for the length of the trio run, 4 MiB at most.

    Raises:
        InvalidPeer: *url* is no address.
        ValueError: *http* has a *client* of its own, whose connections cannot be checked, without *allow_private*.
    """

    def __init__(self, url: str, *, http: HTTP | None = None, allow_private: bool = False) -> None:
        address = Address.parse(url)
        self._address = attrs.evolve(address, path=address.path.removesuffix("/routing/v1"))
        self._http = attrs.evolve(http or HTTP(), progress=1)  # a router may take its time between two lines
        self._gateway_http = attrs.evolve(http or HTTP(), public_only=not allow_private)
        self._allow_private = allow_private
        self._cache = trio.lowlevel.RunVar[Cache]("sessionctx.transports.routing")  # each run has a clock of its own

    def __repr__(self) -> str:
        return f"Router({self.public!r})"

    @property
    def url(self) -> str:
        """The normalised address with its credentials: never show it."""
        return self._address.url

    @property
    def public(self) -> str:
        """The normalised address without credentials."""
        return self._address.public

    def providers(
        self, cid: CID, *, addrs: Iterable[str] = OVER_HTTP, protocols: Iterable[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[Provider]]:
        """Ask who has *cid*; iterate over the answers as they arrive, 100 at most. Nobody has it: there are none.

        ::

            async with router.providers(cid) as found:
                async for provider in found:
                    print(provider.gateways)

        *addrs* and *protocols* filter by names: one of them must be there; an address with one of ``"!name"`` is left
        out; ``"unknown"`` lets those pass that have no address, or no protocol (IPIP-484). By default, providers that
        can be asked over HTTP.

        Entering and iterating raise :exc:`Busy`, :exc:`BadRequest`, :exc:`NotOffered`, :exc:`BadAnswer`,
        :exc:`Unreachable`, :exc:`Stalled` and :exc:`PeerFailed`; what came before stays good. :exc:`ValueError` for a
        filter that is none.
        """
        return self._ask(cid, Filter(addrs, protocols))

    def transport(self, gateway: str) -> Transport:
        """Return how to ask one of the gateways that it named: checked as it connects, unless *allow_private*.

        :exc:`InvalidPeer` for what is no address of HTTP: of others nobody could say whether they are public.
        """
        return open_transport(Address.parse(gateway).url, http=self._gateway_http)

    @asynccontextmanager
    async def _ask(self, cid: CID, wanted: Filter) -> AsyncGenerator[AsyncIterator[Provider]]:
        if not trio.lowlevel.in_trio_task():
            raise NotInTrio("sessionctx asks routers from a trio task only: start the program with trio.run(main)")
        question = f"providers/{cid.to_v1().encode()}{wanted.query}"
        known = self._cache_here().get(question, trio.current_time())
        if known is not None:
            await trio.lowlevel.checkpoint()
            with closing(_Found(known)) as found:
                yield found
            return
        async with self._http.get(
            f"{self.public}/routing/v1/{question}",
            peer=self.public,
            headers={"Accept": f"{STREAM_TYPE}, {DOCUMENT_TYPE}"},
            authorization=self._address.authorization,
            limit=MOST_BYTES,
        ) as response:
            keep = partial(self._keep, question, response)
            read = partial(provider_of, wanted=wanted, allow_private=self._allow_private)
            with closing(self._found(response, read, keep)) as found:
                yield found

    def _found(self, response: Response, read: _Read, keep: _Keep) -> _Found:
        if response.status == 404:
            keep((), 0)
            return _Found(())
        return _Arriving(response, self._decoder(response), read, keep, self.public)

    def _decoder(self, response: Response) -> Decoder:
        """Return what reads the answer, if it is one."""
        if response.status != 200:
            raise self._refusal(response)
        kind, _ = content_type(response.headers.get("content-type", ""))
        if kind == STREAM_TYPE:
            return Lines()
        if kind == DOCUMENT_TYPE:
            return Document()
        sent = shown(kind) if kind else "data without a Content-Type"
        raise BadAnswer(f"{self.public} sent {sent}: is this a router?", peer=self.public)

    def _refusal(self, response: Response) -> PeerError:
        """Turn a status that is no 200 into the error it stands for."""
        status, peer = response.status, self.public
        if status == 422:
            return BadRequest(f"{peer} does not take the question (422): look at the CID and the filters", peer=peer)
        if status == 501:
            return NotOffered(f"{peer} does not answer this kind of question (501): ask another router", peer=peer)
        return response.unwell() or BadAnswer(f"{peer} answered {status}: is this a router?", peer=peer)

    def _cache_here(self) -> Cache:
        try:
            return self._cache.get()
        except LookupError:
            self._cache.set(cache := Cache())
            return cache

    def _keep(self, question: str, response: Response, providers: tuple[Provider, ...], size: int) -> None:
        seconds = fresh_for(response.headers)
        if seconds > 0:
            self._cache_here().put(question, providers, size=size, until=trio.current_time() + seconds)


_Read = Callable[[object], Provider | None]
_Keep = Callable[[tuple[Provider, ...], int], None]


class _Found(AsyncIterator[Provider]):
    """Providers that are here already; none after the block."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._ready = deque(providers)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Provider:
        await trio.lowlevel.checkpoint()
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    def close(self) -> None:
        self._ready.clear()


class _Arriving(_Found):
    """Providers as they arrive."""

    def __init__(self, response: Response, decoder: Decoder, read: _Read, keep: _Keep, peer: str) -> None:
        super().__init__(())
        self._response = response
        self._decoder = decoder
        self._read = read
        self._keep = keep
        self._peer = peer
        self._all: list[Provider] = []
        self._size = 0
        self._over = False

    async def __anext__(self) -> Provider:
        while not self._ready and not self._over:
            await self._more()
        return await super().__anext__()

    def close(self) -> None:
        super().close()
        self._over = True

    async def _more(self) -> None:
        self._over = True  # unless all goes well
        data = await anext(self._response, b"")
        self._size += len(data)
        try:
            records = self._decoder.feed(data) if data else self._decoder.finish()
        except ValueError as error:
            raise BadAnswer(f"{self._peer} sent an answer that cannot be read: {error}", peer=self._peer) from error
        fresh = [provider for record in records if (provider := self._read(record))]
        fresh = fresh[: MOST_RECORDS - len(self._all)]
        self._ready.extend(fresh)
        self._all.extend(fresh)
        self._over = not data or len(self._all) >= MOST_RECORDS
        if self._over:
            self._keep(tuple(self._all), self._size)

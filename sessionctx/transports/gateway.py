"""A trustless gateway: blocks and CARs over HTTP, from a peer whose every byte is checked by others.

Source: specs.ipfs.tech/http-gateways/trustless-gateway, and IPIP-402, 412, 524.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Self
from urllib.parse import quote

import trio

from sessionctx.content import CID, MAX_BLOCK, ByteRange, CarDecoder, DagScope, verify
from sessionctx.errors import (
    BadAnswer,
    CarError,
    CarTruncated,
    ContentError,
    Denied,
    HashMismatch,
    MissingExtra,
    NotHere,
    PeerError,
    PeerFailed,
)
from sessionctx.transports.address import Address
from sessionctx.transports.base import Can, CarAnswer, Progress
from sessionctx.transports.headers import content_type, shown
from sessionctx.transports.http import HTTP, Response

RAW_TYPE: Final = "application/vnd.ipld.raw"
CAR_TYPE: Final = "application/vnd.ipld.car"

_WORDS: Final = re.compile(rb"[\t\n\r -~]{8,}\Z")


class GatewayTransport:
    """One gateway, asked over HTTP. It holds no connections: they belong to the endpoint and the trio run.

    *url* may hold credentials (``https://user:password@host``) and a path (``https://host/prefix``, then
    ``/prefix/ipfs/...`` is asked). :exc:`InvalidPeer` if it is no address.
    """

    def __init__(self, url: str, *, http: HTTP | None = None, can: Can | None = None) -> None:
        self._address = Address.parse(url)
        self._http = http or HTTP()
        self.can: Final = can or Can(car=True, best_in_flight=_best_in_flight(self._http))
        """A gateway that has no CARs says so only when asked for one (:exc:`BadAnswer`)."""

    def __repr__(self) -> str:
        return f"GatewayTransport({self.public!r})"

    @property
    def url(self) -> str:
        """The normalised address with its credentials: never show it."""
        return self._address.url

    @property
    def public(self) -> str:
        """The normalised address without credentials."""
        return self._address.public

    @property
    def endpoint(self) -> str:
        """Its scheme, host and port, which gateways at other paths may share: budgets and rests belong to that."""
        host, port = self._address.endpoint
        return f"{self._address.scheme}://{host}:{port}"

    async def block(self, cid: CID, *, progress: Progress | None = None) -> bytes:
        """Return what the gateway sends for *cid*; see :meth:`Transport.block`."""
        async with self._get(
            f"/ipfs/{cid}?format=raw", accept=RAW_TYPE, limit=MAX_BLOCK, progress=progress
        ) as response:
            self._typed(response, RAW_TYPE)
            data = await response.read(None if progress is None else progress.came)
            if not response.framed:
                self._check_whole(cid, data)
            return data

    def car(
        self,
        cid: CID,
        *,
        path: str = "",
        scope: DagScope = "all",
        span: str | None = None,
        progress: Progress | None = None,
    ) -> AbstractAsyncContextManager[CarAnswer]:
        """Ask for a DAG in one answer, if possible depth-first and without duplicates; see :meth:`Transport.car`."""
        return self._car(_car_target(cid, path, scope, span), progress)

    @asynccontextmanager
    async def _car(self, target: str, progress: Progress | None) -> AsyncGenerator[CarAnswer]:
        accept = f"{CAR_TYPE}; version=1; order=dfs; dups=n"
        async with self._get(target, accept=accept, progress=progress) as response:
            parameters = self._typed(response, CAR_TYPE)
            if parameters.get("version", "1") != "1":
                raise self._bad(f"sent a CAR of version {shown(parameters['version'])} though 1 was asked for")
            yield _Car(response, parameters, peer=self.public, progress=progress)

    def _get(
        self, target: str, *, accept: str, progress: Progress | None, limit: int | None = None
    ) -> AbstractAsyncContextManager[Response]:
        return self._http.get(
            self.public + target,
            peer=self.public,
            headers={"Accept": accept},
            authorization=self._address.authorization,
            limit=limit,
            waited=None if progress is None else progress.sent,
        )

    def _check_whole(self, cid: CID, data: bytes) -> None:
        """A body that ends with its connection may have been cut on the way: then it is a failure, and no lie."""
        try:
            verify(cid, data)
        except HashMismatch as error:
            why = "closed the connection, which is the only end of its answer, and the block is not whole"
            raise PeerFailed(f"{self.public} {why}", peer=self.public) from error
        except (ContentError, MissingExtra):
            pass  # that is no fault of the peer: whoever verifies the block will say so

    def _refusal(self, response: Response) -> PeerError:
        """Turn a status that is no 200 into the error it stands for."""
        status, peer = response.status, self.public
        if status in (404, 412):  # 412 answers "only if cached"
            return NotHere(f"{peer} does not have it ({status})", peer=peer)
        if status in (410, 451):
            return Denied(f"{peer} refuses to serve it, for good ({status})", peer=peer)
        return response.unwell() or self._bad(f"answered {status}{_HINTS.get(status, '')}")

    def _typed(self, response: Response, wanted: str) -> dict[str, str]:
        """Return the parameters of the Content-Type if it is a 200 with the wanted one."""
        if response.status != 200:
            raise self._refusal(response)
        kind, parameters = content_type(response.headers.get("content-type", ""))
        if kind == wanted:
            return parameters
        hint = ": is this a gateway?" if kind == "text/html" else f", not {wanted}"
        raise self._bad(f"sent {shown(kind) if kind else 'data without a Content-Type'}{hint}")

    def _bad(self, what: str) -> BadAnswer:
        return BadAnswer(f"{self.public} {what}", peer=self.public)


_HINTS: Final = {
    400: ": it does not understand the request; is this a gateway?",
    401: ": it wants credentials; write them as scheme://user:password@host",
    403: ": it does not let us in",
    406: ": it cannot send this in the form that was asked for",
}


class _Car:
    """A `CarAnswer` over HTTP; its memory is bounded by the largest section."""

    def __init__(self, response: Response, parameters: dict[str, str], *, peer: str, progress: Progress | None) -> None:
        self.order: Final = "dfs" if parameters.get("order") == "dfs" else "unk"
        self.dups: Final = {"y": True, "n": False}.get(parameters.get("dups", ""))
        self._response = response
        self._peer = peer
        self._progress = progress
        self._last = b""
        self._decoder = CarDecoder()
        self._ready: deque[tuple[CID, bytes]] = deque()
        self._ended = False

    @property
    def roots(self) -> tuple[CID, ...] | None:
        return self._decoder.roots

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[CID, bytes]:
        await trio.lowlevel.checkpoint()  # what has been read already comes without a wait
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            await self._more()
        return self._ready.popleft()

    async def _more(self) -> None:
        """Decode the next bytes."""
        self._ended = True  # unless all goes well
        try:
            self._decoder.feed(b"")  # a fault behind the last blocks is told now, without waiting for the peer
            self._last = await anext(self._response, b"")
            if self._last:
                if self._progress is not None:
                    self._progress.came(len(self._last))
                self._ready.extend(self._decoder.feed(self._last))
            else:
                self._decoder.finish()
        except CarError as error:
            raise self._named(error) from error
        except trio.Cancelled:
            self._ended = False  # it can be waited for again
            raise
        self._ended = not self._last

    def _named(self, error: CarError) -> CarError:
        """Say whose CAR it is. Some gateways write their error in words behind what they could send: a cut, too."""
        words = _WORDS.search(self._last[-200:])
        if self.roots is not None and words is not None:
            return CarTruncated(f"{self._peer}: the CAR ends early, in the words {shown(words[0].decode().strip())}")
        return type(error)(f"{self._peer}: {error}")


def _best_in_flight(http: HTTP) -> int:
    """Return how many requests at once serve a gateway well: more than our connections would only wait for them."""
    usual = Can().best_in_flight
    return usual if http.client is not None else min(usual, http.connections)


def _car_target(cid: CID, path: str, scope: DagScope, span: str | None) -> str:
    where = "".join("/" + quote(name, safe="", errors="surrogateescape") for name in path.split("/") if name)
    part = f"dag-scope={scope}" if span is None else f"dag-scope=entity&entity-bytes={ByteRange.parse(span)}"
    return f"/ipfs/{cid}{where}?format=car&{part}&car-version=1&car-order=dfs&car-dups=n"

"""One other service: how it is asked for a blob, or for the rest of one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager
from typing import Self

import attrs
import trio

from sessionctx import session
from sessionctx.errors import BadAnswer
from sessionctx.peers import LEDGER, outlook, typical
from sessionctx.share.blob import MOST_DIGEST, digest_route_of, read_digest_file, route_of
from sessionctx.share.head import Head, read_head
from sessionctx.storage import Endpoint, Request
from sessionctx.transports import HTTP, Address


@attrs.frozen
class Answer:
    """A blob, or the rest of one. Its head has arrived; the pieces of its body come as they are read."""

    head: Head
    pieces: AsyncIterable[bytes]
    request: Request
    """To be told what came."""


@attrs.frozen
class Service:
    """A service that may have blobs, at ``{url}/blobs/{id}``."""

    _address: Address = attrs.field(repr=False)
    _http: HTTP = attrs.field(repr=False)
    endpoint: Endpoint = attrs.field(repr=False)
    public: str
    """Its address without credentials."""

    @classmethod
    def at(cls, url: str, http: HTTP) -> Self:
        """Return the service at *url*, which may hold credentials and a path. :exc:`InvalidPeer` if it is none."""
        address = Address.parse(url)
        return cls(address, http, Endpoint.at(address.url, address.public), address.public)

    def usual(self, size: int) -> float:
        """Return the seconds in which *size* bytes come from it but for one time of twenty, as the session knows it."""
        ledger = LEDGER.of(session.current())
        record = ledger.add(self.endpoint.peer)
        return outlook(record, typical(ledger.records()), trio.current_time()).duration(size) * record.usual

    @asynccontextmanager
    async def ask(self, resource_id: str, *, offset: int = 0, etag: str | None = None) -> AsyncGenerator[Answer]:
        """Ask for a blob from *offset* on; for all of it, if it is not that any more which this service calls *etag*.

        It is one request of the session that is bound. Raises `PeerError` for what the service does.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and etag is not None:
            headers["If-Range"] = etag
        async with (
            self.endpoint.request(resource_id, part=True) as request,
            self._http.get(
                self.public + route_of(resource_id),
                peer=self.public,
                headers=headers,
                authorization=self._address.authorization,
                waited=request.sent,
            ) as response,
        ):
            if (unwell := response.unwell()) is not None:
                raise unwell
            yield Answer(
                read_head(response.status, response.headers, offset=offset, peer=self.public), response, request
            )

    async def digest(self, resource_id: str) -> str | None:
        """Return what a static server keeps beside the blob: its digest, or None if nothing of use is there.

        Not to be called amid `ask`: many who did that at once would wait for each other's connections.
        """
        try:
            async with (
                self.endpoint.request(resource_id, part=True),
                self._http.get(
                    self.public + digest_route_of(resource_id),
                    peer=self.public,
                    authorization=self._address.authorization,
                    limit=MOST_DIGEST,
                ) as response,
            ):
                return read_digest_file(await response.read())[0] if response.status == 200 else None
        except BadAnswer:  # that is no file of ours
            return None

"""One question to a web server about one file, and what its refusals mean."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import attrs

from sessionctx.errors import AccessDenied, BadAnswer, FileChanged, NoSuchFile, SessionctxError
from sessionctx.storage.base import Entry
from sessionctx.storage.endpoint import Endpoint, Request
from sessionctx.storage.http.head import Span, entry_of, span_of
from sessionctx.storage.patience import PASSING, Patience
from sessionctx.transports import HTTP, Address, Response

_GOOD: Final = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)


@attrs.frozen
class Asker:
    """Asks one server."""

    address: Address
    http: HTTP
    endpoint: Endpoint

    @property
    def public(self) -> str:
        """Whom it asks, without credentials."""
        return self.address.public

    @asynccontextmanager
    async def ask(
        self, path: str, headers: Mapping[str, str], *, method: str = "GET", size: int = 0, limit: int | None = None
    ) -> AsyncGenerator[tuple[Request, Response]]:
        """Ask for *path*, and lend the answer, which is a 200, 206 or 416; anything else is an error of ours."""
        async with (
            self.endpoint.request(path, size) as request,
            self.http.request(
                method,
                f"{self.public}/{quote(path)}",
                peer=self.public,
                headers=headers,
                authorization=self.address.authorization,
                limit=limit,
                waited=request.sent,
            ) as response,
        ):
            if response.status not in _GOOD:
                raise self._refusal(path, response)
            yield request, response

    async def stat(self, path: str) -> Entry:
        """Return what the server says of the file *path*."""
        patience = Patience()
        while True:
            try:
                async with self.ask(path, {}, method="HEAD") as (_, response):
                    return entry_of(path, response.headers, self.span(path, response).size)
            except PASSING as error:
                await patience.pause(error)

    def span(self, path: str, response: Response) -> Span:
        """Return which bytes come with *response*."""
        span = span_of(response.status, response.headers)
        if span is None:
            raise self.bad(f"sends bytes of {path}, and does not say which")
        return span

    def bad(self, what: str) -> BadAnswer:
        """Return the error for an answer that contradicts itself, or the question."""
        return BadAnswer(f"{self.public} {what}", peer=self.public)

    def changed(self, path: str) -> FileChanged:
        """Return the error for a file that is another one by now."""
        return FileChanged(
            f"{self.public}: {path} is not the version any more that was wanted", storage=self.public, path=path
        )

    def _refusal(self, path: str, response: Response) -> SessionctxError:
        match response.status:
            case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
                return NoSuchFile(f"{self.public}: {path} is not there", storage=self.public, path=path)
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN as status:
                hint = ": write credentials as https://user:password@host" if status == HTTPStatus.UNAUTHORIZED else ""
                return AccessDenied(
                    f"{self.public} refuses {path} ({response.status}){hint}", storage=self.public, path=path
                )
            case HTTPStatus.PRECONDITION_FAILED:
                return self.changed(path)
            case status:
                return response.unwell() or self.bad(f"answered {status} when asked for {path}")

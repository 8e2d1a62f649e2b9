"""One request to one object service: where it goes, by whose leave, how it is counted, and what its status means."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, Self, cast

import attrs

from sessionctx.errors import AccessDenied, BadAnswer, InvalidObject, NotOffered, ObjectError, PeerError
from sessionctx.objects.authority import Authority
from sessionctx.objects.metadata import Metadata, from_headers
from sessionctx.objects.paths import Place
from sessionctx.storage import Endpoint, Request
from sessionctx.transports import HTTP, Body, Response

MOST_JSON: Final = 4 * 1024 * 1024
"""Bytes of an answer that is read whole."""


class Answer:
    """An answer whose header has come: its body piece by piece, counted as it comes."""

    def __init__(self, response: Response, request: Request, peer: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._request = request
        self._peer = peer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._response)
        self._request.came(len(piece))
        return piece

    @property
    def metadata(self) -> Metadata:
        """What the headers say of the object. :exc:`BadAnswer`."""
        return metadata_of(self.headers.items(), self._peer)

    async def fields(self) -> dict[str, Any]:
        """Return the JSON object that the body is. :exc:`BadAnswer`."""
        data = bytearray()
        async for piece in self:
            data += piece
            if len(data) > MOST_JSON:
                raise BadAnswer(f"{self._peer} sends a JSON answer of more than {MOST_JSON} bytes", peer=self._peer)
        try:
            read: object = json.loads(data)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise BadAnswer(f"{self._peer} sends no JSON object where one was to come", peer=self._peer)
        return cast("dict[str, Any]", read)

    async def text(self, name: str) -> str:
        """Return the text that the JSON answer has under *name*. :exc:`BadAnswer`."""
        return text_in(await self.fields(), name, self._peer)


@attrs.define(eq=False)
class Wire:
    """One service, and the place in it."""

    url: str = attrs.field(repr=False)
    """Where its paths begin; without credentials."""
    public: str
    place: Place
    authority: Authority
    http: HTTP
    endpoint: Endpoint

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        resource: str,
        key: str = "",
        *,
        query: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
        body: Body | None = None,
        size: int = 0,
        part: bool = False,
        also: tuple[int, ...] = (),
    ) -> AsyncGenerator[Answer]:
        """Send one request, and lend its answer: a success, or one whose status is among *also*.

        *size* is how many bytes are expected to come, or go. Raises what the status says: :exc:`Busy`,
        :exc:`PeerFailed`, :exc:`AccessDenied`, :exc:`InvalidObject`, :exc:`NotOffered`, :exc:`ObjectError`; and what
        `HTTP.request` raises.
        """
        target = self.url + self.place.path(resource, key) + (f"?{query}" if query else "")
        async with (
            self.endpoint.request(key, size, part=part) as request,
            self.http.request(
                method,
                target,
                peer=self.public,
                headers={**self.authority.headers(), **headers},
                body=body,
                raw=True,
                waited=request.sent,
                went=request.went,
            ) as response,
        ):
            if not response.ok and response.status not in also:
                raise refusal(response, self.public)
            yield Answer(response, request, self.public)


def refusal(response: Response, peer: str) -> PeerError | ObjectError | AccessDenied:
    """Return the error that an answer is."""
    if response.status == 501:
        return NotOffered(f"{peer} does not do this", peer=peer)
    unwell = response.unwell()
    return error_of(response.status, response.complaint, peer) if unwell is None else unwell


def error_of(status: int, complaint: bytes, peer: str) -> ObjectError | AccessDenied:
    """Return the error for a *status* that is about what was asked, with what the service says of it."""
    try:
        said: object = json.loads(complaint)["detail"]
    except (ValueError, TypeError, KeyError, RecursionError):
        said = complaint[:200].decode("utf-8", "replace")
    detail = "".join(c for c in str(said)[:500] if c.isprintable()) or "no reason given"
    if status in {401, 403}:
        return AccessDenied(f"{peer} does not allow it ({status}): {detail}", storage=peer)
    if status in {400, 413, 416, 422}:
        return InvalidObject(f"{peer} does not take it ({status}): {detail}")
    return ObjectError(f"{peer} refused it ({status}): {detail}")


def metadata_of(headers: Iterable[tuple[str, str]], peer: str) -> Metadata:
    """Return what an answer says of an object. :exc:`BadAnswer`."""
    try:
        return from_headers(headers)
    except InvalidObject as error:
        raise BadAnswer(f"{peer} says what makes no sense of an object: {error}", peer=peer) from None


def text_in(fields: Mapping[str, object], name: str, peer: str) -> str:
    """Return the text called *name*. :exc:`BadAnswer`."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadAnswer(f"{peer} does not say {name!r} in its answer", peer=peer)
    return value

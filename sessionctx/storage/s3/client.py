"""One bucket's server: a request signed and sent, seen by the session, its answer judged, and repeated if it may be."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from hashlib import sha256
from types import MappingProxyType
from typing import Final, cast

import attrs
import trio

from sessionctx.errors import BadAnswer, PeerError
from sessionctx.storage.endpoint import Endpoint, Request
from sessionctx.storage.s3.documents import MOST, Document, NotXML
from sessionctx.storage.s3.faults import Complaint
from sessionctx.storage.s3.location import Place, Query
from sessionctx.storage.s3.patience import Patience, passes, undone, unknown
from sessionctx.storage.s3.profile import Profile
from sessionctx.storage.s3.signing import NOTHING, UNSIGNED, Signer
from sessionctx.storage.s3.threads import THREADS
from sessionctx.transports import HTTP, Body, Response

_LARGE: Final = 256 * 1024
"""Bytes whose hash takes longer than a thread costs."""
_SLOW: Final = 600.0
"""Seconds that a server may take to put an object together or to copy it."""


class Refused(Exception):
    """What the server said: the cause of the error that tells it."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.text)
        self.complaint = complaint


def complaint_of(error: BaseException) -> Complaint:
    """Return what the server said that led to *error*; of one that it said nothing about, an empty one."""
    return error.__cause__.complaint if isinstance(error.__cause__, Refused) else Complaint(0)


@attrs.frozen(kw_only=True)
class Ask:
    """A request for one key, or for the bucket if that is empty."""

    method: str
    key: str = ""
    path: str = ""
    """What errors and the session call it."""
    query: Query = ()
    headers: Mapping[str, str] = MappingProxyType({})
    body: Body | None = None
    size: int = 0
    """Bytes of the content that will come or go, as far as is known."""
    part: bool = False
    """Whether it is but a part of what the session counts."""
    unseen: bool = False
    """Whether it is none of the session's business: it clears up, even if the session has ended."""
    slow: bool = False
    """Whether the server may be busy with it for minutes."""


@attrs.frozen
class Answer:
    """A success, read to its end."""

    headers: Mapping[str, str]
    document: Document
    """What it says, if it says something."""


@attrs.define(eq=False)
class Client:
    """Asks for the things of one bucket. Used by any number of tasks at once."""

    place: Place
    public: str
    endpoint: Endpoint
    profile: Profile
    patience: Patience
    _signer: Signer
    _http: HTTP
    _chance: random.Random = attrs.field(factory=random.Random, repr=False)

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncGenerator[tuple[Response, Request | None]]:
        """Send a request once, and lend its answer if that is a success.

        Otherwise the error for it is raised; `complaint_of` it has the details. A bucket that is in another region is
        asked for there.
        """
        if ask.body is None and ask.method in {"PUT", "POST"}:
            ask = attrs.evolve(ask, body=Body.of())  # some want to be told that there is none
        payload = await self._payload(ask.body)
        while True:
            place = self.place
            url = place.url(ask.key, ask.query)
            headers = await self._signer.signed(ask.method, url, ask.headers, payload, place.region)
            async with self._seen(ask) as request, self._send(ask, url, headers, request) as response:
                if response.ok:
                    yield response, request
                    return
                complaint = Complaint.read(response.status, response.headers, response.complaint, response.wait)
                if not self._moves(place, complaint):
                    raise complaint.error(self.public, ask.path) from Refused(complaint)

    async def call(self, ask: Ask, *, safe: bool = True) -> Answer:
        """Send a request, and read its answer; repeat it while that may help, if that is *safe*.

        Otherwise it is repeated only after the server has surely done nothing. A success whose body says ``Error`` is
        none.
        """
        failed = 0
        while True:
            try:
                async with self.ask(ask) as (response, request):
                    document = await self._document(response, request)
                    if document.root == "Error":
                        complaint = Complaint.of_record(document.fields)
                        raise complaint.error(self.public, ask.path) from Refused(complaint)
                    return Answer(response.headers, document)
            except PeerError as error:
                failed += 1
                await self.wait(error, failed, safe=safe, what=f"{ask.method} of {ask.path or 'the bucket'} was done")

    async def wait(self, error: PeerError, failed: int, *, safe: bool = True, what: str = "") -> None:
        """Wait until the next attempt, after *failed* ones, the last by *error*; raise that if there shall be none."""
        if not passes(error):
            raise error
        if not safe and not undone(error):
            raise unknown(error, what) from error
        if failed >= self.patience.attempts:
            raise error
        await trio.sleep(self.patience.pause(failed, error, self._chance.random()))

    def _send(
        self, ask: Ask, url: str, headers: Mapping[str, str], request: Request | None
    ) -> AbstractAsyncContextManager[Response]:
        http = attrs.evolve(self._http, header=_SLOW, idle=_SLOW) if ask.slow else self._http
        return http.request(
            ask.method,
            url,
            peer=self.public,
            headers=headers,
            body=ask.body,
            raw=True,
            waited=None if request is None else request.sent,
            went=None if request is None else request.went,
        )

    def _seen(self, ask: Ask) -> AbstractAsyncContextManager[Request | None]:
        return nullcontext() if ask.unseen else self.endpoint.request(ask.path, ask.size, part=ask.part)

    async def _payload(self, body: Body | None) -> str:
        """Return the hash that is signed, where somebody on the way could change the body."""
        if body is None:
            return NOTHING
        if not body.length:
            return NOTHING
        if self.place.private_line or isinstance(body.pieces, AsyncIterable):
            return UNSIGNED
        if body.length < _LARGE:
            return _hashed(body)
        return await trio.to_thread.run_sync(_hashed, body, limiter=THREADS)

    def _moves(self, place: Place, complaint: Complaint) -> bool:
        """Whether the bucket is in a region that we did not know; then it is asked for there from now on."""
        region = complaint.region
        if not complaint.misdirected or region is None or region == place.region:
            return False
        self.place = (
            Place.of(place.bucket, region, None, place.style) if place.amazon else attrs.evolve(place, region=region)
        )
        return True

    async def _document(self, response: Response, request: Request | None) -> Document:
        document, size = Document(), 0
        try:
            async for chunk in response:
                if request is not None:
                    request.came(len(chunk))
                fresh = chunk if size else chunk.lstrip()  # blanks say that the server is still at it
                size += len(fresh)
                if size > MOST:
                    raise BadAnswer(f"{self.public} sends more than {MOST} bytes of XML", peer=self.public)
                if fresh:
                    document.feed(fresh)
            if size:
                document.feed(b"", last=True)
        except NotXML as error:
            raise BadAnswer(f"{self.public} sends what is no XML: {error}", peer=self.public) from error
        return document


def _hashed(body: Body) -> str:
    digest = sha256()
    for piece in cast("tuple[bytes, ...]", body.pieces):
        digest.update(piece)
    return digest.hexdigest()

"""Reading: all of one version, handed out in order; what breaks off goes on where it broke.

The first request tells what there is, and brings it. If it does not come fast enough, the request ends sooner, and
ranges are asked for beside it, several at a time, so that one reader can have the whole line. Memory is bounded: a
range is begun when an earlier one has been handed out, and a stream waits for its reader; if that takes long, it is
given up, and taken up again later.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Self

import attrs
import trio

from sessionctx.errors import BadAnswer, FileChanged, FileDamaged, PeerError, PeerFailed
from sessionctx.storage.base import Entry
from sessionctx.storage.endpoint import Request
from sessionctx.storage.s3.checksums import Expected, Sum, expected
from sessionctx.storage.s3.client import Ask, Client
from sessionctx.storage.s3.crew import Crew
from sessionctx.storage.s3.objects import content_range, entry_of, quoted, version_of, whole
from sessionctx.storage.s3.pace import Pace
from sessionctx.transports import Response

_PATIENT: Final = 1.0
"""Seconds that a stream waits for its reader before it lets others have the connection."""
_PROGRESS: Final = 256 * 1024
"""Bytes after which a request that breaks off was no failed attempt."""


@attrs.define(eq=False)
class Span:
    """A range that is asked for at once, and what has come of it and was not handed out yet."""

    at: int
    """Where the next byte goes."""
    end: int | None
    """None until it is known."""
    pieces: deque[bytes] = attrs.field(factory=deque[bytes])
    held: int = 0
    """The bytes of these."""

    @property
    def complete(self) -> bool:
        """Whether all has come."""
        return self.at == self.end


@attrs.define(eq=False)
class Download:
    """One reading of a file: an async iterator, fed by the tasks of a crew."""

    client: Client
    key: str
    path: str
    part: int
    """Bytes of a range."""
    at_once: int
    """Ranges that are asked for at a time."""
    crew: Crew
    start: int
    end: int | None
    """None until it is known."""
    version: str | None
    pace: Pace
    _known: Entry | None = None
    _expected: Expected | None = None
    _sum: Sum | None = None
    _error: Exception | None = None
    _alone: bool = True
    """Whether the first stream has no others beside it."""
    _next: int = 0
    """Where the next range begins."""
    _spans: deque[Span] = attrs.field(factory=deque[Span])
    _news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _room: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    @property
    def entry(self) -> Entry:
        """The whole file."""
        assert self._known is not None
        return self._known

    async def begin(self) -> None:
        """Ask for the beginning, and return when the file is known. Errors of the first request."""
        self._spans.append(Span(self.start, self.end))
        self.crew.start(self._fetch, self._spans[0])
        while self._known is None and self._error is None:
            await self._news.park()
        if self._error is not None:
            raise self._error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._error is not None:
                raise self._error
            span = self._spans[0] if self._spans else None
            if span is None:
                self._check()
                raise StopAsyncIteration
            if span.pieces:
                await trio.lowlevel.checkpoint()
                piece = span.pieces.popleft()
                span.held -= len(piece)
                self._room.unpark_all()
                if self._sum is not None:
                    self._sum.add(piece)
                return piece
            if span.complete:
                self._spans.popleft()
                self._begin_next()
            else:
                await self._news.park()

    def _check(self) -> None:
        """See whether what came is what was written."""
        if self._sum is None or self._expected is None or self._sum.text == self._expected.text:
            return
        raise FileDamaged(
            f"{self.client.public}: {self.path} does not match its {self._expected.name}: it was damaged on the way,"
            " or where it is kept",
            storage=self.client.public,
            path=self.path,
        )

    # --- tasks

    def _begin_next(self) -> None:
        """Ask for as many ranges as may be on their way."""
        assert self.end is not None
        while len(self._spans) < self.at_once and self._next < self.end:
            span = Span(self._next, min(self._next + self.part, self.end))
            self._next = span.end or 0
            self._spans.append(span)
            self.crew.start(self._fetch, span)

    async def _fetch(self, span: Span) -> None:
        try:
            await self._fill(span)
        except Exception as error:  # noqa: BLE001 - whoever reads gets it
            self._error = self._error or error
            self._news.unpark_all()

    async def _fill(self, span: Span) -> None:
        """Fill *span*, with as many requests as that takes."""
        failed = 0
        while not span.complete:
            await self._until_wanted(span)
            began = span.at
            try:
                async with self.client.ask(self._ask(span)) as (response, request):
                    self._learn(span, response)
                    await self._take(span, response, request)
            except PeerError as error:
                if span.at > began and self.version is None:  # nobody could tell whether the rest belongs to it
                    raise
                failed = 1 if span.at - began >= _PROGRESS else failed + 1
                await self.client.wait(error, failed)

    def _ask(self, span: Span) -> Ask:
        headers = {} if self.version is None else {"If-Match": quoted(self.version)}
        if self._known is None:
            headers["x-amz-checksum-mode"] = "ENABLED"
        if span.end is not None:
            headers["Range"] = f"bytes={span.at}-{span.end - 1}"
        elif span.at:
            headers["Range"] = f"bytes={span.at}-"
        return Ask(
            method="GET",
            key=self.key,
            path=self.path,
            headers=headers,
            size=0 if span.end is None else span.end - span.at,
            part=self._known is not None,
        )

    async def _take(self, span: Span, response: Response, request: Request | None) -> None:
        """Take in what comes, until *span* is complete, or nobody reads it for a while."""
        assert span.end is not None
        asked = trio.current_time()
        async for piece in response:
            self._look(span, len(piece), trio.current_time() - asked)
            fresh = piece[: span.end - span.at]
            if request is not None:
                request.came(len(fresh))
            span.at += len(fresh)
            span.held += len(fresh)
            span.pieces.append(fresh)
            self._news.unpark_all()
            if span.complete:  # the answer may be longer: then the connection is not worth its rest
                return
            if span.held >= self.part and not await self._wanted_soon(span):
                return
            asked = trio.current_time()
        if not span.complete:
            raise PeerFailed(f"{self.client.public} ended its answer early", peer=self.client.public)

    def _look(self, span: Span, count: int, seconds: float) -> None:
        """If the first stream is too slow, let it end where ranges beside it begin."""
        assert self.end is not None
        if not self._alone or not self.pace.open or self.at_once == 1 or self.version is None:
            return
        cut = max(self.start + self.part, span.at + count)
        if self.pace.slow(count, seconds) and cut < self.end:
            self._alone = False
            span.end = self._next = cut
            self._begin_next()

    async def _wanted_soon(self, span: Span) -> bool:
        """Wait until there is room for more of *span*: for a while only, if it can be taken up again."""
        with trio.move_on_after(math.inf if self.version is None else _PATIENT):
            await self._until_wanted(span)
            return True
        return False

    async def _until_wanted(self, span: Span) -> None:
        while span.held >= self.part:
            await self._room.park()

    def _learn(self, span: Span, response: Response) -> None:
        """See what it is that comes, and if that is news, plan the rest."""
        peer, headers = self.client.public, response.headers
        if response.status == 206 or "content-range" in headers:  # some say 200 all the same
            start, end, size = content_range(headers, peer)
        else:
            start, size = 0, int(headers.get("content-length", "-1"))
            end = size
        if start != span.at or size < 0 or (span.end is not None and end < min(span.end, size)):
            raise BadAnswer(f"{peer} sends another range of {self.path} than it was asked for", peer=peer)
        version = version_of(headers.get("etag"))
        if self.version is not None and version != self.version:
            raise FileChanged(f"{peer}: {self.path} was replaced while it was read", storage=peer, path=self.path)
        if self._known is None:
            self._known = entry_of(self.path, headers, size)
            self.version = version
            self.end = size if self.end is None else min(self.end, size)
            span.end = self._next = self.end
            self._expected = whole(expected(headers), start=self.start, end=self.end or 0, size=size)
            self._sum = None if self._expected is None else self._expected.begin()
            self._news.unpark_all()

"""A file, or a range of it, as a web server sends it; where that breaks off, it is asked for the rest."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sessionctx.errors import PeerFailed
from sessionctx.storage.http.asking import Asker
from sessionctx.storage.http.head import Span, conditions, entry_of, version_of
from sessionctx.storage.patience import PASSING, Patience
from sessionctx.storage.relay import Feed
from sessionctx.transports import Response


@attrs.define(eq=False)
class Download:
    """The bytes from *at* to *end* (None: all) of one version: that of the first answer, if none is given.

    Where a server does not tell versions apart, what breaks off is not resumed: it might be another file by then.
    """

    asker: Asker
    path: str
    at: int
    end: int | None
    version: str | None
    no_ranges: Callable[[], None]
    """Called if the server sends all of a file though it was asked for what lies behind its beginning."""
    patience: Patience = attrs.field(factory=Patience)

    async def run(self, feed: Feed) -> None:
        """Give all of it to *feed*."""
        began = self.at
        while True:
            try:
                await self._attempt(feed)
            except PASSING as error:
                if self.at > began and self.version is None:
                    raise
                await self.patience.pause(error)
            else:
                return

    async def _attempt(self, feed: Feed) -> None:
        size = 0 if self.end is None else max(self.end - self.at, 0)
        async with self.asker.ask(self.path, self._headers(), size=size) as (request, response):
            span = self._begin(feed, response)
            passed = span.begin
            async for piece in response:
                request.came(len(piece))
                self.patience.renew()
                mine = memoryview(piece)[max(self.at - passed, 0) : None if self.end is None else self.end - passed]
                passed += len(piece)
                if mine:
                    self.at += len(mine)
                    await feed.give(mine)
                if self.end is not None and self.at >= self.end:
                    return
            self._check_all_came()

    def _headers(self) -> dict[str, str]:
        if self.end is None and not self.at:
            return conditions(self.version)
        nothing = self.end is not None and self.end <= self.at
        span = "0-0" if nothing else f"{self.at}-{'' if self.end is None else self.end - 1}"
        return {"Range": f"bytes={span}", **conditions(self.version)}

    def _begin(self, feed: Feed, response: Response) -> Span:
        """Look at the header of an answer; return which bytes come."""
        span = self.asker.span(self.path, response)
        told = version_of(response.headers)
        if response.status == 416:
            told = told or self.version  # it need not be told with that
        elif response.status == 206 and span.begin != self.at and (self.end is None or self.end > self.at):
            raise self.asker.bad(f"sends bytes from {span.begin} of {self.path} though it was asked from {self.at}")
        elif response.status == 200 and self.at:
            self.no_ranges()
        if self.version is not None and told != self.version:
            raise self.asker.changed(self.path)
        if span.size is not None:
            self.end = span.size if self.end is None else min(self.end, span.size)
        if not feed.begun:
            self.version = told
            feed.begin(attrs.evolve(entry_of(self.path, response.headers, span.size), version=told))
        return span

    def _check_all_came(self) -> None:
        if self.end is not None and self.at < self.end:
            what = f"sent {self.path} to byte {self.at} only, of {self.end}"
            raise PeerFailed(f"{self.asker.public} {what}", peer=self.asker.public)

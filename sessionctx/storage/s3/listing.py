"""Listings: page by page, the next one asked for while the last entries of the one before it are handed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Self
from urllib.parse import unquote_plus

import attrs
import trio

from sessionctx.errors import BadAnswer, InvalidLocation
from sessionctx.storage.base import Entry
from sessionctx.storage.paths import fault_of
from sessionctx.storage.s3.client import Ask, Client
from sessionctx.storage.s3.crew import Crew
from sessionctx.storage.s3.documents import Document
from sessionctx.storage.s3.objects import number_of, seconds_of, version_of

PAGE: Final = 1000
"""Entries that are asked for at a time."""
_AT_A_TIME: Final = 32
"""Entries between two checkpoints: one for each would cost more than the entry does."""


@attrs.frozen(kw_only=True)
class Folder:
    """What is listed."""

    root: str
    """What stands before each path in its key; empty, or with a slash at its end."""
    prefix: str
    """The folder, in the same form, below the root."""
    recursive: bool
    after: str | None
    page: int = PAGE

    def query(self, token: str | None) -> tuple[tuple[str, str], ...]:
        """Return how the page that *token* stands for is asked for."""
        asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(self.page)}
        if self.root + self.prefix:
            asked["prefix"] = self.root + self.prefix
        if not self.recursive:
            asked["delimiter"] = "/"
        if token is not None:
            asked["continuation-token"] = token
        elif self.after is not None:
            asked["start-after"] = self.root + self.after
        return tuple(sorted(asked.items()))

    def entries(self, page: Document) -> Iterator[Entry]:
        """Return what a page names: files, and folders if it is not *recursive*."""
        found = (entry for kind, record in page.records if (entry := self._entry(kind, record)) is not None)
        if self.after is None:
            return found
        after = self.after.encode()
        return (entry for entry in found if entry.path.encode() > after)

    def _entry(self, kind: str, record: dict[str, str]) -> Entry | None:
        if kind == "Contents":
            key = unquote_plus(record.get("Key", ""))
            path, size = key[len(self.root) :], number_of(record.get("Size"))
            if path.endswith("/") and not size and (self.recursive or path == self.prefix):
                return None  # somebody's way to have a folder that is empty
            modified, version = seconds_of(record.get("LastModified")), version_of(record.get("ETag"))
            entry = Entry(path=path, size=size, modified=modified, version=version)
        elif kind == "CommonPrefixes":
            key = unquote_plus(record.get("Prefix", ""))
            path = key[len(self.root) :].removesuffix("/")
            entry = Entry(path=path, kind="folder")
        else:
            return None
        if (fault := fault_of(path) if path else "it is empty") is None:
            return entry
        problem = InvalidLocation(f"the key {key[:200]!r} is no path: {fault}", path=path)
        return attrs.evolve(entry, problem=problem)


@attrs.define(eq=False)
class Pages:
    """A listing that is under way: an async iterator of its entries."""

    client: Client
    folder: Folder
    _crew: Crew
    _token: str | None = None
    """Of the page that comes next; None is the first, or none."""
    _entries: Iterator[Entry] = attrs.field(factory=lambda: iter(()))
    _given: int = 0
    """Entries of the current page that were handed out ..."""
    _most: int = 0
    """... and how many are most of them: then the next one is asked for."""
    _error: Exception | None = None
    _ready: deque[Document] = attrs.field(factory=deque[Document])
    _asked: bool = False
    """Whether the next page is on its way, or here."""
    _news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def begin(self) -> None:
        """Bring the first page."""
        self._ask()
        await self._turn()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        if self._given % _AT_A_TIME:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        while (entry := next(self._entries, None)) is None:
            if self._token is None:
                raise StopAsyncIteration
            await self._turn()
        self._given += 1
        if self._given == self._most and self._token is not None:
            self._ask()
        return entry

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._crew.start(self._fetch, self._token)

    async def _fetch(self, token: str | None) -> None:
        ask = Ask(method="GET", path=self.folder.prefix.rstrip("/"), query=self.folder.query(token))
        try:
            self._ready.append((await self.client.call(ask)).document)
        except Exception as error:  # noqa: BLE001 - whoever reads the listing gets it
            self._error = error
        self._news.unpark_all()

    async def _turn(self) -> None:
        """Go on to the next page, and wait for it if it has not come."""
        self._ask()
        while not self._ready:
            if self._error is not None:
                raise self._error
            await self._news.park()
        page = self._ready.popleft()
        token = page.fields.get("NextContinuationToken") if page.fields.get("IsTruncated") == "true" else None
        if page.root != "ListBucketResult" or (token is not None and token == self._token):
            public = self.client.public
            raise BadAnswer(f"{public} sends a page of a listing that is none, or leads nowhere", peer=public)
        self._token, self._asked, self._given = token, False, 0
        self._most = len(page.records) // 2 + 1
        self._entries = self.folder.entries(page)

"""The folders of a web server that lists them as JSON: ``autoindex_format json`` of nginx.

Source: nginx.org/en/docs/http/ngx_http_autoindex_module.html
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Self

import trio

from sessionctx.errors import CannotDo, InvalidLocation, NoSuchFile, SessionctxError
from sessionctx.storage.base import Entry, Kind
from sessionctx.storage.http.asking import Asker
from sessionctx.storage.http.head import time_of
from sessionctx.storage.paths import fault_of, joined
from sessionctx.storage.patience import PASSING, Patience

_MOST: Final = 64 * 1024 * 1024
"""Bytes of one folder's list."""
_KINDS: Final[dict[Any, Kind]] = {"file": "file", "directory": "folder"}


class Folders:
    """The entries of a folder and, if *recursive*, of those below it: a folder per request, when it is reached."""

    def __init__(self, asker: Asker, prefix: str, *, recursive: bool) -> None:
        self._asker = asker
        self._recursive = recursive
        self._ahead: deque[str] = deque()
        self._prefix = prefix
        self._entries: Iterator[Entry] = iter(())

    async def begin(self) -> None:
        """Ask for the first folder."""
        try:
            self._entries = iter(await self._index(self._prefix))
        except NoSuchFile:
            if not self._prefix:
                raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        await trio.lowlevel.checkpoint()
        while True:
            for entry in self._entries:
                if self._recursive and entry.kind == "folder" and entry.problem is None:
                    self._ahead.append(entry.path)
                return entry
            if not self._ahead:
                raise StopAsyncIteration
            folder = self._ahead.popleft()
            try:
                self._entries = iter(await self._index(folder))
            except SessionctxError as error:
                return Entry(path=folder, kind="folder", problem=error)

    async def _index(self, folder: str) -> list[Entry]:
        patience = Patience()
        while True:
            try:
                return _entries(self._asker.public, folder, await self._fetch(folder))
            except PASSING as error:
                await patience.pause(error)

    async def _fetch(self, folder: str) -> list[dict[str, Any]]:
        where = f"{folder}/" if folder else ""
        async with self._asker.ask(where, {"Accept": "application/json"}, limit=_MOST) as (request, response):
            if not response.headers.get("content-type", "").startswith("application/json"):
                shown = self._asker.public
                raise CannotDo(
                    f"{shown} does not list {where or 'its root'} as JSON: name the files", storage=shown, path=folder
                )
            told = await response.read(request.came)
        listed: list[dict[str, Any]] = []
        try:
            listed = json.loads(told)
            names = [each["name"] for each in listed]
        except (ValueError, TypeError, KeyError, RecursionError):
            names = [None]
        if not all(isinstance(name, str) for name in names):
            raise self._asker.bad(f"sends a list of {where or 'its root'} that is none")
        return listed


def _entries(shown: str, folder: str, listed: list[dict[str, Any]]) -> list[Entry]:
    return [_entry(shown, joined(folder, each["name"]), each) for each in listed]


def _entry(shown: str, path: str, each: dict[str, Any]) -> Entry:
    name: str = each["name"]
    fault = "its name is empty, or has a slash" if not name or "/" in name else fault_of(path)
    if fault is not None:
        problem = InvalidLocation(f"{shown}: {path[:200]!r} cannot be had: {fault}", storage=shown, path=path)
        return Entry(path=path, kind="other", problem=problem)
    size, kind = each.get("size"), _KINDS.get(each.get("type"), "other")
    modified = time_of(str(each.get("mtime", "")))
    return Entry(path=path, kind=kind, size=size if isinstance(size, int) and size >= 0 else None, modified=modified)

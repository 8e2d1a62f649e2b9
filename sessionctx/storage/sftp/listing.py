"""Folders as they are told: a few names at a time, folder after folder. Links are shown and never followed."""

from __future__ import annotations

from collections import deque
from typing import Final, Self

import attrs
import trio

from sessionctx.errors import AccessDenied, InvalidLocation, SessionctxError
from sessionctx.storage.base import Entry
from sessionctx.storage.paths import fault_of, joined
from sessionctx.storage.sftp import calls, replies
from sessionctx.storage.sftp.dial import Session
from sessionctx.storage.sftp.faults import entry, fault
from sessionctx.storage.sftp.line import Pending, Refused
from sessionctx.storage.sftp.replies import Attributes, Handle, Names
from sessionctx.storage.sftp.target import Target

_AHEAD: Final = 8
"""Pages of names that are asked for at a time, at most; the first alone."""


@attrs.define(eq=False)
class Folder:
    """An open folder."""

    path: str
    handle: bytes
    _session: Session
    _asked: deque[Pending] = attrs.field(factory=deque[Pending], init=False)
    _ahead: int = attrs.field(default=0, init=False)

    @classmethod
    async def open(cls, session: Session, path: str, where: bytes) -> Self:
        """Open the folder *path*, which the server calls *where*. :exc:`Refused`."""
        opened = await session.line.ask(calls.open_folder(where))
        if not isinstance(opened, Handle):
            raise session.line.odd("it was asked for a handle, and tells something else")
        return cls(path, opened.name, session)

    async def page(self) -> tuple[tuple[bytes, Attributes], ...] | None:
        """Return some more of its names; None at its end. :exc:`Refused`."""
        line = self._session.line
        self._ahead = min(self._ahead * 2 or 1, _AHEAD)  # many only for who goes on reading
        while len(self._asked) < self._ahead:
            self._asked.append(line.begin(calls.read_folder(self.handle)))
        try:
            told = await line.take(self._asked[0])
        except Refused as refusal:
            if refusal.status.code == replies.EOF:
                return None
            raise
        self._asked.popleft()
        if not isinstance(told, Names):
            raise line.odd("it was asked for names, and tells something else")
        self._session.shows_dots |= any(name == b"." for name, _ in told.names)
        return told.names

    def close(self) -> None:
        """Close it, without waiting."""
        for pending in self._asked:
            self._session.line.drop(pending)
        self._session.line.close(self.handle)


@attrs.define(eq=False)
class SftpListing:
    """The entries of a folder, or of all below it."""

    _folder: Folder | None
    """The one that is being read."""
    _target: Target
    _session: Session
    _recursive: bool
    _names: deque[tuple[bytes, Attributes]] = attrs.field(factory=deque[tuple[bytes, Attributes]], init=False)
    _path: str = attrs.field(init=False)
    """What the names are in."""
    _below: list[tuple[str, Attributes]] = attrs.field(factory=list[tuple[str, Attributes]], init=False)
    """Folders to come."""

    def __attrs_post_init__(self) -> None:
        self._path = "" if self._folder is None else self._folder.path

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        """Return the next one."""
        while True:
            found = self._known()
            if found is not None:
                await trio.lowlevel.checkpoint_if_cancelled()  # others get their turns with each page
                return found
            found = await self._fetched()
            if found is not None:
                return found

    def close(self) -> None:
        """Ask for no more."""
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    # ---

    def _known(self) -> Entry | None:
        """Return the next of the entries whose names have come."""
        while self._names:
            name, found = self._names.popleft()
            if name in {b".", b".."}:
                continue
            path, problem = self._named(name)
            if problem is not None:
                return Entry(path=path, kind=found.kind, problem=problem)
            if self._recursive and found.kind == "folder":
                self._below.append((path, found))  # told when it is known whether it can be read
                continue
            return entry(path, found)
        return None

    def _named(self, name: bytes) -> tuple[str, SessionctxError | None]:
        """Return the path of *name*, and why it can be none."""
        text = name.decode(errors="replace")
        shown = self._target.public
        path = joined(self._path, text)
        why = "is not UTF-8" if text.encode() != name else fault_of(path) or ("holds a slash" if "/" in text else None)
        if why is None:
            return path, None
        safe = "".join(c if c.isprintable() and c != "/" else "?" for c in text[:300]) or "?"
        path, shown = joined(self._path, safe), self._target.public
        return path, InvalidLocation(f"{shown}: {path} is no path here: {why}", storage=shown, path=path)

    async def _fetched(self) -> Entry | None:
        """Get more names, or open the next folder and return its entry. :exc:`StopAsyncIteration` if there is none."""
        if self._folder is not None:
            return await self._more(self._folder)
        if not self._below:
            raise StopAsyncIteration
        path, found = self._below.pop()
        try:
            self._folder = await Folder.open(self._session, path, self._target.at(path))
            self._path = path
            return await self._begun(self._folder, entry(path, found))
        except Refused as refusal:
            self.close()
            return attrs.evolve(entry(path, found), problem=fault(refusal.status, path, self._target.public))

    async def _begun(self, folder: Folder, itself: Entry) -> Entry:
        """Return the entry of a folder whose first names have come."""
        names = await folder.page()
        if names is not None:
            self._names.extend(names)
            return itself
        self.close()
        return attrs.evolve(itself, problem=self._hidden(folder.path)) if self._session.shows_dots else itself

    def _hidden(self, path: str) -> AccessDenied:
        """Return the error of a folder of which nothing is told: the server leaves out what it may not look at."""
        shown = self._target.public
        return AccessDenied(f"{shown}: what is in {path or 'the root'} is not for us to see", storage=shown, path=path)

    async def _more(self, folder: Folder) -> Entry | None:
        try:
            names = await folder.page()
        except Refused as refusal:
            self.close()
            problem = fault(refusal.status, folder.path, self._target.public)
            return Entry(path=folder.path, kind="folder", problem=problem)
        if names is None:
            self.close()
        else:
            self._names.extend(names)
        return None

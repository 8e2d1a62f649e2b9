"""The files below a CID, as a storage that can be read: what ``cp`` takes for ``ipfs://CID/path``."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, NoReturn, Self

import attrs
import trio

from sessionctx.content import CID
from sessionctx.dag import Files, Stat
from sessionctx.errors import CannotDo, SessionctxError
from sessionctx.storage import Can, Entry, Kind, Listing, Location, Reader, Source, WriteOptions, checked

CAN: Final = Can(write=False, links=True, best_part=sys.maxsize)
_KINDS: Final[dict[str, Kind]] = {
    "file": "file",
    "directory": "folder",
    "symlink": "link",
}
_PLAIN: Final = WriteOptions()


@attrs.define(eq=False)
class DagStorage:
    """What is below *root*. The node behind *files* asks its peers, in parts of its own choice."""

    files: Files
    root: CID
    can: Can = CAN

    @property
    def url(self) -> str:
        """The root, as a URL."""
        return f"ipfs://{self.root}"

    @property
    def public(self) -> str:
        """The same as its url: there are no credentials."""
        return self.url

    @property
    def endpoint(self) -> str:
        """Its own: a name is nowhere."""
        return self.url

    async def stat(self, path: str = "") -> Entry:
        """Return what the first block of *path* says."""
        found = await self.files.stat(self.root, path=checked(path))
        return _entry(path, found)

    @asynccontextmanager
    async def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AsyncGenerator[Reader]:
        """Read a file, verified; it has but one version."""
        del version
        entry = await self.stat(path)
        async with self.files.cat(self.root, path=path, offset=offset, length=length) as chunks:
            yield _Chunks(entry, chunks)

    @asynccontextmanager
    async def list(
        self, prefix: str = "", *, recursive: bool = False, after: str | None = None
    ) -> AsyncGenerator[Listing]:
        """List a directory and, if *recursive*, those below it: one after the other."""
        del after
        await self.files.stat(self.root, path=checked(prefix))
        yield _Walk(self, prefix, recursive=recursive)

    async def write(
        self, path: str, source: Source, *, size_hint: int | None = None, options: WriteOptions = _PLAIN
    ) -> Entry:
        """Refused."""
        del source, size_hint, options
        await self._refuse(path)

    async def delete(self, path: str) -> None:
        """Refused."""
        await self._refuse(path)

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Refused."""
        await self._refuse(", ".join(paths))

    async def mkdir(self, path: str) -> None:
        """Refused."""
        await self._refuse(path)

    async def rename(self, source: str, target: str) -> None:
        """Refused."""
        del target
        await self._refuse(source)

    async def copy(self, source: str, target: str) -> Entry:
        """Refused."""
        del target
        await self._refuse(source)

    async def _refuse(self, path: str) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise CannotDo(f"{Location(self, path).shown} is a name for what it is: it cannot be changed", path=path)


def _entry(path: str, found: Stat) -> Entry:
    kind = _KINDS.get(found.kind, "other")
    return Entry(
        path=path,
        kind=kind,
        size=found.size if kind == "file" else None,
        modified=found.mtime,
        version=str(found.cid),
        mode=None if found.mode is None else found.mode & 0o777,
    )


class _Chunks:
    def __init__(self, entry: Entry, chunks: AsyncIterator[bytes]) -> None:
        self.entry = entry
        self._chunks = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not (chunk := await anext(self._chunks)):
            pass
        return chunk


class _Walk:
    """The entries of a directory; those of the ones below it, when they are reached."""

    def __init__(self, storage: DagStorage, prefix: str, *, recursive: bool) -> None:
        self._storage = storage
        self._recursive = recursive
        self._ahead: deque[str] = deque([prefix])
        self._entries: deque[Entry] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        await trio.lowlevel.checkpoint()
        while not self._entries:
            if not self._ahead:
                raise StopAsyncIteration
            await self._read(self._ahead.popleft())
        entry = self._entries.popleft()
        if self._recursive and entry.kind == "folder" and entry.problem is None:
            self._ahead.append(entry.path)
        return entry

    async def _read(self, folder: str) -> None:
        storage = self._storage
        try:
            async with storage.files.ls(storage.root, path=folder, detail=True) as entries:
                async for entry in entries:
                    kind = _KINDS.get(entry.kind or "", "other")
                    path, size = (
                        Location(storage, folder).below(entry.name).path,
                        entry.size if kind == "file" else None,
                    )
                    self._entries.append(Entry(path=path, kind=kind, size=size, version=str(entry.cid)))
        except SessionctxError as error:
            self._entries.append(Entry(path=folder, kind="folder", problem=error))

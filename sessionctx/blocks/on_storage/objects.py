"""Objects in a storage: read with a bound, written whole, listed in order; what fails is said as a store's error."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Final

import attrs

from sessionctx.errors import (
    FileExists,
    NoRoom,
    NoSuchFile,
    PeerError,
    StorageError,
    StoreCorrupt,
    StoreError,
    StoreFull,
)
from sessionctx.storage import Backend, Entry, WriteOptions

_NEW: Final = WriteOptions(if_absent=True)


@attrs.frozen(eq=False)
class Objects:
    """The objects below *prefix* in a storage. What is wrong with the storage is a :exc:`StoreError`."""

    backend: Backend
    prefix: str = ""

    @property
    def public(self) -> str:
        """What they are called in errors."""
        return "/".join(filter(None, (self.backend.public.rstrip("/"), self.prefix)))

    async def read(self, path: str, *, limit: int, offset: int = 0) -> bytes | None:
        """Return an object from *offset* on, up to *limit* bytes of it; None if it is not there."""
        pieces: list[bytes | bytearray | memoryview] = []
        size = 0
        with self._failing():
            try:
                async with self.backend.read(self._full(path), offset=offset, length=limit) as reader:
                    async for piece in reader:
                        pieces.append(piece)
                        size += len(piece)
                        if size > limit:
                            raise StoreCorrupt(f"{self.public}/{path}: more comes of it than was asked for")
            except NoSuchFile:
                return None
        return b"".join(pieces)

    async def write(self, path: str, data: bytes, *, new: bool = False) -> Entry | None:
        """Write an object; if it shall be *new* and is there already, return None."""
        with self._failing():
            try:
                options = _NEW if new else WriteOptions()
                return await self.backend.write(self._full(path), data, size_hint=len(data), options=options)
            except FileExists:
                if not new:
                    raise
                return None

    async def files(self, folder: str, *, after: str = "", most: int | None = None) -> list[Entry]:
        """Return the files in *folder* in the order of their names, those behind the path *after*, the first *most*."""
        if self.backend.can.sorted:
            return await self._listed(folder, "file", recursive=True, after=after, most=most)
        found = [entry for entry in await self._listed(folder, "file", recursive=True) if entry.path > after]
        return sorted(found, key=lambda entry: entry.path)[:most]

    async def folders(self, folder: str) -> list[str]:
        """Return the paths of the folders in *folder*."""
        return [entry.path for entry in await self._listed(folder, "folder")]

    async def _listed(
        self, folder: str, kind: str, *, recursive: bool = False, after: str = "", most: int | None = None
    ) -> list[Entry]:
        found: list[Entry] = []
        start = self._full(after) if after else None
        with self._failing(), suppress(NoSuchFile):
            async with self.backend.list(self._full(folder), recursive=recursive, after=start) as listing:
                async for entry in listing:
                    if entry.problem is not None:
                        raise entry.problem
                    if entry.kind == kind:
                        found.append(attrs.evolve(entry, path=entry.path[len(self._full("")) :]))
                    if len(found) == most:
                        break
        return found

    async def now(self, path: str) -> float:
        """Return the time by the clock of the storage, in seconds since 1970; *path* is written to learn it."""
        await self.write(path, b"now")
        with self._failing():
            modified = (await self.backend.stat(self._full(path))).modified
        if modified is None:
            raise StoreError(f"{self.public}: the storage does not tell when objects were written")
        return modified

    async def remove(self, paths: Iterable[str]) -> None:
        """Delete objects, as many to a request as can be. The first that cannot be deleted is the error."""
        with self._failing():
            for error in (await self.backend.delete_many(map(self._full, paths))).values():
                raise error

    def _full(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except NoRoom as error:
            raise StoreFull(f"{self.public}: {error}") from error
        except (StorageError, PeerError) as error:
            raise StoreError(f"{self.public}: {error}") from error

"""One file from one place to another, by the best way that the two have between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

import attrs

from sessionctx.storage.base import Backend, Can, Entry, Reader, WriteOptions
from sessionctx.storage.downloading import download
from sessionctx.storage.local import LocalStorage
from sessionctx.storage.paths import joined

_ABOUT_A_SECOND: Final = 1.0
"""Some places keep times no better than this."""


@attrs.frozen
class Location:
    """A path in a storage."""

    storage: Backend
    path: str = ""

    def below(self, path: str) -> Location:
        """Return the location of *path* below this one."""
        return Location(self.storage, joined(self.path, path))

    def relative(self, path: str) -> str:
        """Return *path* of the storage as it is called below this location; if it is not there, it stays as it is."""
        prefix = self.path and f"{self.path}/"
        return path.removeprefix(prefix)

    @property
    def shown(self) -> str:
        """How to tell people of it, without credentials."""
        root = self.storage.public
        return root + self.path if root.endswith("/") else joined(root, self.path)


async def transfer(
    source: Location, target: Location, entry: Entry, *, resume: bool, progress: Callable[[int], object]
) -> int:
    """Copy the file that *entry* tells of; return its bytes. *progress* is called with each number of bytes that moved.

    Within one storage that is left to it. Large files come to this disk in parts, several at a time, where a single
    read would not fill the line, or what has come is to be kept for another time (*resume*). Others are streamed.
    Times, permissions, content type and metadata are kept where both sides do that.
    """
    one = (source.storage.endpoint, source.storage.url) == (target.storage.endpoint, target.storage.url)
    if one and target.storage.can.copy:
        copied = await target.storage.copy(source.path, target.path)
    elif isinstance(source.storage, LocalStorage) and isinstance(target.storage, LocalStorage):
        copied = await target.storage.copy_from(source.storage, source.path, target.path)
    elif isinstance(target.storage, LocalStorage) and _is_for_parts(source.storage.can, entry, resume=resume):
        return await _in_parts(source, target, target.storage, resume=resume, progress=progress)
    else:
        return await _streamed(source, target, progress)
    progress(copied.size or 0)
    return copied.size or 0


def _is_for_parts(can: Can, entry: Entry, *, resume: bool) -> bool:
    return (entry.size or 0) > can.best_part and (resume or not can.pipelined)


async def _in_parts(
    source: Location, target: Location, folder: LocalStorage, *, resume: bool, progress: Callable[[int], object]
) -> int:
    entry = await source.storage.stat(source.path)  # a listing need not tell the version
    got = await download(
        source.storage,
        source.path,
        folder,
        target.path,
        entry=entry,
        options=_kept(entry, target),
        resume=resume,
        progress=progress,
    )
    return got.size or 0


async def _streamed(source: Location, target: Location, progress: Callable[[int], object]) -> int:
    async with source.storage.read(source.path) as reader:
        counted = _Counted(reader, progress)
        options = _kept(reader.entry, target)
        await target.storage.write(target.path, counted, size_hint=reader.entry.size, options=options)
    return counted.bytes


def is_same(source: Entry, target: Entry, *, times: bool) -> bool:
    """Whether *target* is, by all that is known, a copy of *source*. *times*: whether it keeps those it is given."""
    if target.kind != "file" or source.size is None or source.size != target.size:
        return False
    if source.version is not None and source.version == target.version:
        return True
    if source.modified is None or target.modified is None:
        return False
    if times:
        return abs(source.modified - target.modified) < _ABOUT_A_SECOND
    return target.modified >= source.modified


def _kept(entry: Entry, target: Location) -> WriteOptions:
    """Return what of *entry* is told to the target; of that it keeps what it can."""
    can = target.storage.can
    return WriteOptions(
        modified=entry.modified if can.times else None,
        mode=entry.mode if can.modes else None,
        content_type=entry.content_type if can.metadata else None,
        metadata=entry.metadata if can.metadata else {},
    )


class _Counted:
    """The pieces of a reader; they are counted as they are asked for."""

    def __init__(self, reader: Reader, progress: Callable[[int], object]) -> None:
        self._reader = reader
        self._progress = progress
        self.bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | bytearray | memoryview:
        piece = await anext(self._reader)
        count = memoryview(piece).nbytes
        self.bytes += count
        self._progress(count)
        return piece

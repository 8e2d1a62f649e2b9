"""Reading files and folders and making blocks of them: plain blocking code, run in worker threads in short steps."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from typing import Final

import attrs
import trio

from sessionctx.blocks import BATCH_BLOCKS, BATCH_BYTES
from sessionctx.content import Block, PBLink, unixfs
from sessionctx.dag.source import unreadable
from sessionctx.dag.unixfs.build import PLAIN, Attributes, Built, FileBuilder, build_symlink
from sessionctx.dag.unixfs.chunk import chunker_of
from sessionctx.dag.unixfs.directory import build_directory
from sessionctx.dag.unixfs.leaves import Leaves
from sessionctx.dag.unixfs.node import MAX_FOLDERS
from sessionctx.dag.unixfs.profile import Profile
from sessionctx.errors import DagTooDeep, SourceChanged, SourceUnreadable, Unaddable

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WHAT: Final = (
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


class _Changed(Exception):  # never leaves this module
    """A file is not what it was when it was opened."""


class Batch:
    """Collects blocks until there are enough of them to store together."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._bytes = 0

    def add(self, block: Block) -> None:
        """Take a block."""
        self.blocks.append(block)
        self._bytes += len(block.data)

    @property
    def full(self) -> bool:
        """Whether it is time to store them."""
        return self._bytes >= BATCH_BYTES or len(self.blocks) >= BATCH_BLOCKS

    def take(self) -> list[Block]:
        """Return what was collected, and begin anew."""
        blocks, self.blocks, self._bytes = self.blocks, [], 0
        return blocks


@attrs.frozen
class Step:
    """What one step made, and how far all steps together have come."""

    blocks: list[Block]
    files: int
    bytes: int


class Scan:
    """Makes blocks of a file, symlink or folder, step by step; children come before their parents."""

    def __init__(
        self, path: str, profile: Profile, *, hidden: bool = False, mode: bool = False, mtime: bool = False
    ) -> None:
        self.files = 0
        self.folders = 0
        self.symlinks = 0
        self.bytes = 0
        self.built: Built | None = None
        """The root, once all steps are done."""
        self._profile = profile
        self._hidden = hidden
        self._mode = mode
        self._mtime = mtime
        self._batch = Batch()
        self._leaves = Leaves(profile)
        self._chunker = chunker_of(profile)
        self._work = self._run(path)

    def step(self) -> Step | None:
        """Read on until there is a batch of blocks; ``None`` at the end. Blocks; run it in a worker thread.

        Raises:
            SourceUnreadable, SourceChanged, Unaddable: each names the path.
            DagTooDeep: folders are nested more than 256 deep.
        """
        if self.built is not None:
            return None
        next(self._work, None)
        return Step(self._batch.take(), self.files, self.bytes)

    def close(self) -> None:
        """Close what is open."""
        self._work.close()
        self._leaves.close()

    def _run(self, path: str) -> Generator[None, None, None]:
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError) as error:
            raise _error(path, error) from error
        self.built = yield from self._entry(path, mode, 0)

    def _entry(self, path: str, mode: int, depth: int) -> Generator[None, None, Built]:
        if stat.S_ISREG(mode):
            return (yield from self._file(path))
        if stat.S_ISDIR(mode):
            return (yield from self._folder(path, depth))
        if stat.S_ISLNK(mode):
            return self._symlink(path)
        raise _special(path, mode)

    def _folder(self, path: str, depth: int) -> Generator[None, None, Built]:
        if depth > MAX_FOLDERS:
            raise DagTooDeep(f"{path[:200]!r} is nested in more than {MAX_FOLDERS} folders")
        links: list[PBLink] = []
        attributes = self._attributes(os.lstat(path)) if self._mode or self._mtime else PLAIN
        for name, mode in self._names(path):
            built = yield from self._entry(f"{path.rstrip('/')}/{name}", mode, depth + 1)
            links.append(PBLink(built.cid, name, built.dag_size))
            if self._batch.full:
                yield
        self.folders += 1
        return build_directory(self._profile, self._batch.add, links, attributes)

    def _names(self, path: str) -> list[tuple[str, int]]:
        """Return the names in a folder, in the order of their bytes, each with what it is."""
        try:
            with os.scandir(path) as found:
                wanted = (entry for entry in found if self._hidden or not entry.name.startswith("."))
                names = sorted((_encode(entry), entry.name, _mode(entry)) for entry in wanted)
        except OSError as error:
            raise _error(path, error) from error
        return [(name, mode) for _, name, mode in names]

    def _symlink(self, path: str) -> Built:
        try:
            target = os.readlink(os.fsencode(path))  # noqa: PTH115  # as bytes
            mtime = self._attributes(os.lstat(path)).mtime if self._mtime else None
        except OSError as error:
            raise _error(path, error) from error
        self.symlinks += 1
        return build_symlink(self._profile, self._batch.add, target, Attributes(mtime=mtime))

    def _file(self, path: str) -> Generator[None, None, Built]:
        try:
            fd = os.open(path, _OPEN)
        except OSError as error:
            raise _error(path, error) from error
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise _special(path, before.st_mode)
            builder = FileBuilder(self._profile, self._batch.add)
            yield from self._chunks(fd, before.st_size, builder)
            _check_unchanged(before, os.fstat(fd))
        except OSError as error:
            raise _error(path, error) from error
        except _Changed:
            raise SourceChanged(f"{path!r} changed while it was read; add it again when it is at rest") from None
        finally:
            os.close(fd)
        self.files += 1
        return builder.finish(self._attributes(before))

    def _attributes(self, found: os.stat_result) -> Attributes:
        """Return what is to be said of a file or folder; its times before 1970 count nanoseconds upwards, too."""
        if not self._mode and not self._mtime:
            return PLAIN
        mode = stat.S_IMODE(found.st_mode) if self._mode else None
        mtime = unixfs.Mtime(*divmod(found.st_mtime_ns, 1_000_000_000)) if self._mtime else None
        return Attributes(mode, mtime)

    def _chunks(self, fd: int, size: int, builder: FileBuilder) -> Generator[None, None, None]:
        """Read *size* bytes and not one more. `_Changed` if there are not exactly so many."""
        chunker, left = self._chunker(), size
        while left:
            trio.from_thread.check_cancelled()
            piece = _read(fd, min(left, chunker.piece))
            for chunk in chunker.feed(piece):
                self._leaves.add(chunk)
            left -= len(piece)
            self.bytes += len(piece)
            if not left:
                for chunk in chunker.finish():
                    self._leaves.add(chunk)
            if not left or self._leaves.bytes >= BATCH_BYTES:
                for leaf in self._leaves.take():
                    builder.add_leaf(leaf)
            if self._batch.full:
                yield
        if os.read(fd, 1):
            raise _Changed


def _read(fd: int, size: int) -> bytes:
    """Read exactly *size* bytes, or raise `_Changed`."""
    chunk = os.read(fd, size)
    while len(chunk) < size:
        more = os.read(fd, size - len(chunk))
        if not more:
            raise _Changed
        chunk += more
    return chunk


def _check_unchanged(before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _Changed


def _mode(entry: os.DirEntry[str]) -> int:
    """Return what *entry* is; the common kinds cost no look at the disk."""
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return entry.stat(follow_symlinks=False).st_mode


def _encode(entry: os.DirEntry[str]) -> bytes:
    try:
        return entry.name.encode()
    except UnicodeEncodeError:
        raise Unaddable(f"{entry.path!r} has a name that is not UTF-8; rename it, or leave it out") from None


def _special(path: str, mode: int) -> Unaddable:
    kind = next((name for test, name in _WHAT if test(mode)), "no file, folder or symlink")
    return Unaddable(f"{path!r} is {kind}: only files, folders and symlinks can be added")


def _error(path: str, error: OSError | ValueError) -> SourceUnreadable:
    if isinstance(error, OSError):
        return unreadable(path, error)
    return SourceUnreadable(f"{path!r} is no path: {error}")

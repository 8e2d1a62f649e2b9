"""Import: from files, folders, bytes and streams to blocks in a store.

Reading, cutting and hashing happen in a worker thread, 8 MiB of blocks a step, while the blocks of the step before are
being stored: two cores are busy, and little is in memory. Parents are stored after their children, so a root that is in
the store is whole.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Final, TypedDict, Unpack

import attrs
import trio

from sessionctx.blocks import BATCH_BYTES, Blockstore, pins_of
from sessionctx.content import CID, keep_what_is_freed
from sessionctx.dag.overlap import overlap
from sessionctx.dag.source import Pieces, Source, open_source
from sessionctx.dag.unixfs.build import Built, FileBuilder
from sessionctx.dag.unixfs.chunk import chunker_of
from sessionctx.dag.unixfs.leaves import Leaves
from sessionctx.dag.unixfs.profile import Profile
from sessionctx.dag.unixfs.progress import OnProgress, Progress
from sessionctx.dag.unixfs.scan import Batch, Scan, Step

INLINE: Final = 256 * 1024
"""Bytes that are hashed without the cost of going to another thread and back."""


@attrs.frozen
class Added:
    """What was added."""

    cid: CID
    """The root."""
    size: int
    """Bytes of all its files."""
    dag_size: int
    """Bytes of all its blocks."""
    files: int = 1
    folders: int = 0
    symlinks: int = 0


class How(TypedDict):
    """What is kept of files and folders; see `Files.add`."""

    hidden: bool
    mode: bool
    mtime: bool


async def add(
    blocks: Blockstore,
    source: Source,
    profile: Profile,
    *,
    pin: bool,
    progress: OnProgress | None,
    **how: Unpack[How],
) -> Added:
    """Add a file, folder or symlink, or one file from its bytes, and *pin* it where pins are kept; see `Files.add`."""
    keep_what_is_freed()
    pins = pins_of(blocks) if pin else None
    async with pins.hold() if pins is not None else nullcontext():
        if isinstance(source, bytes | AsyncIterable):
            name, added = None, await _add_pieces(blocks, source, profile, progress)
        else:
            name, added = Path(source).name, await _add_path(blocks, source, profile, progress, **how)
        if pins is not None:
            await pins.add(added.cid, name or None)
        await blocks.sync()
    return added


async def _add_path(
    blocks: Blockstore,
    path: str | os.PathLike[str],
    profile: Profile,
    progress: OnProgress | None,
    **how: Unpack[How],
) -> Added:
    """Errors as in :meth:`Scan.step`, and the store's."""
    scan = Scan(os.fspath(path), profile, **how)

    async def make() -> Step | None:
        return await trio.to_thread.run_sync(scan.step)

    try:
        await overlap(make, _storing(blocks, progress), ahead=2)
    finally:
        scan.close()
    assert scan.built is not None
    return Added(scan.built.cid, scan.bytes, scan.built.dag_size, scan.files, scan.folders, scan.symlinks)


async def _add_pieces(
    blocks: Blockstore, source: bytes | AsyncIterable[bytes], profile: Profile, progress: OnProgress | None
) -> Added:
    async with AsyncExitStack() as stack:
        making = _Making(await open_source(source, stack), profile)
        stack.callback(making.close)
        await overlap(making.make, _storing(blocks, progress))
    assert making.built is not None
    return Added(making.built.cid, making.bytes, making.built.dag_size)


def _storing(blocks: Blockstore, progress: OnProgress | None) -> Callable[[Step], Awaitable[None]]:
    async def store(step: Step) -> None:
        await blocks.put_many(step.blocks)
        if progress is not None:
            progress(Progress(step.files, step.bytes))

    return store


class _Making:
    """A file being made of pieces that arrive."""

    def __init__(self, pieces: Pieces, profile: Profile) -> None:
        self.built: Built | None = None
        self.bytes = 0
        self._pieces = pieces
        self._batch = Batch()
        self._chunker = chunker_of(profile)()
        self._builder = FileBuilder(profile, self._batch.add)
        self._leaves = Leaves(profile)

    async def make(self) -> Step | None:
        """Return the next blocks; ``None`` at the end."""
        await trio.lowlevel.checkpoint()
        if self.built is not None:
            return None
        pieces, size, ended = await self._collect()
        if size > INLINE:
            await trio.to_thread.run_sync(self._build, pieces, ended)
        else:
            self._build(pieces, ended)
        self.bytes += size
        return Step(self._batch.take(), 1 if ended else 0, self.bytes)

    def close(self) -> None:
        """End what helps."""
        self._leaves.close()

    async def _collect(self) -> tuple[list[bytes], int, bool]:
        """Return pieces worth one step, their bytes, and whether they are the last."""
        pieces: list[bytes] = []
        size = 0
        while size < BATCH_BYTES:
            piece = await self._pieces.next()
            if not piece:
                return pieces, size, True
            pieces.append(piece)
            size += len(piece)
        return pieces, size, False

    def _build(self, pieces: list[bytes], ended: bool) -> None:  # noqa: FBT001
        for piece in pieces:
            for chunk in self._chunker.feed(piece):
                self._leaves.add(chunk)
        if ended:
            for chunk in self._chunker.finish():
                self._leaves.add(chunk)
        for leaf in self._leaves.take():
            self._builder.add_leaf(leaf)
        if ended:
            self.built = self._builder.finish()

"""Export: from blocks to files and folders, which appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import attrs
import trio

from sessionctx.blocks import Blockstore
from sessionctx.content import CID, Block
from sessionctx.dag.frontier import Ahead, Frontier
from sessionctx.dag.overlap import overlap
from sessionctx.dag.unixfs.progress import OnProgress, Progress
from sessionctx.dag.unixfs.read import size_below
from sessionctx.dag.unixfs.target import Counts, Target
from sessionctx.dag.unixfs.unpack import Action, Named, Step, Tag, Write, unpack
from sessionctx.dag.walk import Walk, always
from sessionctx.errors import ExportError

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes written in one step (and one block more)."""
BATCH_ACTIONS: Final = 256
"""Files, folders and pieces written in one step."""


@attrs.frozen
class Exported:
    """What was exported."""

    cid: CID
    path: Path
    size: int
    """Bytes of all its files."""
    files: int = 0
    folders: int = 0
    symlinks: int = 0


async def export_to(
    blocks: Blockstore, root: CID, path: str | os.PathLike[str], *, progress: OnProgress | None, max_entries: int
) -> Exported:
    """Write the file, directory or symlink *root* to *path*, which must not exist. See `Files.export`."""
    target = await trio.to_thread.run_sync(Target, path)
    whole = False
    total: int | None = None

    def visit(block: Block, tag: Tag) -> Step:
        nonlocal total
        step = unpack(block, tag)
        if total is None:  # it is the root
            total = size_below(block)
        return step

    def report(counts: Counts) -> None:
        if progress is not None:
            progress(Progress(counts.files, counts.bytes, total))

    try:
        tag: Tag = Named(target.base, target.root)
        async with Walk(blocks, Frontier(root, tag, visit, Ahead(), dups=True), whole=always) as found:
            writing = _Writing(target, found, report, max_entries)
            await overlap(writing.gather, writing.write)
        await trio.to_thread.run_sync(target.finish)
        if (syncing := target.syncing()) is not None:
            await trio.to_thread.run_sync(syncing, abandon_on_cancel=True)
        await trio.to_thread.run_sync(target.publish)
        whole = True
    finally:
        if not whole:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(target.discard)
    counts = target.counts
    return Exported(root, Path(target.path), counts.bytes, counts.files, counts.folders, counts.symlinks)


class _Writing:
    """Writes what arrives; what arrives while something is being written is written together."""

    def __init__(
        self, target: Target, found: Walk[Tag, Iterable[Action]], report: Callable[[Counts], None], limit: int
    ) -> None:
        self._target = target
        self._found = found
        self._report = report
        self._limit = limit
        self._busy = False

    async def gather(self) -> list[Action] | None:
        """Return what is to be done next; ``None`` at the end."""
        batch: list[Action] = []
        size = 0
        async for actions in self._found:
            batch += actions
            size += sum(len(action.data) for action in actions if isinstance(action, Write))
            full = size >= BATCH_BYTES or len(batch) >= BATCH_ACTIONS
            if full or (batch and not self._busy and not self._found.ready):
                break
        return batch or None

    async def write(self, batch: list[Action]) -> None:
        """Do it."""
        self._busy = True
        await trio.to_thread.run_sync(self._target.perform, batch)
        self._busy = False
        counts = self._target.counts
        _check_count(counts, self._limit)
        self._report(counts)


def _check_count(counts: Counts, limit: int) -> None:
    if counts.files + counts.folders + counts.symlinks > limit:
        raise ExportError(
            f"there are more than {limit} files and folders; export a part, or allow more with max_entries"
        )

"""Collecting garbage: what no pin leads to goes. (The module ``gc`` is Python's own.)

**The law.** A collection never deletes a block

1. to which a pin leads through blocks that are in the store at the moment of deletion; so a root may be pinned, and
   missing blocks may come, while it runs;
2. which was put (again, or for the first time) later than *grace* seconds before the collection began;
3. which was put since the beginning of a hold (`Pins.hold`) that was there when the collection began.

So an import is safe if it takes less than the grace period, or holds, and pins its root before it lets go. Having read
a block, or having asked for it with `has`, keeps nothing. Times are those of the system's clock.

**How.** All marks go, and are made anew (`marks`); then what stands in line goes, until there is room (`sweep`). All is
done by the writer's thread in short steps, each inside a transaction, so nobody writes within a step, and others write
between two. Before a step deletes, it has marked what has come since: pins, and blocks that were missed below one. This
makes the first part of the law true.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from sessionctx.blocks import marks, work
from sessionctx.blocks.heap import Heap
from sessionctx.blocks.sweep import Sweep
from sessionctx.blocks.writer import Writer
from sessionctx.errors import NothingPinned

_ALL_WOULD_GO: Final = "SELECT EXISTS(SELECT 1 FROM blocks) AND NOT EXISTS(SELECT 1 FROM pins)"

GRACE: Final = 3600.0
"""Seconds for which a block stays that was put, pinned or not."""


@attrs.frozen
class Collected:
    """What a collection has deleted, or would have."""

    blocks: int
    """How many blocks."""
    bytes: int
    """Their bytes."""


async def collect(
    path: Path, writer: Writer, grace: float, max_bytes: int | None, *, everything: bool, dry_run: bool
) -> Collected:
    """Mark and sweep; see `DiskBlockstore.gc`."""
    sweep = Sweep(path, grace=grace, max_bytes=max_bytes or 0, thorough=True, dry_run=dry_run)
    await writer.do(partial(_begin, path, everything or dry_run or max_bytes is not None))
    while not sweep.place.ended:
        await writer.do(sweep.step)
        sweep.settle()
    if not dry_run:
        await writer.do(work.nothing, durable=True)  # only then is the room free
        await writer.do(partial(_cut, path))
    return Collected(sweep.place.blocks, sweep.place.bytes)


def _begin(path: Path, unpinned: bool, connection: sqlite3.Connection) -> tuple[int, int]:  # noqa: FBT001
    if not unpinned and connection.execute(_ALL_WOULD_GO).fetchone() == (1,):
        raise NothingPinned(
            f"nothing is pinned in {path}, so all of it would go. Pin what to keep (sessionctx pin add), or say that "
            "everything may go: gc(everything=True), sessionctx gc --everything"
        )
    marks.begin_again(connection)
    return 0, 0


def _cut(path: Path, connection: sqlite3.Connection) -> tuple[int, int]:
    with closing(Heap(path)) as heap:
        heap.cut(connection)
    return 0, 0

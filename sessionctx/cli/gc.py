"""``sessionctx gc``: delete what no pin leads to."""

from __future__ import annotations

import attrs
import click

from sessionctx.blocks import StorageBlockstore
from sessionctx.cli.options import Settings, common, settings, size
from sessionctx.cli.verb import Result, perform
from sessionctx.storage import open_storage


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Delete nothing; say what would be.")
@click.option("--max-bytes", type=size, metavar="SIZE", help="Stop when the store holds at most 10GiB, say.")
@click.option("--everything", is_flag=True, help="Go on where nothing is pinned.")
@common
def command(*, dry_run: bool, max_bytes: int | None, everything: bool) -> int:
    """Delete the blocks that no pin leads to, and give their room back.

    Safe while others use the store: what was put within the last hour stays, and so does what an add under way puts.
    With --max-bytes, what was used least recently goes first. A store without any pin is left alone, unless that or
    --everything is given: it may be from before there were pins.

    Where the store is a URL, nothing is pinned: gc gives back the room of blocks that were deleted, and sums up the
    index. Run it from one node at a time.
    """
    chosen = settings()
    if url := chosen.store_url():
        if dry_run or max_bytes is not None:
            raise click.UsageError("where --store is a URL, there are neither --dry-run nor --max-bytes")
        return perform("gc", chosen, lambda: _clear(chosen, url))
    return perform("gc", chosen, lambda: _collect(chosen, dry_run=dry_run, max_bytes=max_bytes, everything=everything))


async def _collect(chosen: Settings, *, dry_run: bool, max_bytes: int | None, everything: bool) -> Result:
    async with chosen.open_node() as node:
        found = await node.gc(max_bytes=max_bytes, everything=everything, dry_run=dry_run)
    line = f"{found.blocks} blocks\t{found.bytes} bytes"
    await chosen.output.data("collected", line, **attrs.asdict(found), dry_run=dry_run)
    return Result(attrs.asdict(found))


async def _clear(chosen: Settings, url: str) -> Result:
    async with open_storage(url) as storage, StorageBlockstore.open(storage) as store:
        found = await store.gc()
    for path in found.damaged:
        chosen.output.note(f"damaged: {path}")
    await chosen.output.data("cleared", f"{found.objects} objects\t{found.bytes} bytes", **attrs.asdict(found))
    return Result(attrs.asdict(found))

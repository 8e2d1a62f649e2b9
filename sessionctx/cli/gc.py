"""``sessionctx gc``: delete what no pin leads to."""

from __future__ import annotations

import attrs
import click

from sessionctx.cli.options import Settings, common, settings, size
from sessionctx.cli.verb import Result, perform


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
    """
    chosen = settings()
    return perform("gc", chosen, lambda: _collect(chosen, dry_run=dry_run, max_bytes=max_bytes, everything=everything))


async def _collect(chosen: Settings, *, dry_run: bool, max_bytes: int | None, everything: bool) -> Result:
    async with chosen.open_node() as node:
        found = await node.gc(max_bytes=max_bytes, everything=everything, dry_run=dry_run)
    line = f"{found.blocks} blocks\t{found.bytes} bytes"
    await chosen.output.data("collected", line, **attrs.asdict(found), dry_run=dry_run)
    return Result(attrs.asdict(found))

"""``sessionctx gc``: delete what no pin leads to."""

from __future__ import annotations

import attrs
import click

from sessionctx.cli.options import Settings, common, settings
from sessionctx.cli.verb import Result, perform


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Delete nothing; say what would be.")
@common
def command(*, dry_run: bool) -> int:
    """Delete the blocks that no pin leads to, and give their room back.

    Safe while others use the store: what was put within the last hour stays, and so does what an add under way puts.
    """
    chosen = settings()
    return perform("gc", chosen, lambda: _collect(chosen, dry_run=dry_run))


async def _collect(chosen: Settings, *, dry_run: bool) -> Result:
    async with chosen.open_node() as node:
        found = await node.gc(dry_run=dry_run)
    line = f"{found.blocks} blocks\t{found.bytes} bytes"
    await chosen.output.data("collected", line, **attrs.asdict(found), dry_run=dry_run)
    return Result(attrs.asdict(found))

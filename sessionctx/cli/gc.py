"""``sessionctx gc``: delete what no pin leads to."""

from __future__ import annotations

import attrs
import click

from sessionctx.cli.options import Settings, common, settings, size
from sessionctx.cli.verb import Result, perform


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Delete nothing; say what would be.")
@click.option("--room", type=size, default="0", metavar="SIZE", help="Stop when the store holds at most 10GiB, say.")
@click.option("--everything", is_flag=True, help="Go on where nothing is pinned.")
@common
def command(*, dry_run: bool, room: int, everything: bool) -> int:
    """Delete the blocks that no pin leads to, and give their room back.

    Safe while others use the store: what was put within the last hour stays, and so does what an add under way puts.
    With --room, what was used least recently goes first. A store without any pin is left alone, unless a room or
    --everything is given: it may be from before there were pins.
    """
    chosen = settings()
    return perform("gc", chosen, lambda: _collect(chosen, dry_run=dry_run, room=room, everything=everything))


async def _collect(chosen: Settings, *, dry_run: bool, room: int, everything: bool) -> Result:
    async with chosen.open_node() as node:
        if not (dry_run or room or everything) and not await node.pins.list():
            raise click.UsageError("nothing is pinned, so all of it would go; pin what to keep, or say --everything")
        found = await node.gc(room=room, dry_run=dry_run)
    line = f"{found.blocks} blocks\t{found.bytes} bytes"
    await chosen.output.data("collected", line, **attrs.asdict(found), dry_run=dry_run)
    return Result(attrs.asdict(found))

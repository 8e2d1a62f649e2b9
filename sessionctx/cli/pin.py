"""``sessionctx pin``: what to keep when garbage is collected."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings, common, settings
from sessionctx.cli.output import printable
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.verb import Result, perform


@click.group("pin")
def command() -> None:
    """Say what to keep when garbage is collected: roots, with all that they lead to."""


@command.command("add")
@click.argument("root", metavar="CID", nargs=-1, required=True, type=reference)
@click.option("--name", help="What to call it in the list; without it, it keeps the name that it has.")
@common
def add(root: tuple[Reference, ...], name: str | None) -> int:
    """Pin each CID. Nothing is fetched: what is not here yet is kept as soon as it comes."""
    chosen, roots = settings(), _whole(root)
    return perform("pin add", chosen, lambda: _add(chosen, roots, name))


async def _add(chosen: Settings, roots: Sequence[Reference], name: str | None) -> None:
    async with chosen.open_node() as node:
        for root in roots:
            await node.pins.add(root.cid, name)
            await chosen.output.data("pinned", str(root.cid), cid=str(root.cid), name=name)


@command.command("rm")
@click.argument("root", metavar="CID", nargs=-1, required=True, type=reference)
@common
def remove(root: tuple[Reference, ...]) -> int:
    """Unpin each CID. Blocks are deleted by gc, not by this."""
    chosen, roots = settings(), _whole(root)
    return perform("pin rm", chosen, lambda: _remove(chosen, roots))


async def _remove(chosen: Settings, roots: Sequence[Reference]) -> Result:
    removed = 0
    async with chosen.open_node() as node:
        for root in roots:
            if await node.pins.remove(root.cid):
                removed += 1
                await chosen.output.data("unpinned", str(root.cid), cid=str(root.cid))
            else:
                chosen.output.complain(f"sessionctx: {root.cid} is not pinned")
    code = Exit.DONE if removed == len(roots) else Exit.PARTLY if removed else Exit.FAILED
    return Result({"removed": removed, "failed": len(roots) - removed}, code)


@command.command("ls")
@common
def list_() -> int:
    """List the pins, the oldest first, with their names."""
    chosen = settings()
    return perform("pin ls", chosen, lambda: _list(chosen))


async def _list(chosen: Settings) -> Result:
    async with chosen.open_node() as node:
        pins = await node.pins.list()
    for pin in pins:
        line = f"{pin.cid}\t{printable(pin.name)}" if pin.name else str(pin.cid)
        await chosen.output.data("pin", line, cid=str(pin.cid), name=pin.name)
    return Result({"pins": len(pins)})


def _whole(roots: Sequence[Reference]) -> Sequence[Reference]:
    for root in roots:
        if root.path:
            raise click.UsageError(f"{root} has a path; name the CID itself (sessionctx stat says it)")
    return roots

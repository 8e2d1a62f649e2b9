"""``sessionctx stat``: what a CID or path is."""

from __future__ import annotations

import attrs
import click

from sessionctx import session
from sessionctx.cli.options import Settings, common, peers, settings
from sessionctx.cli.output import printable
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.verb import perform


@click.command("stat")
@click.argument("wanted", metavar="CID[/PATH]", type=reference)
@peers
@common
def command(wanted: Reference, asked: session.begin) -> int:
    """Say what the first block of a file, folder or symlink says about it."""
    chosen = settings()
    return perform("stat", chosen, lambda: _stat(chosen, wanted, asked))


async def _stat(chosen: Settings, wanted: Reference, asked: session.begin) -> None:
    with asked:
        async with chosen.open_node() as node:
            found = await node.files.stat(wanted.cid, path=wanted.path)
    facts = {name: value for name, value in attrs.asdict(found, recurse=False).items() if value is not None}
    facts["cid"] = str(found.cid)
    lines = [f"{name}\t{_text(value)}" for name, value in facts.items()]
    await chosen.output.data("stat", "\n".join(lines), **facts)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))

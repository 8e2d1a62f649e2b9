"""``sessionctx ls``: what is in a folder."""

from __future__ import annotations

import click

from sessionctx import session
from sessionctx.cli.options import Settings, common, peers, settings
from sessionctx.cli.output import Output, printable
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.verb import Result, perform
from sessionctx.dag import Entry


@click.command("ls")
@click.argument("wanted", metavar="CID[/PATH]", type=reference)
@click.option("--resolve", is_flag=True, help="Read the first block of each entry: exact sizes, and what it is.")
@peers
@common
def command(wanted: Reference, *, resolve: bool, asked: session.begin) -> int:
    """List a folder: for each entry its CID, its size and its name, with tabs between.

    Sizes are those of the blocks, as the folder tells them, unless --resolve is given.
    """
    chosen = settings()
    return perform("ls", chosen, lambda: _ls(chosen, wanted, asked, resolve=resolve))


async def _ls(chosen: Settings, wanted: Reference, asked: session.begin, *, resolve: bool) -> Result:
    count = 0
    with asked:
        async with (
            chosen.open_node() as node,
            node.files.ls(wanted.cid, path=wanted.path, detail=resolve) as entries,
        ):
            async for entry in entries:
                count += 1
                await _show(chosen.output, entry)
    return Result({"entries": count})


async def _show(output: Output, entry: Entry) -> None:
    about: dict[str, object] = {"cid": str(entry.cid), "name": entry.name, "dag_size": entry.dag_size}
    size = entry.dag_size
    if entry.kind is not None:
        about["kind"], about["size"] = entry.kind, (size := entry.size)
    slash = "/" if entry.kind == "directory" else ""
    line = f"{entry.cid}\t{'-' if size is None else size}\t{printable(entry.name)}{slash}"
    await output.data("entry", line, **about)

"""``sessionctx ls``: what is in a folder."""

from __future__ import annotations

import click

from sessionctx import session
from sessionctx.cli.options import Settings, common, peers, settings
from sessionctx.cli.output import Output, printable
from sessionctx.cli.place import Place, is_storage, place
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.storagels import list_storage
from sessionctx.cli.verb import Result, perform
from sessionctx.dag import Entry


def _wanted(text: str) -> Reference | Place:
    return place(text) if is_storage(text) else reference(text)


@click.command("ls")
@click.argument("wanted", metavar="CID[/PATH]|URL", type=_wanted)
@click.option("--resolve", is_flag=True, help="Read the first block of each entry: exact sizes, and what it is.")
@click.option("-r", "--recursive", is_flag=True, help="Of a URL: list all that is below it, too.")
@peers
@common
def command(wanted: Reference | Place, *, resolve: bool, recursive: bool, asked: session.begin) -> int:
    """List a folder: for each entry its CID, its size and its name, with tabs between.

    Sizes are those of the blocks, as the folder tells them, unless --resolve is given.

    Of the URL of a storage (s3://bucket/folder, sftp://host/folder, file:///folder, ...) it is the size, the time of
    modification and the path. Entries come as they are found; one that cannot be looked at is told on stderr.
    """
    chosen = settings()
    if isinstance(wanted, Place):
        return perform("ls", chosen, lambda: list_storage(chosen, wanted, asked, recursive=recursive))
    if recursive:
        raise click.UsageError("--recursive is for the URL of a storage")
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

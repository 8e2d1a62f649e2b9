"""``sessionctx add``: files and folders into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack

import click

from sessionctx.cli.exits import Exit, exit_code
from sessionctx.cli.options import Settings, bounded, common, settings
from sessionctx.cli.output import printable
from sessionctx.cli.progress import Bar
from sessionctx.cli.verb import Result, perform
from sessionctx.dag import make_chunker
from sessionctx.errors import AddError, Unsupported


def _chunker(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse what is no chunker before anything begins."""
    try:
        if name is not None:
            make_chunker(name)
    except Unsupported as error:
        raise click.BadParameter(str(error)) from None
    return name


class _How(TypedDict):
    """How to add; see `Files.add`."""

    hidden: bool
    profile: str
    chunker: str | None
    mode: bool
    mtime: bool
    pin: bool


@click.command("add")
@click.argument("path", nargs=-1, required=True, type=click.Path())
@click.option("--hidden", is_flag=True, help="Files whose names begin with a dot, too.")
@click.option(
    "--profile",
    type=click.Choice(["unixfs-v1-2025", "unixfs-v0-2015"]),
    default="unixfs-v1-2025",
    show_default=True,
    help="How files are cut and named (IPIP-499); it decides the CID.",
)
@click.option(
    "--chunker",
    metavar="NAME",
    callback=_chunker,
    help="Cut files otherwise: size-N; or where the content says, so that a change leaves most blocks as they were: "
    "buzhash, rabin, rabin-AVG, rabin-MIN-AVG-MAX.",
)
@click.option("--preserve-mode", "mode", is_flag=True, help="Keep permissions; this changes the CID.")
@click.option("--preserve-mtime", "mtime", is_flag=True, help="Keep times of change; this changes the CID.")
@click.option("--pin/--no-pin", default=True, show_default=True, help="Keep it when garbage is collected.")
@bounded
@common
def command(path: tuple[str, ...], **how: Unpack[_How]) -> int:
    """Put files and folders into the store, and print the CID of each.

    Nothing is sent anywhere; serve the store to share it. In folders, what has a name that begins with a dot is left
    out, unless --hidden says otherwise.
    """
    if "" in path:
        raise click.UsageError("PATH is empty; for the current folder, write .")
    chosen = settings()
    paths = [Path(each) for each in path]
    return perform("add", chosen, lambda: _add(chosen, paths, **how))


async def _add(chosen: Settings, paths: list[Path], **how: Unpack[_How]) -> Result:
    output, size = chosen.output, 0
    failed: list[Exit] = []
    async with chosen.open_node() as node:
        for path in paths:
            try:
                with Bar(output, f"adding {path.name}", path.stat().st_size if path.is_file() else None) as bar:
                    added = await node.files.add(path, progress=bar.show, **how)
            except AddError as error:
                failed.append(exit_code(error))
                output.error(error, failed[-1])
                continue
            size += added.size
            await output.data(
                "added",
                str(added.cid) if len(paths) == 1 else f"{added.cid}\t{printable(str(path))}",
                cid=str(added.cid),
                path=str(path),
                files=added.files,
                folders=added.folders,
                symlinks=added.symlinks,
                size=added.size,
            )
    done = len(paths) - len(failed)
    code = Exit.DONE if not failed else Exit.PARTLY if done else failed[0]
    return Result({"added": done, "failed": len(failed), "size": size}, code)

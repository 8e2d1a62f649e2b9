"""``sessionctx get``: a file or folder to the disk."""

from __future__ import annotations

from pathlib import Path

import click

from sessionctx import session
from sessionctx.cli.options import Settings, common, peers, settings
from sessionctx.cli.output import printable
from sessionctx.cli.progress import Bar
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.verb import Result, perform


@click.command("get")
@click.argument("wanted", metavar="CID[/PATH]", type=reference)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Where to. Default: its name, here.")
@peers
@common
def command(wanted: Reference, target: Path | None, asked: session.begin) -> int:
    """Fetch a file or folder, verify it, and write it to the disk: whole, or not at all.

    What the store has is not asked for again.
    """
    chosen = settings()
    where = target or Path(wanted.name)
    return perform("get", chosen, lambda: _get(chosen, wanted, where, asked))


async def _get(chosen: Settings, wanted: Reference, target: Path, asked: session.begin) -> Result:
    with asked as here:
        async with chosen.open_node() as node:
            with Bar(chosen.output, f"getting {wanted.name}") as bar:
                exported = await node.files.export(wanted.cid, target, path=wanted.path, progress=bar.show)
        statistics = here.statistics()
    chosen.output.note(f"Wrote {printable(str(target))}.")
    return Result(
        {
            "cid": str(exported.cid),
            "path": str(target),
            "files": exported.files,
            "folders": exported.folders,
            "symlinks": exported.symlinks,
            "size": exported.size,
            "fetched_bytes": statistics.bytes,
            "requests": statistics.requests,
        }
    )

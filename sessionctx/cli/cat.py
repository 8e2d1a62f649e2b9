"""``sessionctx cat``: a file to stdout."""

from __future__ import annotations

import base64

import click

from sessionctx import session
from sessionctx.cli.options import Settings, common, peers, settings
from sessionctx.cli.output import Output
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.verb import Result, perform


@click.command("cat")
@click.argument("wanted", metavar="CID[/PATH]", type=reference)
@click.option("--offset", type=click.IntRange(min=0), default=0, help="First byte to write.")
@click.option("--length", type=click.IntRange(min=0), default=None, help="Bytes to write. Default: to the end.")
@peers
@common
def command(wanted: Reference, offset: int, length: int | None, asked: session.begin) -> int:
    """Write a file to stdout. Each byte has been verified before it is written.

    With --json, the bytes come in pieces as base64.
    """
    chosen = settings()
    return perform("cat", chosen, lambda: _cat(chosen, wanted, asked, offset, length))


async def _cat(chosen: Settings, wanted: Reference, asked: session.begin, offset: int, length: int | None) -> Result:
    total = 0
    with asked:
        async with (
            chosen.open_node() as node,
            node.files.cat(wanted.cid, path=wanted.path, offset=offset, length=length) as chunks,
        ):
            async for chunk in chunks:
                total += len(chunk)
                await _write(chosen.output, chunk)
    return Result({"bytes": total})


async def _write(output: Output, chunk: bytes) -> None:
    if output.json:
        await output.data("data", "", base64=base64.b64encode(chunk).decode())
    else:
        await output.raw(chunk)

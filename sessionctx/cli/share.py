"""``sessionctx share``: a file, for other services to load."""

from __future__ import annotations

import click
import trio

from sessionctx import serve
from sessionctx.cli.blob import blob_id, digest
from sessionctx.cli.options import address, common, settings
from sessionctx.cli.output import Output
from sessionctx.cli.verb import Result, perform
from sessionctx.share import BlobShare


@click.command("share")
@click.argument("resource_id", metavar="ID", type=blob_id)
@click.argument("source", metavar="FILE")
@click.option("--expect", type=digest, metavar="sha256:...", help="Its digest; with another one it is not shared.")
@click.option(
    "--listen",
    type=address,
    metavar="HOST:PORT",
    help='Serve it as long as this runs; "sessionctx serve" does so, too.',
)
@common
def command(resource_id: str, source: str, expect: str | None, listen: tuple[str, int] | None) -> int:
    """Keep FILE in the store under ID, whole or not at all, and print its digest; "-" is stdin.

    Other services load it from /blobs/ID of whoever serves the store, which any static server can. An ID is one name
    without slashes, and means the same bytes for ever: to share others under it is an error.
    """
    chosen, stop = settings(), trio.Event()
    on_term = None if listen is None else stop.set
    server = None if listen is None else serve.listening(_written(*listen))

    async def work() -> Result:
        async with BlobShare.open(chosen.storage_url(), listen=server) as share:
            return await _share(chosen.output, share, resource_id, source, expect, stop=stop)

    return perform("share", chosen, work, on_term=on_term)


async def _share(
    output: Output, share: BlobShare, resource_id: str, source: str, expect: str | None, *, stop: trio.Event
) -> Result:
    blob = await share.share(resource_id, "/dev/stdin" if source == "-" else source, expect=expect)
    about: dict[str, object] = {"id": blob.id, "size": blob.size, "digest": blob.digest}
    await output.data("blob", blob.digest, **about)
    if share.url is not None:
        await output.data("listening", share.url, url=share.url)
        await output.flush()
        output.note("Stop with Ctrl-C.")
        await stop.wait()
    return Result(about)


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

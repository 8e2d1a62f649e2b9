"""``sessionctx demo``: the whole idea on real input, in one command."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import attrs
import click
import trio

import sessionctx
from sessionctx import Node, session
from sessionctx.blocks import DiskBlockstore
from sessionctx.cli import gateways
from sessionctx.cli.compare import Comparison, compare
from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings, common, settings
from sessionctx.cli.output import printable
from sessionctx.cli.peertable import Live, Row, human, rows, table
from sessionctx.cli.progress import Bar
from sessionctx.cli.verb import Result, perform
from sessionctx.content import CID
from sessionctx.dag import Added
from sessionctx.node import STORE_NAME

_CACHES = (".*", "__pycache__", "*.egg-info", "build", "dist", "node_modules", "venv")


@click.command("demo")
@click.argument("path", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--keep", is_flag=True, help="Leave the folder with both stores and the result, and say where it is.")
@common
def command(path: Path | None, *, keep: bool) -> int:
    """Share PATH from four gateways, good, slow, failing and lying, and fetch it back through one session.

    PATH is a file or folder; the default is this project itself. Everything happens in a folder for temporary files,
    which needs room for PATH three times, and on 127.0.0.1. It succeeds only if every byte is the same, the liar was
    found out, and no wrong byte got into the store or onto the disk.
    """
    chosen = settings()
    sys.dont_write_bytecode = True  # PATH may be where we are imported from, and shall stay as it is
    return perform("demo", chosen, lambda: _demo(chosen, path, keep=keep))


@attrs.define
class Fetched:
    """What the fetching side has to tell."""

    seconds: float
    statistics: session.Statistics
    peers: list[Row]
    bad_blocks: int
    """Blocks in its store that do not match their names."""
    blocks: int


async def _demo(chosen: Settings, path: Path | None, *, keep: bool) -> Result:
    place = Path(tempfile.mkdtemp(prefix="sessionctx-demo-"))
    try:
        source = await trio.to_thread.run_sync(_source, path, place)
        return await _run(chosen, source, place)
    finally:
        if keep:
            chosen.output.note(f"Kept: {place}")
        else:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(shutil.rmtree, place, True)


def _source(path: Path | None, place: Path) -> Path:
    """*path*; by default a copy of this project's checkout or installed package, without hidden files and caches."""
    if path is not None:
        if place.resolve().is_relative_to(path.resolve()):
            raise click.UsageError(f"{place.parent} is in PATH and used for temporary files; set TMPDIR to another")
        return path
    package = Path(sessionctx.__file__).parent
    source = package.parent if (package.parent / "pyproject.toml").exists() else package
    return Path(shutil.copytree(source, place / "sessionctx", symlinks=True, ignore=shutil.ignore_patterns(*_CACHES)))


async def _run(chosen: Settings, source: Path, place: Path) -> Result:
    output = chosen.output
    shared = place / "shared"
    async with trio.open_nursery() as processes:
        output.note(f"Sharing {printable(str(source))} from four gateways: {', '.join(gateways.KINDS)}.")
        async with Node.open(shared) as node:
            with Bar(output, "adding") as bar:
                added = await node.files.add(source, hidden=True, progress=bar.show)
        started = await _start_all(shared, processes)
        for gateway in started:
            await output.data("gateway", f"{gateway.kind}\t{gateway.url}", kind=gateway.kind, url=gateway.url)
        await output.flush()
        output.note(f"Fetching {added.cid}: {added.files} files, {human(added.size)}.")
        fetched = await _fetch(chosen, added, started, place)
        processes.cancel_scope.cancel()
    compared = await trio.to_thread.run_sync(compare, source, place / "result", abandon_on_cancel=True)
    return await report(chosen, added.cid, fetched, compared)


async def _start_all(store: Path, nursery: trio.Nursery) -> list[gateways.Gateway]:
    """Start the gateways side by side; they are returned in the order in which they are asked."""
    started: dict[str, gateways.Gateway] = {}

    async def start(kind: str) -> None:
        started[kind] = await gateways.start(kind, store, nursery)

    async with trio.open_nursery() as starting:
        for kind in gateways.KINDS:
            starting.start_soon(start, kind)
    return [started[kind] for kind in gateways.KINDS]


async def _fetch(chosen: Settings, added: Added, started: list[gateways.Gateway], place: Path) -> Fetched:
    kinds = {gateway.url: gateway.kind for gateway in started}
    async with DiskBlockstore.open(place / "fetched" / STORE_NAME) as blocks:
        node = Node.over(blocks)
        before = trio.current_time()
        with session.begin(peers=list(kinds), name="demo") as here:
            async with trio.open_nursery() as nursery:
                with Live(chosen.output, here, kinds, added.size) as live:
                    nursery.start_soon(live.keep_fresh)
                    await node.files.export(added.cid, place / "result", progress=live.show)
                    nursery.cancel_scope.cancel()
            seconds = trio.current_time() - before
            known, statistics = rows(here, kinds), here.statistics()
        audit = blocks.verify()
        bad = [block async for block in audit]
    return Fetched(seconds, statistics, known, len(bad), audit.blocks)


async def report(chosen: Settings, root: CID, fetched: Fetched, compared: Comparison) -> Result:
    """Print what happened, and judge it."""
    output = chosen.output
    banned = [row["kind"] for row in fetched.peers if row["lied"] and row["state"] == "banned"]
    ok = compared.equal and banned == ["lying"] and not fetched.bad_blocks
    if not output.json:
        await output.data("peers", table(fetched.peers))
        await output.data("totals", _totals(fetched, compared))
    for difference in compared.differences:
        output.complain(f"different: {difference}")
    if fetched.bad_blocks:
        output.complain(f"{fetched.bad_blocks} blocks in the store do not match their names")
    if banned != ["lying"]:
        output.complain("the lying gateway was not found out")
    return Result(
        {
            "root": str(root),
            "files": compared.files,
            "size": compared.size,
            "seconds": round(fetched.seconds, 3),
            "duplicate_bytes": fetched.statistics.duplicate_bytes,
            "requests": fetched.statistics.requests,
            "blocks": fetched.blocks,
            "bad_blocks": fetched.bad_blocks,
            "differences": compared.differences,
            "peers": fetched.peers,
        },
        Exit.DONE if ok else Exit.FAILED,
    )


def _totals(fetched: Fetched, compared: Comparison) -> str:
    rate = human(compared.size / fetched.seconds if fetched.seconds else 0)
    same = "every byte is the same" if compared.equal else f"{len(compared.differences)} DIFFERENCES"
    return (
        f"{compared.files} files, {compared.folders} folders, {compared.symlinks} symlinks, {human(compared.size)} "
        f"in {fetched.seconds:.2f} s ({rate}/s); {same}.\n"
        f"{fetched.statistics.requests} requests, {human(fetched.statistics.bytes)} received, "
        f"{human(fetched.statistics.duplicate_bytes)} of them of no use; "
        f"{fetched.blocks} blocks in the store, {fetched.bad_blocks} of them bad."
    )

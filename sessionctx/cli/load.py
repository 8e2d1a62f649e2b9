"""``sessionctx load``: a blob that other services share, to the disk."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import attrs
import click
import trio

from sessionctx import atomic
from sessionctx.cli.blob import blob_id, digest
from sessionctx.cli.options import Settings, common, settings
from sessionctx.cli.output import Output, printable
from sessionctx.cli.verb import Result, perform
from sessionctx.errors import TargetExists, TargetUnwritable
from sessionctx.share import BlobReader, BlobShare, path_of


@attrs.frozen
class _Wanted:
    """What is to be loaded, from whom, and how long that is tried."""

    id: str
    services: tuple[str, ...]
    expect: str | None
    tries: int
    delay: float
    may_come: bool


@click.command("load")
@click.argument("resource_id", metavar="ID", type=blob_id)
@click.option("--from", "services", multiple=True, required=True, metavar="URL", help="Who may have it. Repeatable.")
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), help='Where to; "-" is stdout. Default: ID, here.'
)
@click.option("--expect", type=digest, metavar="sha256:...", help="Its digest; a service with another one lies.")
@click.option("--tries", type=click.IntRange(1), default=3, show_default=True, help="Rounds in which all are asked.")
@click.option(
    "--delay", type=click.FloatRange(0, 3600), default=1.0, show_default=True, help="Seconds of the first pause."
)
@click.option("--may-come", is_flag=True, help="It may be shared yet: try again where nobody has it.")
@common
def command(
    resource_id: str,
    services: tuple[str, ...],
    target: Path | None,
    expect: str | None,
    *,
    tries: int,
    delay: float,
    may_come: bool,
) -> int:
    """Load a blob from the services that share it, and write it to the disk: whole and verified, or not at all.

    What breaks off at one service goes on at another. With --store, a copy is kept there, to be served in turn.
    """
    chosen, wanted = settings(), _Wanted(resource_id, services, expect, tries, delay, may_come)
    return perform("load", chosen, lambda: _load(chosen, wanted, target or Path(resource_id)))


async def _load(chosen: Settings, wanted: _Wanted, target: Path) -> Result:
    to_stdout = target == Path("-")
    if not to_stdout:
        await trio.to_thread.run_sync(_check_free, target)
    async with (
        _place(chosen, None if to_stdout else target.parent) as (url, folder),
        BlobShare.open(url) as share,
        share.load(
            wanted.id,
            wanted.services,
            expect=wanted.expect,
            max_tries=wanted.tries,
            retry_delay=wanted.delay,
            may_come=wanted.may_come,
        ) as reader,
    ):
        if to_stdout:
            await _write_out(chosen.output, reader)
        elif folder is None:
            await _copy(reader, target)
        else:
            await trio.to_thread.run_sync(_move, folder / path_of(wanted.id), target)
        blob, counted = reader.blob, share.statistics()
    if not to_stdout:
        chosen.output.note(f"Wrote {printable(str(target))}.")
    fetched, retries = counted.load.bytes, counted.load.retries
    about = {"id": blob.id, "size": blob.size, "digest": blob.digest, "path": str(target)}
    return Result({**about, "fetched_bytes": fetched, "retries": retries})


@asynccontextmanager
async def _place(chosen: Settings, beside: Path | None) -> AsyncGenerator[tuple[str, Path | None]]:
    """Where it is kept: in the store, if one was named; else in a folder for now, from where it can be moved."""
    if chosen.store is not None:
        yield chosen.storage_url(), None
        return
    try:
        folder = await trio.to_thread.run_sync(_fresh, beside)
    except OSError as error:
        raise TargetUnwritable(f"{beside} cannot be written: {error.strerror or error}") from error
    try:
        yield folder.as_uri(), folder
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))


def _fresh(beside: Path | None) -> Path:
    return Path(tempfile.mkdtemp(prefix=".sessionctx-", dir=beside)).absolute()


async def _write_out(output: Output, reader: BlobReader) -> None:
    async for piece in reader:
        if output.json:
            await output.data("data", "", base64=base64.b64encode(piece).decode())
        else:
            await output.raw(bytes(piece))


async def _copy(reader: BlobReader, target: Path) -> None:
    with _told(target):
        draft = await trio.to_thread.run_sync(atomic.Draft, target)
        try:
            async for piece in reader:
                await trio.to_thread.run_sync(draft.file.write, piece)
            await trio.to_thread.run_sync(draft.publish)
        finally:
            draft.close()


def _move(source: Path, target: Path) -> None:
    with _told(target):
        atomic.give_name(source, target)


def _check_free(target: Path) -> None:
    with _told(target):
        atomic.check_free(target)


@contextmanager
def _told(target: Path) -> Generator[None]:
    try:
        yield
    except FileExistsError:
        raise TargetExists(f"{str(target)!r} exists already; choose another name, or remove it first") from None
    except OSError as error:
        raise TargetUnwritable(f"{str(target)!r} cannot be written: {error.strerror or error}") from error

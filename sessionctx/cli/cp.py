"""``sessionctx cp``: files and folders from anywhere to anywhere."""

from __future__ import annotations

import attrs
import click

from sessionctx import session
from sessionctx.cli.exits import Exit, exit_code
from sessionctx.cli.options import Settings, common, peers, settings
from sessionctx.cli.output import Output, printable
from sessionctx.cli.place import Place, named_in, opened, place
from sessionctx.cli.progress import Bar
from sessionctx.cli.verb import Result, perform
from sessionctx.dag import Progress
from sessionctx.errors import NoSuchFile
from sessionctx.storage import Location, Outcome, Summary, copy


@attrs.frozen(kw_only=True)
class _Options:
    recursive: bool
    resume: bool
    dry_run: bool
    follow: bool
    stop: bool


@click.command("cp")
@click.argument("source", metavar="SOURCE", type=place)
@click.argument("target", metavar="TARGET", type=place)
@click.option("-r", "--recursive", is_flag=True, help="Copy what is in the folder SOURCE into the folder TARGET.")
@click.option("--resume", is_flag=True, help="Skip what is there already, and go on with large files that were begun.")
@click.option("--dry-run", is_flag=True, help="Only print what would be copied.")
@click.option("--follow", is_flag=True, help="Follow symbolic links to files within SOURCE; else they are skipped.")
@click.option("--stop", is_flag=True, help="Stop at the first error of a file. Default: tell it, and go on.")
@peers
@common
def command(source: Place, target: Place, *, asked: session.begin, **options: bool) -> int:
    """Copy files between paths of this machine and URLs: s3://bucket/key, sftp://host/path, smb://host/share/path,
    http://host/path and ipfs://CID/path (as a source).

    Each file appears whole, or not at all. If TARGET ends in a slash or is a folder, a file keeps its name in it.
    """
    chosen = settings()
    return perform("cp", chosen, lambda: _cp(chosen, source, target, asked, _Options(**options)))


async def _cp(chosen: Settings, source: Place, target: Place, asked: session.begin, options: _Options) -> Result:
    if target.cid is not None:
        raise click.UsageError("a CID names what it is: nothing can be copied there; see sessionctx add")
    with asked:
        async with opened(source, chosen) as start, opened(target, chosen) as end:
            tree = options.recursive and await _is_folder(start, source.is_folder)
            with Bar(chosen.output, "copying") as bar:
                told = _Told(chosen.output, bar, dry_run=options.dry_run)
                summary = await copy(
                    start,
                    end if tree or not await _is_folder(end, target.is_folder) else named_in(start, end),
                    recursive=options.recursive,
                    resume=options.resume,
                    dry_run=options.dry_run,
                    links="follow" if options.follow else "skip",
                    on_error="stop" if options.stop else "continue",
                    progress=told.moved,
                    each=told.each,
                )
    return _result(chosen.output, summary, told)


async def _is_folder(where: Location, written: bool) -> bool:  # noqa: FBT001
    """Whether a place is a folder, because it is *written* as one, or because it is."""
    if written or not where.path:
        return True
    try:
        found = await where.storage.stat(where.path)
    except NoSuchFile:
        return False
    return found.kind == "folder"


@attrs.define(eq=False)
class _Told:
    """Tells the user what becomes of each file."""

    output: Output
    bar: Bar
    dry_run: bool
    files: int = attrs.field(default=0, init=False)
    bytes: int = attrs.field(default=0, init=False)
    exit: Exit = attrs.field(default=Exit.DONE, init=False)
    """What the process ends with if nothing goes well."""

    def moved(self, count: int) -> None:
        self.bytes += count
        self.bar.show(Progress(self.files, self.bytes))

    async def each(self, outcome: Outcome) -> None:
        self.files += outcome.what != "failed"
        about: dict[str, object] = {"path": outcome.path, "target": outcome.target, "what": outcome.what}
        if outcome.error is not None:
            self.exit = exit_code(outcome.error)
            about |= {"error": type(outcome.error).__name__, "message": str(outcome.error)}
            self.output.complain(f"sessionctx: {printable(outcome.path)}: {outcome.error}")
        if outcome.reason:
            about["reason"] = outcome.reason
            if not self.dry_run and outcome.reason != "there already":
                self.output.note(f"Skipped {printable(outcome.path)}: {outcome.reason}.")
        if self.output.json or outcome.what == "planned":
            line = f"{outcome.bytes}\t{printable(outcome.target)}"
            await self.output.data("copy", line, **about, bytes=outcome.bytes)


def _result(output: Output, summary: Summary, told: _Told) -> Result:
    counts = {name: getattr(summary, name) for name in ("succeeded", "failed", "skipped", "bytes")}
    done = f"{'Would copy' if told.dry_run else 'Copied'} {summary.succeeded} files ({summary.bytes} bytes)"
    output.note(f"{done}; skipped {summary.skipped}, failed {summary.failed}.")
    code = Exit.DONE
    if summary.failed:
        code = Exit.PARTLY if summary.succeeded or summary.skipped else told.exit
    return Result(counts, code)

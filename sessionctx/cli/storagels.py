"""What ``sessionctx ls`` prints of a storage: its entries, as they come."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from sessionctx import session
from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings
from sessionctx.cli.output import Output, printable
from sessionctx.cli.place import Place, opened
from sessionctx.cli.verb import Result
from sessionctx.errors import NoSuchFile
from sessionctx.storage import Entry, Location


async def list_storage(chosen: Settings, where: Place, asked: session.begin, *, recursive: bool) -> Result:
    """List the folder that *where* names, or show the one file that it is."""
    count = problems = 0
    with asked:
        async with opened(where, chosen) as location:
            single = await _single(location)
            if single is not None:
                await _show(chosen.output, single)
                return Result({"entries": 1})
            async with location.storage.list(location.path, recursive=recursive) as listing:
                async for entry in listing:
                    count, problems = count + 1, problems + (entry.problem is not None)
                    await _show(chosen.output, attrs.evolve(entry, path=location.relative(entry.path)))
    return Result({"entries": count, "problems": problems}, Exit.PARTLY if problems else Exit.DONE)


async def _single(where: Location) -> Entry | None:
    """Return the entry of what is no folder; where folders are no things, nothing need be found at one."""
    try:
        found = await where.storage.stat(where.path)
    except NoSuchFile:
        if where.storage.can.folders:
            raise
        return None
    return None if found.kind == "folder" else found


async def _show(output: Output, entry: Entry) -> None:
    size = "-" if entry.size is None else str(entry.size)
    when = "-" if entry.modified is None else datetime.fromtimestamp(entry.modified, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    slash = {"folder": "/", "link": "@"}.get(entry.kind, "")
    about: dict[str, object] = {
        "path": entry.path,
        "kind": entry.kind,
        "size": entry.size,
        "modified": entry.modified,
        "file_version": entry.version,
    }
    if entry.problem is not None:
        about["problem"] = str(entry.problem)
        output.complain(f"sessionctx: {entry.problem}")
    await output.data("entry", f"{size}\t{when}\t{printable(entry.path)}{slash}", **about)

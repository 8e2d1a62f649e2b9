"""``sessionctx many``: many operations on an object service, in few requests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self, cast

import attrs
import click
import trio

from sessionctx import session
from sessionctx.cli.exits import Exit, exit_code
from sessionctx.cli.keys import signing_key
from sessionctx.cli.options import common, settings
from sessionctx.cli.output import Output, printable
from sessionctx.cli.verb import Result as Ended
from sessionctx.cli.verb import perform
from sessionctx.errors import InvalidObject, SessionctxError
from sessionctx.objects import (
    Delete,
    Expiration,
    Get,
    Head,
    Metadata,
    Object,
    Objects,
    Operation,
    Put,
    Result,
    SigningKey,
)
from sessionctx.storage import Backend, open_storage

STDIN: Final = "-"
_KINDS: Final[dict[str, type[Get | Head | Delete]]] = {"get": Get, "head": Head, "delete": Delete}
MOST_LINE: Final = 64 * 1024


@attrs.frozen(kw_only=True)
class _Wanted:
    """What is to be done, and how."""

    kind: str
    prefix: str
    metadata: Metadata
    concurrency: int
    ordered: bool

    def operation(self, said: dict[str, Any]) -> Operation:
        """Return the operation that one line, or one argument, asks for. :exc:`InvalidObject`."""
        if self.kind == "put":
            file, key = said.get("file"), said.get("key")
            if not isinstance(file, str) or not (key is None or isinstance(key, str)):
                raise InvalidObject(f"{json.dumps(said)[:200]} is no put: write {{'file': ..., 'key': ...}}")
            return Put(Path(file), self.prefix + (Path(file).name if key is None else key), self.metadata)
        key = said.get("key")
        if not isinstance(key, str):
            raise InvalidObject(f"{json.dumps(said)[:200]} names no key: write {{'key': ...}}")
        return _KINDS[self.kind](self.prefix + key)


@click.command("many")
@click.argument("kind", type=click.Choice(["get", "put", "delete", "head"]))
@click.argument("url", metavar="URL")
@click.argument("names", metavar="FILE|KEY...", nargs=-1, required=True)
@click.option("--usecase", required=True, metavar="NAME", help="The use case: what kind of objects these are.")
@click.option(
    "--scope", "scopes", multiple=True, metavar="NAME=VALUE", help="Whose they are, outermost first. Repeatable."
)
@click.option("--prefix", default="", metavar="TEXT", help="What each key begins with, before the name of the file.")
@click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), default=".", help="Where objects are written to."
)
@click.option("--zstd", is_flag=True, help="Compress what is put.")
@click.option("--expire", metavar="ttl:30d|tti:7d", help="When what is put goes: after its making, or its last use.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=3, show_default=True, help="Requests at a time.")
@click.option("--ordered", is_flag=True, help="Print results in the order of the input, not as they come.")
@click.option(
    "--token", envvar="SESSIONCTX_OBJECTS_TOKEN", help="Goes along with each request. Better in the environment."
)
@click.option("--key", type=signing_key, metavar="KID=PEM-FILE", help="Makes tokens: an Ed25519 private key.")
@common
def command(
    kind: str,
    url: str,
    names: tuple[str, ...],
    *,
    usecase: str,
    scopes: tuple[str, ...],
    prefix: str,
    folder: Path,
    zstd: bool,
    expire: str | None,
    concurrency: int,
    ordered: bool,
    token: str | None,
    key: SigningKey | None,
) -> int:
    """Get, put, look at or delete many objects of the service at URL, in few requests.

    What follows are files to put, or keys; "-" reads JSON Lines from stdin: {"key": ..., "file": ...}. Each has one
    result, in the end of its line why it failed, or with --json an object. Of some that failed the exit code is 3.
    """
    expiration = Expiration() if expire is None else Expiration.parse(expire)
    wanted = _Wanted(
        kind=kind,
        prefix=prefix,
        metadata=Metadata(encoding="zstd" if zstd else None, expiration=expiration),
        concurrency=concurrency,
        ordered=ordered,
    )
    pairs = [_pair(text) for text in scopes]
    output, where = settings().output, folder.absolute().as_uri()

    async def work() -> Ended:
        async with (
            Objects.connect(url, usecase=usecase, scope=pairs, token=token, key=key) as objects,
            open_storage(where) as target,
        ):
            with session.begin(name="many"):
                return await _run(objects, target, wanted, names, output)

    return perform("many", settings(), work)


async def _run(objects: Objects, target: Backend, wanted: _Wanted, names: tuple[str, ...], output: Output) -> Ended:
    done, failed, worst = 0, 0, Exit.DONE
    operations = _Lines(wanted) if names == (STDIN,) else _named(wanted, names)
    async with objects.many(operations, concurrency=wanted.concurrency, ordered=wanted.ordered) as results:
        async for result in results:
            error = result.error
            if error is None:
                try:
                    await _tell(objects, target, wanted, result, output)
                except SessionctxError as raised:
                    error = raised
            if error is None:
                done += 1
            else:
                failed, worst = failed + 1, exit_code(error)
                key = printable(result.operation.key)
                about = {"index": result.index, "key": result.operation.key, "ok": False}
                await output.data(
                    "result", f"{key}\tfailed: {error}", **about, error=type(error).__name__, message=str(error)
                )
    output.note(f"{done} done, {failed} failed.")
    return Ended({"done": done, "failed": failed}, Exit.DONE if not failed else Exit.PARTLY if done else worst)


async def _tell(objects: Objects, target: Backend, wanted: _Wanted, result: Result, output: Output) -> None:
    """Print what came of an operation; write what was got."""
    about: dict[str, object] = {"index": result.index, "ok": True}
    key, what = result.operation.key, "deleted" if wanted.kind == "delete" else "absent"
    match result.value:
        case str(made):
            key, what = made, "kept"
        case Object() as found:
            size = await _write(objects, target, found)
            what, about["size"] = f"{size} bytes", size
        case Metadata() as known:
            what = f"{known.size} bytes, {known.content_type}"
            about |= {"size": known.size, "content_type": known.content_type, "custom": dict(known.custom)}
        case None:
            about["absent"] = wanted.kind != "delete"
    await output.data("result", f"{printable(key)}\t{what}", key=key, **about)


async def _write(objects: Objects, target: Backend, found: Object) -> int:
    """Write an object to a file that is called as its key; return how many bytes that are."""
    if found.body is not None:
        return (await target.write(found.key, found.body)).size or 0
    async with objects.open(found.key) as reading:
        return (await target.write(found.key, reading)).size or 0


def _named(wanted: _Wanted, names: tuple[str, ...]) -> Iterable[Operation]:
    return (wanted.operation({"file": name} if wanted.kind == "put" else {"key": name}) for name in names)


class _Lines:
    """The operations that the lines of stdin ask for, as they come."""

    def __init__(self, wanted: _Wanted) -> None:
        self._wanted = wanted
        self._number = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Operation:
        while True:
            line = await trio.to_thread.run_sync(sys.stdin.buffer.readline, MOST_LINE, abandon_on_cancel=True)
            self._number += 1
            if not line:
                raise StopAsyncIteration
            if line.strip():
                return self._wanted.operation(self._read(line))

    def _read(self, line: bytes) -> dict[str, Any]:
        try:
            said: object = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, str):
            said = {"file" if self._wanted.kind == "put" else "key": said}
        if not isinstance(said, dict):
            raise InvalidObject(f"line {self._number} of stdin is no JSON object: {line[:100]!r}")
        return cast("dict[str, Any]", said)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--scope")
    return name, value

"""Options that several verbs share, and the types of their values."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
from click.core import ParameterSource

from sessionctx import Node, session
from sessionctx.cli.output import Output

F = TypeVar("F", bound=Callable[..., Any])


@attrs.define(eq=False)
class Settings:
    """What the common options say, wherever on the command line they stand."""

    output: Output = attrs.field(factory=Output)
    store: str | None = None
    cache: Path | None = None
    routers: tuple[str, ...] = ()
    max_bytes: int | None = None

    def open_node(self) -> AbstractAsyncContextManager[Node]:
        """The node over the store, with the routers and the bound that were given."""
        url = self.store_url()
        if url is None:
            return Node.open(self.store_path(), routers=self.routers, max_bytes=self.max_bytes)
        if self.cache is None and self.max_bytes is not None:
            raise click.UsageError("--max-bytes is for blocks on the disk; --store is a URL, so add --cache FOLDER")
        return Node.open(self.cache, store=url, routers=self.routers, max_bytes=self.max_bytes)

    def store_url(self) -> str | None:
        """The URL of the store; None if it is in a folder."""
        place = self.store_place()
        return place if "://" in place else None

    def store_path(self) -> Path:
        """The folder of the store. :exc:`click.UsageError` if it is in none."""
        place = self.store_place()
        if "://" in place:
            raise click.UsageError("this is for a store in a folder, and --store is a URL")
        return Path(place)

    def storage_url(self) -> str:
        """The URL of the storage that the store is in."""
        return self.store_url() or self.store_path().absolute().as_uri()

    def store_place(self) -> str:
        """Where the store is: ``--store``, ``SESSIONCTX_STORE``, or the user's own folder."""
        if chosen := self.store or os.environ.get("SESSIONCTX_STORE"):
            return chosen
        return os.fspath(Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "sessionctx")


def settings() -> Settings:
    """The settings of this run."""
    return click.get_current_context().find_root().ensure_object(Settings)


def flag(*names: str, into: str, to: Any = None, **about: Any) -> Callable[[F], F]:
    """Return an option that is put *into* the settings where it stands on the command line; as *to*, or as it is."""
    *owner, name = into.split(".")

    def store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT:
            settings = context.find_root().ensure_object(Settings)
            setattr(settings.output if owner else settings, name, value if to is None else to)

    return click.option(*names, expose_value=False, callback=store, **about)


def common(command: F) -> F:
    """Give *command* the options that every verb has."""
    for option in (
        flag(
            "--store",
            into="store",
            metavar="FOLDER|URL",
            help="Where blocks are kept: a folder, or s3://bucket/blocks, say. Default: $SESSIONCTX_STORE, or"
            " ~/.local/share/sessionctx.",
        ),
        flag(
            "--cache",
            into="cache",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Where copies are kept of blocks whose store is a URL. Default: in memory.",
        ),
        flag("--no-progress", into="output.progress", to=False, is_flag=True, help="Show no live progress."),
        flag("-v", "--verbose", into="output.verbose", count=True, help="Log to stderr; twice for more."),
        flag("-q", "--quiet", into="output.quiet", is_flag=True, help="No messages on stderr but errors."),
        flag("--json", into="output.json", is_flag=True, help="JSON Lines on stdout, a summary last."),
    ):
        command = option(command)
    return command


# --- types of values


def parse_amount(text: str) -> int | None:
    """The bytes that *text* says, such as ``65536``, ``64KiB`` or ``3MiB``; or ``None``."""
    match = re.fullmatch(r"([0-9]{1,15})(|KiB|MiB|GiB|TiB)", text, re.ASCII)
    return None if match is None else int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2][:1]]


def size(text: str) -> int:
    """``10GiB``, and what else `parse_amount` takes."""
    amount = parse_amount(text)
    if amount is None:
        raise click.BadParameter(f"{text!r} is no size; write 10GiB, or 500MiB")
    return amount


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``; an IPv6 host stands in brackets."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]/\s]+)):([0-9]{1,5})", text, re.ASCII)
    if match is None or int(match[3]) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT; write 127.0.0.1:8080, or [::1]:0")
    return match[1] or match[2], int(match[3])


def limit(text: str) -> tuple[str, float]:
    """``seconds=30``, ``bytes=10MiB``, ``requests=100``, ``in_flight=8``, and others that `Limits` has."""
    key, _, value = text.partition("=")
    known = [field.name for field in attrs.fields(session.Limits)]
    if key not in known:
        raise click.BadParameter(f"{text!r} is no limit; known are {', '.join(f'{name}=...' for name in known)}")
    if key == "seconds" and re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", value, re.ASCII):
        return key, float(value)
    amount = parse_amount(value)
    if amount is None:
        raise click.BadParameter(f"{value!r} is no value for {key}")
    return key, amount


def peers(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command* ``--peer``, ``--router``, ``--limit`` and ``--max-bytes``, and the argument *asked*: a session."""

    @functools.wraps(command)
    def run(*args: Any, peer: tuple[str, ...], limit: tuple[tuple[str, float], ...], **kwargs: Any) -> int:
        asked = session.begin(peers=peer, limits=_limits(dict(limit)), name="sessionctx")
        return command(*args, asked=asked, **kwargs)

    option = click.option(
        "--limit",
        type=limit,
        multiple=True,
        metavar="K=V",
        help="seconds=30, bytes=10MiB, requests=100, in_flight=8, in_flight_per_peer=4, memory=64MiB. Repeatable.",
    )
    return click.option("--peer", multiple=True, metavar="URL", help="A gateway to ask. Repeatable.")(
        routed(bounded(option(run)))
    )


def routed(command: F) -> F:
    """Give *command* ``--router``; `Settings.open_node` gives them to the node."""
    return flag(
        "--router",
        into="routers",
        multiple=True,
        metavar="URL",
        help="A router to ask for more gateways. Repeatable.",
    )(command)


def bounded(command: F) -> F:
    """Give *command* ``--max-bytes``; `Settings.open_node` gives it to the node."""
    return flag(
        "--max-bytes",
        into="max_bytes",
        type=size,
        metavar="SIZE",
        help="Keep the store below 10GiB, say: what is not pinned goes, the least recently used first.",
    )(command)


def _limits(given: Mapping[str, float]) -> session.Limits | None:
    """The limits of the session that a verb begins; ``None`` for none."""
    seconds = given.get("seconds")
    whole = {name: int(value) for name, value in given.items() if name != "seconds"}
    try:
        return session.Limits(seconds=seconds, **whole) if given else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None

"""Where ``cp`` and ``ls`` look: a path of this machine, the URL of a storage, or a CID."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs
import click
import trio

from sessionctx.cli.dagstorage import DagStorage
from sessionctx.cli.options import Settings
from sessionctx.cli.reference import Reference, reference
from sessionctx.storage import LocalStorage, Location, open_storage


@attrs.frozen
class Place:
    """A place as it was written."""

    text: str = attrs.field(repr=False)
    cid: Reference | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine."""
        return self.cid is None and "://" not in self.text

    @property
    def is_folder(self) -> bool:
        """Whether it is written as that of a folder."""
        if self.is_local:
            return self.text.endswith(("/", os.sep)) or Path(self.text).is_dir()
        return self.text.partition("?")[0].endswith("/")


def place(text: str) -> Place:
    """``ipfs://CID/path``, ``s3://bucket/key`` and other URLs, or a path of this machine."""
    if text.startswith(("ipfs://", "/ipfs/")):
        return Place(text, reference(text))
    if not text:
        raise click.BadParameter("this is no place: write a path, or a URL")
    return Place(text)


def is_storage(text: str) -> bool:
    """Whether *text* is the URL of a storage, and not a CID."""
    return "://" in text and not text.startswith("ipfs://")


@asynccontextmanager
async def opened(where: Place, chosen: Settings) -> AsyncGenerator[Location]:
    """Open the storage that *where* is in."""
    if where.cid is not None:
        async with chosen.open_node() as node:
            yield Location(DagStorage(node.files, where.cid.cid), where.cid.path)
    elif where.is_local:
        yield await trio.to_thread.run_sync(_local, where)
    else:
        root, path = split(where.text)
        async with open_storage(root) as storage:
            yield Location(storage, path)


def _local(where: Place) -> Location:
    path = Path(where.text).absolute()
    if where.is_folder:
        return Location(LocalStorage(path))
    return Location(LocalStorage(path.parent), path.name)


def split(url: str) -> tuple[str, str]:
    """Return the URL of the storage that *url* is in, and the path in that: its last name, if it does not end in ``/``.

    Of ``smb://host/share/...`` the share, of others the host or bucket, is the least that a storage can be. Options
    (``?...``) are those of the storage.
    """
    where, mark, options = url.partition("?")
    scheme, _, rest = where.partition("://")
    head, slash, name = rest.rpartition("/")
    if not slash or not name or (scheme.lower() == "smb" and "/" not in head):
        return url, ""
    return f"{scheme}://{head or '/'}{mark}{options}", unquote(name)


def named_in(source: Location, folder: Location) -> Location:
    """Return the location in *folder* that has the name of *source*."""
    shown = source.path or unquote(urlsplit(source.storage.public).path).rstrip("/") or source.shown
    return folder.below(shown.rpartition("/")[2])

"""What is in a folder, and below it, one after the other, in memory that does not grow. Blocking."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Final

import attrs

from sessionctx.atomic import is_unfinished
from sessionctx.errors import InvalidLocation, StorageError
from sessionctx.storage.base import Entry
from sessionctx.storage.local.place import Place, entry_of
from sessionctx.storage.paths import fault_of

_MOST_OPEN: Final = 64
"""Folders that are open at once, one in the other; what lies deeper is read a whole folder at a time."""


_SURELY_SHORT: Final = 900
"""Characters to which any name may be added."""


@attrs.define(eq=False)
class _Folder:
    """A folder that is being read."""

    path: str
    prefix: str
    """What stands before the names in it."""
    identity: tuple[int, int]
    """Which folder it is, by whatever way it was reached."""
    names: Iterator[os.DirEntry[str]]
    closing: ExitStack


def walk(place: Place, path: str, *, recursive: bool) -> Generator[Entry]:
    """Give what is in the folder *path*, in the file system's order, and with *recursive* what is below it.

    What may not be looked at comes with a problem. :exc:`OSError` if that is *path* itself.
    """
    way = [_enter(place, path, ())]
    try:
        while way:
            try:
                found = next(way[-1].names, None)
            except OSError as error:
                yield _unread(place, way[-1].path, error)
                found = None
            if found is None:
                way.pop().closing.close()
                continue
            entry = _entry(place, way[-1].prefix, found)
            if entry is None:
                continue
            if recursive and entry.kind == "folder" and entry.problem is None:
                try:
                    way.append(_enter(place, entry.path, way))
                except OSError as error:
                    entry = _unread(place, entry.path, error)
            yield entry
    finally:
        for folder in way:
            folder.closing.close()


def _enter(place: Place, path: str, way: list[_Folder] | tuple[()]) -> _Folder:
    where = place.through(path)
    found = where.stat()
    identity = found.st_dev, found.st_ino
    if any(folder.identity == identity for folder in way):
        raise OSError(None, "it is mounted within itself")
    scan = os.scandir(where)
    closing = ExitStack()
    closing.callback(scan.close)
    prefix = path and f"{path}/"
    if len(way) < _MOST_OPEN:
        return _Folder(path, prefix, identity, scan, closing)
    with closing:
        return _Folder(path, prefix, identity, iter(list(scan)), closing)


def _entry(place: Place, prefix: str, found: os.DirEntry[str]) -> Entry | None:
    """Return what is known of one; None if it is gone by now, or is being written."""
    name = found.name
    path = prefix + name
    if is_unfinished(name):
        return None
    plain = name.isascii() and name.isprintable() and len(prefix) < _SURELY_SHORT
    fault = None if plain else fault_of(path)  # the usual case, spared a closer look
    if fault is not None:
        problem = InvalidLocation(f"{place.shown}: {path!r} cannot be had: {fault}", storage=place.shown, path=path)
        return Entry(path=path, kind="other", problem=problem)
    try:
        return entry_of(path, found.stat(follow_symlinks=False))
    except FileNotFoundError:
        return None
    except OSError as error:
        return attrs.evolve(_unread(place, path, error), kind="other")


def _unread(place: Place, path: str, error: OSError) -> Entry:
    try:
        with place.faults(path):
            raise error
    except StorageError as problem:
        return Entry(path=path, kind="folder", problem=problem)

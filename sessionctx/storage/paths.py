"""Paths in a storage: relative, with slashes, and never out of it. Pure."""

from __future__ import annotations

from typing import Final

from sessionctx.errors import InvalidLocation

MOST: Final = 4096
"""Bytes of a path, in UTF-8."""
_CONTROL: Final = frozenset(map(chr, [*range(0x20), 0x7F]))


def checked(path: str) -> str:
    """Return *path* if it can name something in a storage; ``""`` is its root.

    Names are joined by single slashes, with none at the beginning or the end; no name is empty, ``.`` or ``..``, or
    holds a control character. :exc:`InvalidLocation` says what is wrong.
    """
    fault = fault_of(path)
    if fault is not None:
        raise InvalidLocation(f"{path[:200]!r} is no path in a storage: {fault}")
    return path


def fault_of(path: str) -> str | None:
    """Return why *path* can be none, or None if it can."""
    if not path:
        return None
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "it is not Unicode"
    if length > MOST:
        return f"it is longer than {MOST} bytes"
    if not _CONTROL.isdisjoint(path):
        return "it holds a control character"
    for name in path.split("/"):
        if name in {"", ".", ".."}:
            return f"one of its names is {name!r}; write a/b, relative to the storage's root"
    return None


def joined(*paths: str) -> str:
    """Join paths, any of which may be empty."""
    return "/".join(filter(None, paths))


def parent(path: str) -> str:
    """Return the folder that *path* is in."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """Return the last name of *path*."""
    return path.rpartition("/")[2]


def within(folder: str, path: str) -> bool:
    """Whether *path* is *folder* or below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")

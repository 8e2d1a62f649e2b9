"""What a server tells of its files, as entries. Pure."""

from __future__ import annotations

from typing import Final

import attrs

from sessionctx.errors import InvalidLocation
from sessionctx.storage.base import Entry, Kind
from sessionctx.storage.paths import fault_of, joined
from sessionctx.storage.smb.answers import Found, Times
from sessionctx.storage.smb.messages import Attributes
from sessionctx.storage.smb.names import from_wire

_EPOCH: Final = 116_444_736_000_000_000
"""1970 in units of 100 ns since 1601."""
_LINKS: Final = frozenset({0xA000000C, 0xA0000003, 0xA000001D})
"""Symbolic links, junctions, and links of Linux."""


def seconds(units: int) -> float | None:
    """Return a server's time in seconds since 1970; None where it does not tell."""
    return (units - _EPOCH) / 1e7 if units else None


def units(moment: float) -> int:
    """Return seconds since 1970 in a server's units."""
    return max(1, round(moment * 1e7) + _EPOCH)


def version(times: Times) -> str:
    """Return what differs where the content may: which file it is, when it was written and changed, and its length."""
    return f"{times.id:x}-{times.written:x}-{times.changed:x}-{times.size:x}"


def entry_of(path: str, times: Times, *, link: bool = False) -> Entry:
    """Return the entry of what is at *path*."""
    modified = seconds(times.written)
    if link or times.folder:
        kind: Kind = "link" if link else "folder"
        return Entry(path=path, kind=kind, modified=modified)
    return Entry(path=path, size=times.size, modified=modified, version=version(times))


def listed(folder: str, found: Found, *, ids: bool = True) -> Entry:
    """Return the entry of what was found in *folder*; with a problem, if its name can be in no path.

    *ids*: the server tells the ids of open files, too, so that both give the same version.
    """
    name = from_wire(found.name)
    path = joined(folder, name)
    fault = "its name holds a slash" if "/" in name else fault_of(path)
    if fault is not None:
        shown = joined(folder, name.encode("unicode_escape").decode())
        return Entry(path=shown, problem=InvalidLocation(f"{shown!r} cannot be asked for: {fault}", path=shown))
    times = found.times if ids else attrs.evolve(found.times, id=0)
    return entry_of(path, times, link=bool(times.attributes & Attributes.REPARSE) and found.tag in _LINKS)

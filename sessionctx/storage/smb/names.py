"""Names as servers take them: characters that Windows reserves are written with stand-ins. Pure.

The stand-ins are those of Microsoft's Services for Macintosh, in Unicode's private use area. macOS uses them, and so
does Linux as it mounts shares by default (``mapposix``): a file called ``what?`` has that name for all three.
"""

from __future__ import annotations

from typing import Final

from sessionctx.errors import InvalidLocation

LONGEST: Final = 255
"""UTF-16 units of a name."""
_RESERVED: Final = {
    '"': 0xF020,
    "*": 0xF021,
    ":": 0xF022,
    "<": 0xF023,
    ">": 0xF024,
    "?": 0xF025,
    "\\": 0xF026,
    "|": 0xF027,
}
_AT_END: Final = {" ": chr(0xF028), ".": chr(0xF029)}
_OUT: Final = str.maketrans(_RESERVED)
_IN: Final = {code: char for char, code in [*_RESERVED.items(), (" ", 0xF028), (".", 0xF029)]}
_STAND_INS: Final = frozenset(map(chr, _IN))


def to_wire(path: str, *, storage: str = "") -> str:
    """Return *path* as it is asked for, with backslashes. :exc:`InvalidLocation` if a server cannot hold it."""
    return "\\".join([_name_to_wire(name, path, storage) for name in path.split("/")]) if path else ""


def from_wire(name: str) -> str:
    """Return the one name that a server calls *name*."""
    return name.translate(_IN)


def _name_to_wire(name: str, path: str, storage: str) -> str:
    fault = None
    if not _STAND_INS.isdisjoint(name):
        fault = "it holds one of the characters U+F020 to U+F029, which stand for reserved ones"
    elif len(name.encode("utf-16-le")) // 2 > LONGEST:
        fault = f"one of its names is longer than {LONGEST} characters"
    if fault is not None:
        raise InvalidLocation(f"{storage}: {path[:200]!r} cannot be on a share: {fault}", storage=storage, path=path)
    return name[:-1].translate(_OUT) + _AT_END.get(name[-1], name[-1].translate(_OUT))

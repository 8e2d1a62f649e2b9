"""Compare two trees byte by byte. Plain blocking code, for a worker thread."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs
import trio

_PIECE = 1024 * 1024
_MOST = 20


@attrs.define
class Comparison:
    """What was compared, and what differs (the first twenty things)."""

    files: int = 0
    folders: int = 0
    symlinks: int = 0
    size: int = 0
    differences: list[str] = attrs.field(factory=list[str])

    @property
    def equal(self) -> bool:
        """Whether all names, kinds, symlink targets and contents are the same."""
        return not self.differences


def compare(expected: Path, found: Path) -> Comparison:
    """Compare *found* with *expected*; names in its folders that begin with a dot are left out.

    Raises:
        OSError: something cannot be read.
    """
    result = Comparison()
    waiting = [(expected, found)]
    while waiting and len(result.differences) < _MOST:
        here, there = waiting.pop()
        waiting += _compare_one(here, there, result)
    return result


def _compare_one(here: Path, there: Path, result: Comparison) -> Iterator[tuple[Path, Path]]:
    kinds = _kind(here), _kind(there)
    if kinds[0] != kinds[1]:
        result.differences.append(f"{str(there)!r} is a {kinds[1]}, not a {kinds[0]}")
    elif kinds[0] == "folder":
        return _compare_folders(here, there, result)
    elif kinds[0] == "symlink":
        result.symlinks += 1
        targets = [str(here.readlink()), str(there.readlink())]
        if targets[0] != targets[1]:
            result.differences.append(f"{str(there)!r} points to {targets[1]!r}, not to {targets[0]!r}")
    else:
        _compare_files(here, there, result)
    return iter(())


def _compare_folders(here: Path, there: Path, result: Comparison) -> Iterator[tuple[Path, Path]]:
    result.folders += 1
    expected = {path.name for path in here.iterdir()}
    found = {path.name for path in there.iterdir()}
    result.differences += [f"{str(there / name)!r} is missing" for name in sorted(expected - found)[:_MOST]]
    result.differences += [f"{str(there / name)!r} is too much" for name in sorted(found - expected)[:_MOST]]
    return ((here / name, there / name) for name in expected & found)


def _compare_files(here: Path, there: Path, result: Comparison) -> None:
    result.files += 1
    at = 0
    with here.open("rb", buffering=0) as expected, there.open("rb", buffering=0) as found:
        while True:
            trio.from_thread.check_cancelled()
            a, b = _read(expected), _read(found)
            if a != b:
                result.differences.append(f"{str(there)!r} has other bytes after {at} bytes")
                return
            if not a:
                return
            at += len(a)
            result.size += len(a)


def _read(file: io.FileIO) -> bytes:
    """The next piece; shorter only at the end."""
    piece = file.read(_PIECE)
    while piece and len(piece) < _PIECE and (more := file.read(_PIECE - len(piece))):
        piece += more
    return piece


def _kind(path: Path) -> str:
    mode = path.lstat().st_mode
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISLNK, "symlink"), (stat.S_ISREG, "file"))
    return next((name for test, name in kinds if test(mode)), "special file")

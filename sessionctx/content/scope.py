"""How much of a DAG is meant: a scope, and a byte range of a file, as the trustless gateway specification has them.

Source: https://specs.ipfs.tech/http-gateways/trustless-gateway/ (``dag-scope``, ``entity-bytes``).
"""

from __future__ import annotations

import re
from typing import Final, Literal, Self, TypeAlias, get_args

import attrs

from sessionctx.errors import DecodeError

DagScope: TypeAlias = Literal["all", "entity", "block"]
"""How much of what a path leads to: all below it; the one file or directory, without what a directory's entries name;
the one block.
"""
DAG_SCOPES: Final[tuple[DagScope, ...]] = get_args(DagScope)

_RANGE: Final = re.compile(r"(-?[0-9]{1,18}):(-?[0-9]{1,18}|\*)", re.ASCII)


@attrs.frozen
class ByteRange:
    """Bytes of a file, from the *first* one to the *last* (None for the end); negative numbers count from the end."""

    first: int = 0
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``from:to``, where ``*`` is the end; numbers have 18 digits at most. :exc:`DecodeError`."""
        found = _RANGE.fullmatch(text)
        if found is None:
            raise DecodeError(f"{text[:80]!r} is no byte range: write from:to, two whole numbers, or * for the end")
        first, last = int(found[1]), None if found[2] == "*" else int(found[2])
        if last is not None and (first < 0) == (last < 0) and first > last:
            raise DecodeError(f"{text[:80]!r} is no byte range: it ends before it begins")
        return cls(first, last)

    def __str__(self) -> str:
        return f"{self.first}:{'*' if self.last is None else self.last}"

    def within(self, size: int) -> tuple[int, int]:
        """Return where it begins in a file of *size* bytes, and where it has ended; not behind that if outside."""
        start = max(self.first + size, 0) if self.first < 0 else self.first
        if self.last is None:
            return start, size
        return start, min(self.last + size if self.last < 0 else self.last, size - 1) + 1

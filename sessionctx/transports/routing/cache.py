"""Answers of a router that may be given again for a while. Pure; time is an argument, in seconds.

Source: RFC 9111, as a private cache that asks again instead of validating.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import attrs

from sessionctx.transports.routing.records import Provider

MOST_ANSWERS: Final = 256
MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of all answers that are kept, as they came over the wire."""
MOST_AGE: Final = 86_400
"""Seconds; nothing is kept for longer, whatever a router allows."""

_DIRECTIVE: Final = re.compile(r"([a-z-]+)(?:\s*=\s*\"?([0-9]*)\"?)?", re.ASCII)


def fresh_for(headers: Mapping[str, str]) -> float:
    """Return for how many seconds an answer with these *headers* (names in lower case) may be given again."""
    found: list[tuple[str, str]] = [
        match.groups("")  # type: ignore[misc]
        for part in headers.get("cache-control", "").lower().split(",")
        if (match := _DIRECTIVE.fullmatch(part.strip()))
    ]
    directives = dict(reversed(found))  # of two that are the same, the first one counts
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    age = _seconds(headers.get("age", "").strip())
    return float(max(0, _seconds(directives.get("max-age", "")) - age))


def _seconds(digits: str) -> int:
    return min(int(digits), MOST_AGE) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else 0


@attrs.frozen
class _Kept:
    providers: tuple[Provider, ...]
    until: float
    size: int


@attrs.define(eq=False)
class Cache:
    """A bounded number of answers; those that were used longest ago go first."""

    most: int = MOST_ANSWERS
    most_bytes: int = MOST_BYTES
    _kept: OrderedDict[str, _Kept] = attrs.field(factory=OrderedDict[str, _Kept], init=False)
    _bytes: int = attrs.field(default=0, init=False)

    def get(self, question: str, now: float) -> tuple[Provider, ...] | None:
        """Return the answer to *question*, if there is one that is still fresh."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        if kept.until <= now:
            self._drop(question)
            return None
        self._kept.move_to_end(question)
        return kept.providers

    def put(self, question: str, providers: tuple[Provider, ...], *, size: int, until: float) -> None:
        """Keep an answer of *size* bytes until then."""
        self._drop(question)
        self._kept[question] = _Kept(providers, until, size)
        self._bytes += size
        while len(self._kept) > self.most or self._bytes > self.most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, question: str) -> None:
        if (kept := self._kept.pop(question, None)) is not None:
            self._bytes -= kept.size

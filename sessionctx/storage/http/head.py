"""What the header of an answer says of a file: its size, its version, and which bytes of it come. Pure.

Sources: RFC 9110, sections 8.8 (validators), 13 (conditions), 14 (ranges).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

from sessionctx.storage.base import Entry

_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_NO_RANGE: Final = re.compile(r"bytes \*/([0-9]{1,18})")


@attrs.frozen
class Span:
    """Which bytes of a file come with an answer."""

    begin: int
    end: int | None
    """None where that is not told."""
    size: int | None
    """The size of the whole file, if it is told."""


def conditions(version: str | None) -> dict[str, str]:
    """Return the header that lets a server refuse another version than this."""
    if version is None or version.startswith("W/"):
        return {}
    return {"If-Match" if version.startswith('"') else "If-Unmodified-Since": version}


def version_of(headers: Mapping[str, str]) -> str | None:
    """Return the version: a strong ETag, else the time of the last change, else a weak ETag."""
    tag = headers.get("etag", "").strip()
    strong = len(tag) >= 2 and tag[0] == tag[-1] == '"'
    return (tag if strong else headers.get("last-modified", "").strip() or tag) or None


def entry_of(path: str, headers: Mapping[str, str], size: int | None) -> Entry:
    """Return what a header says of the file *path*."""
    return Entry(
        path=path,
        size=size,
        modified=time_of(headers.get("last-modified", "")),
        version=version_of(headers),
        content_type=headers.get("content-type"),
    )


def time_of(text: str) -> float | None:
    """Return the seconds since 1970 of a date as HTTP writes it."""
    try:
        when: datetime = parsedate_to_datetime(text)
    except ValueError:
        return None
    return when.timestamp()


def span_of(status: int, headers: Mapping[str, str]) -> Span | None:
    """Return which bytes come with an answer of this *status*; None if that should be told, and is not."""
    told = headers.get("content-range", "")
    if status == 206:
        return _partial(told)
    if status == 416:
        match = _NO_RANGE.fullmatch(told)
        return None if match is None else Span(int(match[1]), int(match[1]), int(match[1]))
    length = headers.get("content-length")
    size = int(length) if length is not None and length.isdecimal() else None
    return Span(0, size, size)


def _partial(told: str) -> Span | None:
    match = _RANGE.fullmatch(told)
    if match is None:
        return None
    begin, last, size = int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])
    if last < begin or (size is not None and last >= size):
        return None
    return Span(begin, last + 1, size)

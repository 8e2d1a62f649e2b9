"""Preconditions and ranges of a request for something with a strong tag. Pure. Source: RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sessionctx.serve.request import Refused

_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)


def conditions(headers: Mapping[str, str], tag: str) -> int:
    """Return 200 if it is to be sent, 304 if the client holds it already, and 412 if it wants another one.

    *tag* is strong. Names of *headers* are in lower case.
    """
    wanted, held = headers.get("if-match"), headers.get("if-none-match")
    if wanted is not None and not _names(wanted, tag, weak=False):
        return 412
    return 304 if held is not None and _names(held, tag, weak=True) else 200


def span(headers: Mapping[str, str], size: int, tag: str) -> tuple[int, int] | None:
    """Return the half-open range that is asked for of *size* bytes with this *tag*; None for all of them.

    Several ranges at once, and what makes no sense, are answered with all of it. Raises `Refused` with 416 if the range
    lies outside.
    """
    match = _RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or headers.get("if-range", tag).strip() != tag or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    begin = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) + 1 if first and last else size
    if begin >= end:
        raise Refused(416, f"It has {size} bytes.", Content_Range=f"bytes */{size}")
    return begin, end


def _names(listed: str, tag: str, *, weak: bool) -> bool:
    tags = [each.strip() for each in listed.split(",")]
    return "*" in tags or tag in [each.removeprefix("W/") if weak else each for each in tags]

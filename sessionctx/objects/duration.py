"""Lengths of time as the protocol writes them: ``400d 1m 30s``. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from sessionctx.errors import InvalidObject

_DAY: Final = 86_400.0
_UNITS: Final[dict[str, float]] = {
    **dict.fromkeys(("nsec", "ns"), 1e-9),
    **dict.fromkeys(("usec", "us"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), _DAY),
    **dict.fromkeys(("weeks", "week", "w"), 7 * _DAY),
    **dict.fromkeys(("months", "month", "M"), 30.44 * _DAY),
    **dict.fromkeys(("years", "year", "y"), 365.25 * _DAY),
}
_TERM: Final = re.compile(r"(\d{1,18})\s*([A-Za-z]+)\s*")
MOST: Final = timedelta(days=100 * 365.25)


def written(length: timedelta) -> str:
    """Write *length*, in whole seconds, with days, hours, minutes and seconds. :exc:`InvalidObject` if negative."""
    seconds = round(length.total_seconds())
    if not 0 <= seconds <= MOST.total_seconds():
        raise InvalidObject(f"a duration is between nothing and a hundred years, not {length}")
    terms: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            terms.append(f"{count}{unit}")
    return " ".join(terms) or "0s"


def read(text: str) -> timedelta:
    """Read a sum of terms such as ``1h 30min``; months and years have their mean lengths. :exc:`InvalidObject`."""
    at, seconds = 0, 0.0
    stripped = text.strip()
    while at < len(stripped):
        term = _TERM.match(stripped, at)
        if term is None or term[2] not in _UNITS:
            raise InvalidObject(f"{text[:100]!r} is no duration: write it as 30d, or 1h 30m")
        seconds += int(term[1]) * _UNITS[term[2]]
        at = term.end()
    if not stripped or seconds > MOST.total_seconds():
        raise InvalidObject(f"{text[:100]!r} is no duration up to a hundred years: write it as 30d, or 1h 30m")
    return timedelta(seconds=seconds)

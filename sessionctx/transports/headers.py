"""Header values from strangers, read without surprises. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MOST_WAIT: Final = 3600.0
"""Seconds; a peer that asks to be left alone for longer is asked again after this."""

_SHOWN: Final = 80  # characters
_PARAMETER: Final = re.compile(r';\s*([^\s;=]+)\s*=\s*(?:"([^"]*)"|([^\s;]*))')


def retry_after(value: str | None, *, now: float) -> float | None:
    """Return the seconds which a ``Retry-After`` asks for: from 0 to an hour, or ``None`` if it says nothing sensible.

    *now* is the time in seconds since the epoch, to compare a date with; see :func:`http_date`.
    Source: RFC 9110, 10.2.3.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return MOST_WAIT if len(value) > 9 else min(float(value), MOST_WAIT)
    date = http_date(value)
    return None if date is None else min(max(date - now, 0.0), MOST_WAIT)


def asked_to_wait(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds which an answer's *headers* (names in lower case) ask to wait, ``None`` if they do not.

    A date is compared with the peer's own clock if it tells it, and otherwise with *now*, in seconds since the epoch.
    """
    return retry_after(headers.get("retry-after"), now=http_date(headers.get("date")) or now)


def http_date(value: str | None) -> float | None:
    """Return an HTTP date as seconds since the epoch, ``None`` if it is none. Source: RFC 9110, 5.6.7."""
    if value is None or len(value) > 64:
        return None
    try:
        date = parsedate_to_datetime(value)
        # Without a zone it is asctime's form, which HTTP reads as UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def content_type(value: str) -> tuple[str, dict[str, str]]:
    """Split a ``Content-Type`` into the type, in lower case, and its parameters (names in lower case; first one wins).

    Source: RFC 9110, 8.3.1.
    """
    kind, separator, rest = value.partition(";")
    parameters: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(separator + rest):
        parameters.setdefault(name.lower(), quoted or plain)
    return kind.strip().lower(), parameters


def shown(text: str) -> str:
    """Return what a peer wrote in a form that fits an error message: quoted, printable, short."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")

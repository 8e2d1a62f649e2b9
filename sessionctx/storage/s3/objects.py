"""What headers and listings say of an object, as entries, and the other way round. Pure."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from sessionctx.errors import BadAnswer, InvalidLocation
from sessionctx.storage.base import Entry, WriteOptions
from sessionctx.storage.s3.checksums import Expected

_META: Final = "x-amz-meta-"
_ENCODED: Final = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=", re.IGNORECASE)
_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def version_of(etag: str | None) -> str | None:
    """Return the version that an ETag is."""
    return etag.strip().strip('"') if etag else None


def quoted(version: str) -> str:
    """Return the ETag that a version is."""
    return f'"{version}"'


def entry_of(path: str, headers: Mapping[str, str], size: int | None = None) -> Entry:
    """Return what the headers of an answer say of *path*, whose size they may not tell."""
    length = headers.get("content-length", "")
    return Entry(
        path=path,
        size=int(length) if size is None and length.isdigit() else size,
        modified=_http_date(headers.get("last-modified", "")),
        version=version_of(headers.get("etag")),
        content_type=headers.get("content-type"),
        metadata={name[len(_META) :]: _decoded(value) for name, value in headers.items() if name.startswith(_META)},
    )


def content_range(headers: Mapping[str, str], peer: str) -> tuple[int, int, int]:
    """Return where the range begins that came, where it ends, and how large the whole is. :exc:`BadAnswer`."""
    match = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if match is None or match[1] is None:
        raise BadAnswer(f"{peer} sends a range and does not say which", peer=peer)
    start, end, size = int(match[1]), int(match[2]) + 1, int(match[3])
    if not start < end <= size:
        raise BadAnswer(f"{peer} sends a range that cannot be: {match[0]}", peer=peer)
    return start, end, size


def headers_of(options: WriteOptions) -> dict[str, str]:
    """Return the headers that keep what *options* say beside the content, and guard it."""
    headers = {} if options.content_type is None else {"Content-Type": options.content_type}
    for name, value in options.metadata.items():
        if not _TOKEN.fullmatch(name):
            raise InvalidLocation(f"{name!r} cannot name metadata in S3: letters, digits and - are fine")
        headers[_META + name.lower()] = _encoded(value)
    return headers


def guards_of(options: WriteOptions, *, bare: bool = False) -> dict[str, str]:
    """Return the headers that let a write happen only where *options* allow it; *bare*: without quotes."""
    if options.if_version is not None:
        return {"If-Match": options.if_version if bare else quoted(options.if_version)}
    return {"If-None-Match": "*"} if options.if_absent else {}


def seconds_of(text: str | None) -> float | None:
    """Return the time of a listing as seconds since 1970; None if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def number_of(text: str | None) -> int | None:
    """Return a number that a document holds; None if it is none."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 20 else None


def checksum_header(name: str) -> str:
    """Return the header that a checksum is sent in."""
    return f"x-amz-checksum-{name}"


def whole(expected: Expected | None, *, start: int, end: int, size: int) -> Expected | None:
    """Return *expected* if it is of what came: some servers send that of the whole with a part."""
    return expected if (start, end) == (0, size) else None


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text[:64]).replace(tzinfo=UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _encoded(value: str) -> str:
    """Return text as a header can hold it. Source: RFC 2047, which Amazon uses for metadata."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?")
    return value if plain else f"=?UTF-8?B?{b64encode(value.encode()).decode()}?="


def _decoded(value: str) -> str:
    try:
        return _ENCODED.sub(lambda match: b64decode(match[1], validate=True).decode(), value)
    except ValueError:
        return value

"""What is known of an object besides its bytes, and the headers that say it (the protocol's section 2). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote

import attrs

from sessionctx.errors import InvalidObject
from sessionctx.objects import duration

Encoding: TypeAlias = Literal["zstd"]

DEFAULT_TYPE: Final = "application/octet-stream"
CUSTOM: Final = "x-snme-"
_VISIBLE: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_TOKEN: Final = re.compile(r"[a-z0-9!#$&'*+.^_`|~-]{1,128}")
_TYPE: Final = re.compile(r"[!#$&^_.+A-Za-z0-9-]+/[!#$&^_.+A-Za-z0-9-]+(\s*;\s*[\x20-\x7e]*)?")


@attrs.frozen
class Expiration:
    """When an object goes: never by itself (``manual``), so long after it was made (``ttl``) or last read (``tti``)."""

    kind: Literal["manual", "ttl", "tti"] = "manual"
    after: timedelta = timedelta()

    @classmethod
    def ttl(cls, **length: float) -> Expiration:
        """So long after it was made: ``Expiration.ttl(days=30)``."""
        return cls("ttl", timedelta(**length))

    @classmethod
    def tti(cls, **length: float) -> Expiration:
        """So long after it was read last."""
        return cls("tti", timedelta(**length))

    @classmethod
    def parse(cls, text: str) -> Expiration:
        """Read a header's value. :exc:`InvalidObject`."""
        kind, colon, length = text.strip().partition(":")
        if kind == "manual" and not colon:
            return MANUAL
        if colon and kind in {"ttl", "tti"}:
            return cls("ttl" if kind == "ttl" else "tti", duration.read(length))
        raise InvalidObject(f"{text[:100]!r} is no expiration: write manual, ttl:30d or tti:30d")

    def __str__(self) -> str:
        return "manual" if self.kind == "manual" else f"{self.kind}:{duration.written(self.after)}"


MANUAL: Final = Expiration()


@attrs.frozen(kw_only=True)
class Metadata:
    """What a user gives along with an object."""

    content_type: str = DEFAULT_TYPE
    encoding: Encoding | None = None
    """How the bytes are stored: the client compresses, the server never does."""
    expiration: Expiration = MANUAL
    origin: str | None = None
    """Where it came from: an address, for example."""
    filename: str | None = None
    custom: Mapping[str, str] = MappingProxyType({})
    """Of one's own; names are lower case."""

    created: datetime | None = None
    """The server says; as the next two, it is not sent."""
    expires: datetime | None = None
    size: int | None = None
    """Bytes as they are stored."""


def to_headers(metadata: Metadata) -> list[tuple[str, str]]:
    """Write what a client sends. :exc:`InvalidObject` for what no header can say."""
    if not _TYPE.fullmatch(metadata.content_type):
        raise InvalidObject(f"{metadata.content_type!r} is no content type: write text/plain")
    headers = [("content-type", metadata.content_type)]
    if metadata.encoding is not None:
        headers.append(("content-encoding", metadata.encoding))
    headers.append(("x-sn-expiration", str(metadata.expiration)))
    if metadata.origin is not None:
        headers.append(("x-sn-origin", percent(metadata.origin)))
    if metadata.filename is not None:
        headers.append(("x-sn-filename", percent(metadata.filename)))
    headers += [(CUSTOM + _name(name), percent(value)) for name, value in metadata.custom.items()]
    return headers


def told(metadata: Metadata) -> list[tuple[str, str]]:
    """Write what a server adds."""
    headers: list[tuple[str, str]] = []
    if metadata.created is not None:
        headers.append(("x-sn-time-created", _time(metadata.created)))
    if metadata.expires is not None:
        headers.append(("x-sn-time-expires", _time(metadata.expires)))
    if metadata.size is not None:
        headers.append(("x-sn-size", str(metadata.size)))
    return headers


def from_headers(headers: Iterable[tuple[str, str]]) -> Metadata:
    """Read what either side sent; names in any case, what is unknown is left alone. :exc:`InvalidObject`."""
    given = {name.lower(): value for name, value in headers}
    encoding = given.get("content-encoding", "").strip().lower()
    if encoding not in {"", "zstd", "identity"}:
        raise InvalidObject(f"the content encoding {encoding[:40]!r} is not known: only zstd is")
    content_type = given.get("content-type", DEFAULT_TYPE)
    if not _TYPE.fullmatch(content_type):
        raise InvalidObject(f"{content_type[:100]!r} is no content type")
    size = given.get("x-sn-size", "")
    return Metadata(
        content_type=content_type,
        encoding="zstd" if encoding == "zstd" else None,
        expiration=Expiration.parse(given.get("x-sn-expiration", "manual")),
        origin=_text(given.get("x-sn-origin")),
        filename=_text(given.get("x-sn-filename")),
        custom={name[len(CUSTOM) :]: unquote(text) for name, text in given.items() if name.startswith(CUSTOM)},
        created=_read_time(given.get("x-sn-time-created")),
        expires=_read_time(given.get("x-sn-time-expires")),
        size=int(size) if size.isascii() and size.isdigit() and len(size) < 20 else None,
    )


def percent(text: str) -> str:
    """Write free text as a header's value: what is not visible ASCII, and ``%``, percent-encoded in UTF-8.

    So are spaces at its ends, which would get lost.
    """
    try:
        inner = text.strip(" ")
        start = len(text) - len(text.lstrip(" "))
        end = len(text) - start - len(inner)
        return "%20" * start + quote(inner, safe=_VISIBLE) + "%20" * end
    except UnicodeEncodeError:
        raise InvalidObject(f"{text!r} is not Unicode") from None


def _text(value: str | None) -> str | None:
    return None if value is None else unquote(value)


def _name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise InvalidObject(
            f"metadata cannot be called {name!r}: up to 128 lower-case letters, digits and !#$&'*+.^_`|~-"
        )
    return name


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _read_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidObject(f"{text[:100]!r} is no time (RFC 3339)") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

"""What the index of a shelf says of an object, and what follows from the time. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final, cast

import attrs

from sessionctx.objects.metadata import Expiration, Metadata, from_headers, to_headers

DAY: Final = 86_400.0


@attrs.frozen
class Blob:
    """A piece of an object's content: a file in the storage below."""

    name: str
    size: int


@attrs.frozen(kw_only=True)
class Row:
    """One object in the index."""

    place: str
    key: str
    metadata: Metadata
    """What was given; what the server adds follows from the fields below."""
    created: float
    """Seconds since 1970."""
    expires: float | None
    inline: bytes | None = attrs.field(default=None, repr=False)
    """The content, if it is small."""
    blobs: tuple[Blob, ...] = ()
    """The content otherwise, one after the other."""

    @property
    def size(self) -> int:
        """Bytes as they are stored."""
        return len(self.inline) if self.inline is not None else sum(blob.size for blob in self.blobs)

    def told(self) -> Metadata:
        """Return the metadata with what the server adds."""
        expires = None if self.expires is None else _moment(self.expires)
        return attrs.evolve(self.metadata, created=_moment(self.created), expires=expires, size=self.size)


def first_expiry(expiration: Expiration, now: float) -> float | None:
    """Return when an object expires that is made *now*."""
    return None if expiration.kind == "manual" else now + expiration.after.total_seconds()


def bumped(row: Row, now: float) -> float | None:
    """Return when an object expires that is read *now*, if that is to be written down; else None.

    It is not, for each read: only when a quarter of the time has passed, or a day.
    """
    if row.metadata.expiration.kind != "tti" or row.expires is None:
        return None
    idle = row.metadata.expiration.after.total_seconds()
    return now + idle if row.expires < now + idle - min(idle / 4, DAY) else None


def packed(metadata: Metadata) -> str:
    """Write *metadata* for the index."""
    return json.dumps(to_headers(metadata))


def unpacked(text: str) -> Metadata:
    """Read it again."""
    headers = cast("list[Any]", json.loads(text))
    return from_headers((str(name), str(value)) for name, value in headers)


def packed_blobs(blobs: tuple[Blob, ...]) -> str:
    """Write the list of *blobs* for the index."""
    return json.dumps([[blob.name, blob.size] for blob in blobs])


def unpacked_blobs(text: str) -> tuple[Blob, ...]:
    """Read it again."""
    return tuple(Blob(str(name), int(size)) for name, size in cast("list[Any]", json.loads(text)))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

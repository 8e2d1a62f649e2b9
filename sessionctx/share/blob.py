"""Blobs: their ids, where these lead in a URL and in a storage, and their digests, in each way to write them. Pure.

Sources: RFC 9110 (entity tags); RFC 9530 (``Repr-Digest``); the format of ``sha256sum`` for files of digests.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import quote, unquote_to_bytes

import attrs

from sessionctx.errors import InvalidLocation

MOST: Final = 200
"""Bytes of an id, in UTF-8: storages add to it, and a file's name has at most 255."""
FOLDER: Final = "blobs"
"""Where blobs are in a storage, each in a file that is called as the blob: so a static server serves them, too."""
ROUTE: Final = f"/{FOLDER}/"
MOST_DIGEST: Final = 4096
"""Bytes of a file that holds a digest."""
_DIGESTS: Final = f"{FOLDER}/.sha256"
_LOADED: Final = "# loaded"
_CONTROL: Final = frozenset(map(chr, [*range(0x20), 0x7F]))
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_TAG: Final = re.compile(r'"(sha256:[0-9a-f]{64})"')
_MEMBER: Final = re.compile(r"(?:^|[,\s])sha-256\s*=\s*:([A-Za-z0-9+/=]{44}):")


@attrs.frozen
class Blob:
    """What is known of one blob. Its id means these bytes, for ever."""

    id: str
    size: int
    """Bytes."""
    digest: str
    """``sha256:`` and 64 hexadecimal digits."""

    @property
    def etag(self) -> str:
        """Its strong entity tag: the digest."""
        return f'"{self.digest}"'

    @property
    def repr_digest(self) -> str:
        """Its digest as the header ``Repr-Digest`` has it."""
        raw = bytes.fromhex(self.digest.removeprefix("sha256:"))
        return f"sha-256=:{base64.b64encode(raw).decode()}:"


# --- ids


def checked_id(resource_id: str) -> str:
    """Return *resource_id* if it can name a blob: one name of 1 to 200 bytes of UTF-8, which does not begin with a dot.

    Raises:
        InvalidLocation: it is no such name: a path, a URL, control characters in it. The message says which.
    """
    fault = _fault(resource_id)
    if fault is not None:
        raise InvalidLocation(f"{resource_id[:80]!r} is no id of a blob: {fault}")
    return resource_id


def _fault(resource_id: str) -> str | None:
    try:
        length = len(resource_id.encode())
    except UnicodeEncodeError:
        return "it is not Unicode"
    if not length or length > MOST:
        return f"it has {length} bytes; between 1 and {MOST} are allowed"
    if "://" in resource_id:
        return "it is a URL; give its id alone, and the service's URL in services="
    if "/" in resource_id or "\\" in resource_id:
        return "it is one name, not a path: there is no slash or backslash in it"
    if resource_id.startswith("."):
        return "it begins with a dot, as what storages keep for themselves does"
    return None if _CONTROL.isdisjoint(resource_id) else "it holds a control character"


def id_at(raw_path: bytes) -> str | None:
    """Return the id that the path of a request names, still percent-encoded; None if it is none of blobs at all.

    Raises:
        InvalidLocation: what it names can be no blob.
    """
    if not raw_path.startswith(ROUTE.encode()):
        return None
    try:
        name = unquote_to_bytes(raw_path.removeprefix(ROUTE.encode())).decode()
    except UnicodeDecodeError:
        raise InvalidLocation("the id is no UTF-8 once its percent-encoding is taken off") from None
    return checked_id(name)


def route_of(resource_id: str) -> str:
    """Return the path of a blob below the URL of a service."""
    return ROUTE + quote(resource_id, safe="")


def digest_route_of(resource_id: str) -> str:
    """Return the path of its digest, below a service that is but a static server."""
    return f"/{_DIGESTS}/{quote(resource_id, safe='')}"


def path_of(resource_id: str) -> str:
    """Return the path of a blob in a storage."""
    return f"{FOLDER}/{resource_id}"


def digest_path_of(resource_id: str) -> str:
    """Return the path of the file in a storage that holds its digest."""
    return f"{_DIGESTS}/{resource_id}"


# --- digests


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take bytes."""
        ...

    def digest(self) -> bytes:
        """Return that of all bytes so far."""
        ...

    def hexdigest(self) -> str:
        """Return it as text."""
        ...


def parsed(text: str) -> str:
    """Return a digest in the one form in which they are compared: ``sha256:`` and 64 digits.

    Takes that, the digits alone, or what a ``Repr-Digest`` says: ``sha-256=:...:``. :exc:`ValueError` if it is none.
    """
    given = text.strip()
    if (member := _from_member(given)) is not None:
        return member
    digits = given.lower().removeprefix("sha256:")
    if not _HEX.fullmatch(digits):
        raise ValueError(f"{text[:80]!r} is no digest: write sha256: and 64 hexadecimal digits")
    return f"sha256:{digits}"


def told_by(headers: Mapping[str, str]) -> str | None:
    """Return the digest that the *headers* of an answer tell (names in lower case), or None."""
    tag = _TAG.fullmatch(headers.get("etag", "").strip())
    return _from_member(headers.get("repr-digest", "")) or (tag[1] if tag else None)


def _from_member(text: str) -> str | None:
    match = _MEMBER.search(text)
    if match is None:
        return None
    try:
        raw = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        return None
    return f"sha256:{raw.hex()}" if len(raw) == 32 else None


def digest_file(blob: Blob, *, loaded: bool) -> bytes:
    """Return what the file beside a blob says: as ``sha256sum`` writes it, and whether it was *loaded* from others."""
    mark = f"{_LOADED}\n" if loaded else ""
    return f"{mark}{blob.digest.removeprefix('sha256:')}  {blob.id}\n".encode()


def read_digest_file(data: bytes) -> tuple[str | None, bool]:
    """Return the digest that such a file holds (None if it holds none), and whether its blob was loaded."""
    lines = data.decode("utf-8", "replace").splitlines()
    said = (line.split(maxsplit=1)[0].lower() for line in lines if line.strip() and not line.startswith("#"))
    digits = next(said, "")
    return (f"sha256:{digits}" if _HEX.fullmatch(digits) else None), _LOADED in lines

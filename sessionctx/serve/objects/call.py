"""What a request to the object service asks for, read from its ASGI scope (the protocol's section 1). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl, unquote

import attrs

from sessionctx.errors import InvalidObject, TokenRefused
from sessionctx.objects import Place, paths
from sessionctx.serve.asgi import Scope, headers_of

Resource: TypeAlias = Literal[
    "objects", "objects:batch", "objects:multipart", "objects:multipart:parts", "objects:multipart:complete"
]
_RESOURCES: Final[Mapping[str, Resource]] = {
    "objects": "objects",
    "objects:batch": "objects:batch",
    "objects:multipart": "objects:multipart",
    "objects:multipart:parts": "objects:multipart:parts",
    "objects:multipart:complete": "objects:multipart:complete",
}
_RANGE: Final = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")


class Problem(Exception):
    """A request, or an operation of a batch, that is answered with an error *status*."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@attrs.frozen
class Call:
    """A request that makes sense."""

    method: str
    resource: Resource
    place: Place
    key: str
    """Empty where the service shall choose one."""
    raw_path: str
    """As it was sent; presigned URLs sign it."""
    raw_query: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]

    def asked(self, name: str) -> str | None:
        """Return a parameter of the query."""
        return next((value for each, value in self.query if each == name), None)

    def number(self, name: str, text: str | None) -> int:
        """Return what *name* says, as the whole number that it must be. `Problem` 400."""
        if text is None or not re.fullmatch(r"[0-9]{1,18}", text.strip()):
            raise Problem(400, f"{name} is to be a whole number")
        return int(text)


def read(scope: Scope) -> Call:
    """The request in an ASGI *scope*. `Problem` 400 or 404."""
    raw = cast("bytes | None", scope.get("raw_path")) or str(scope["path"]).encode()
    path = raw.decode("latin-1")
    segments = path.split("/", 5)
    resource = _RESOURCES.get(unquote(segments[2])) if len(segments) > 4 and segments[:2] == ["", "v1"] else None
    if resource is None:
        raise Problem(404, "there are /v1/objects/{usecase}/{scopes}/{key}, and the like")
    if resource == "objects:batch" and len(segments) < 6:
        raise Problem(404, "a batch goes to a path with a slash at its end")
    try:
        place = Place.parse(unquote(segments[3], errors="strict"), unquote(segments[4], errors="strict"))
        key = paths.decoded(segments[5]) if len(segments) > 5 else ""
    except (InvalidObject, UnicodeDecodeError) as error:
        raise Problem(400, str(error)) from None
    query = cast("bytes", scope.get("query_string", b"")).decode("latin-1")
    try:
        pairs = tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Problem(400, "the query has more than 100 parameters") from None
    return Call(str(scope["method"]), resource, place, key, path, query, pairs, headers_of(scope))


def token_of(call: Call) -> str | None:
    """Return the token that a request brings, or None."""
    for name in ("x-os-auth", "authorization"):
        scheme, _, token = call.headers.get(name, "").strip().partition(" ")
        if scheme.lower() == "bearer" and token:
            return token.strip()
    return call.asked("os_auth")


def refused(error: TokenRefused) -> Problem:
    """Return what is said of a token that does not do."""
    return Problem(error.status, str(error))


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return from where to before where of *size* bytes, None for all (section 3). `Problem` 400 or 416."""
    if header is None:
        return None
    unit, _, spans = header.partition("=")
    if unit.strip().lower() == "bytes" and "," in spans:
        return None
    match = _RANGE.fullmatch(header)
    if match is None or match.groups() == ("", "") or (not match[1] and int(match[2]) == 0):
        raise Problem(400, f"{header[:100]!r} is no range: write bytes=0-99, bytes=100- or bytes=-100")
    first, last = match.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(int(last), size - 1) + 1 if last else size
    if begin >= size or begin >= end:
        raise Problem(416, f"it has {size} bytes", Content_Range=f"bytes */{size}")
    return begin, end

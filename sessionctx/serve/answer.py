"""What the gateway says about a representation: names, caching, ranges. Pure.

Sources: trustless and path gateway specifications; RFC 9110 (conditional requests, ranges); RFC 6266 (file names).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

from sessionctx.content import CID
from sessionctx.serve.accept import CAR_TYPE, RAW_TYPE
from sessionctx.serve.request import Refused, Request

IMMUTABLE: Final = "public, max-age=29030400, immutable"
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*(?:,.*)?", re.ASCII)
_MOST_ROOTS = 64  # clients refuse long headers
_FIELD = re.compile(r"[ -~]*", re.ASCII)
_PLAIN_NAME = re.compile(r"[\w .,()+@=-]{1,200}", re.ASCII)


def etag(request: Request, cid: CID | None = None) -> str:
    """A tag that differs wherever the bytes may differ: by scope, byte span, path, order and duplicates.

    *cid* is where the path leads; default: the path is empty.
    """
    if request.wanted.format == "raw":
        return f'"{cid or request.cid}.raw"'
    shape = hashlib.sha256(f"{request.path}\0{request.span}".encode()).hexdigest()[:16]
    dups = "y" if request.wanted.dups else "n"
    return f'W/"{request.scope}.dfs.{dups}.{shape}.{request.cid}.car"'


def headers(request: Request, roots: Sequence[CID]) -> dict[str, str]:
    """The headers of a 200 or 206; *roots* are the CIDs at the segments of the path, the request's CID first."""
    car = request.wanted.format == "car"
    dups = "y" if request.wanted.dups else "n"
    return {
        "Content-Type": f"{CAR_TYPE};version=1;order=dfs;dups={dups}" if car else RAW_TYPE,
        "Content-Disposition": disposition("attachment", _file_name(request, roots[-1])),
        "Accept-Ranges": "none" if car else "bytes",
        **located(request, roots),
        **unchanging(request, roots[-1]),
    }


def located(request: Request, roots: Sequence[CID]) -> dict[str, str]:
    """Those that say where the content is; *roots* as for `headers`."""
    found = {"X-Content-Type-Options": "nosniff", "Ipfs-Uri": request.uri}
    path = unquote(request.content_path)
    if _FIELD.fullmatch(path):  # other characters do not survive in a header
        found["X-Ipfs-Path"] = path
    if len(roots) <= _MOST_ROOTS:
        found["X-Ipfs-Roots"] = ",".join(str(cid) for cid in roots)
    return found


def unchanging(request: Request, cid: CID | None = None) -> dict[str, str]:
    """Those of the headers which a 304 repeats; *cid* as for `etag`."""
    return {"ETag": etag(request, cid), "Cache-Control": IMMUTABLE, **negotiated(request)}


def negotiated(request: Request) -> dict[str, str]:
    """Those that say that another ``Accept`` header might have had another answer, and where this one always is."""
    if "format" in request.query:
        told_by_accept = request.wanted.format == "car" and "car-dups" not in request.query
        return {"Vary": "Accept"} if told_by_accept else {}
    if not request.wanted.format:
        return {"Vary": "Accept"}
    return {"Vary": "Accept", "Content-Location": f"{request.content_path}?{_canonical_query(request)}"}


def unmodified(request: Request, *tags: str) -> bool:
    """Whether the client holds what any of these *tags* names already (``If-None-Match``, weak comparison)."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    held = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in held or any(tag.removeprefix("W/") in held for tag in tags)


def byte_range(request: Request, size: int, tag: str) -> tuple[int, int] | None:
    """The half-open range that is asked for of *size* bytes with this *tag*; ``None`` for all of them.

    Only one range at a time is served: of a list, the first. One in another unit is answered with all of it.

    Raises:
        Refused: 416, when the range lies outside.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.method != "GET" or request.headers.get("if-range", tag) != tag:
        return None
    first, last = match.groups()
    if first:
        begin, end = int(first), min(int(last), size - 1) + 1 if last else size
        if last and int(last) < int(first):
            return None
    elif last:
        begin, end = max(0, size - int(last)), size
    else:
        return None
    if begin >= end:
        raise Refused(416, f"It has {size} bytes.", Content_Range=f"bytes */{size}")
    return begin, end


def _file_name(request: Request, cid: CID) -> str:
    own = f"{request.cid}.car" if request.wanted.format == "car" else f"{cid}.bin"
    return request.query.get("filename") or own


def disposition(kind: str, name: str) -> str:
    """Return a ``Content-Disposition``: *kind* is ``inline`` or ``attachment``."""
    if _PLAIN_NAME.fullmatch(name):
        return f'{kind}; filename="{name}"'
    plain = re.sub(r"[^\w .,()+@=-]", "_", name[:200], flags=re.ASCII)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name[:200], safe='')}"


def _canonical_query(request: Request) -> str:
    if request.wanted.format != "car":
        return f"format={request.wanted.format}"
    span = f"&entity-bytes={request.span}" if request.span is not None else ""
    dups = "y" if request.wanted.dups else "n"
    return f"format=car&dag-scope={request.scope}{span}&car-version=1&car-order=dfs&car-dups={dups}"

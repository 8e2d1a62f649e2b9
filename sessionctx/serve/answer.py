"""What the gateway says about a representation: names, caching, ranges. Pure.

Sources: trustless and path gateway specifications; RFC 9110 (conditional requests, ranges); RFC 6266 (file names).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from urllib.parse import quote

from sessionctx.content import CID
from sessionctx.serve.accept import CAR_TYPE, RAW_TYPE
from sessionctx.serve.request import Refused, Request

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)
_MOST_ROOTS = 64  # clients refuse long headers
_PLAIN_NAME = re.compile(r"[\w .,()+@=-]{1,200}", re.ASCII)


def etag(request: Request) -> str:
    """A tag that differs wherever the bytes may differ: by scope, byte span, path, order and duplicates."""
    if request.wanted.format == "raw":
        return f'"{request.cid}.raw"'
    shape = hashlib.sha256(f"{request.path}\0{request.span}".encode()).hexdigest()[:16]
    dups = "y" if request.wanted.dups else "n"
    return f'W/"{request.scope}.dfs.{dups}.{shape}.{request.cid}.car"'


def headers(request: Request, roots: Sequence[CID]) -> dict[str, str]:
    """The headers of a 200 or 206; *roots* are the CIDs at the segments of the path, the request's CID first."""
    car = request.wanted.format == "car"
    dups = "y" if request.wanted.dups else "n"
    found = {
        "Content-Type": f"{CAR_TYPE};version=1;order=dfs;dups={dups}" if car else RAW_TYPE,
        "Content-Disposition": _disposition(request.query.get("filename") or _file_name(request)),
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "none" if car else "bytes",
        "X-Ipfs-Path": request.content_path,
        **unchanging(request),
    }
    if len(roots) <= _MOST_ROOTS:
        found["X-Ipfs-Roots"] = ",".join(str(cid) for cid in roots)
    return found


def unchanging(request: Request) -> dict[str, str]:
    """Those of the headers which a 304 repeats."""
    found = {"ETag": etag(request), "Cache-Control": "public, max-age=29030400, immutable"}
    if "format" not in request.query:
        found["Content-Location"] = f"{request.content_path}?{_canonical_query(request)}"
        found["Vary"] = "Accept"
    return found


def unmodified(request: Request) -> bool:
    """Whether the client holds these very bytes already (``If-None-Match``, weak comparison)."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in tags or etag(request).removeprefix("W/") in tags


def byte_range(request: Request, size: int) -> tuple[int, int] | None:
    """The half-open range of a raw block of *size* bytes that is asked for; ``None`` for all of it.

    Only one range at a time is served; a list of them, or one in another unit, is answered with the whole block.

    Raises:
        Refused: 416, when the range lies outside.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.method != "GET" or request.headers.get("if-range", etag(request)) != etag(request):
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
        raise Refused(416, f"The block has {size} bytes.", Content_Range=f"bytes */{size}")
    return begin, end


def _file_name(request: Request) -> str:
    return f"{request.cid}.{'car' if request.wanted.format == 'car' else 'bin'}"


def _disposition(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return f'attachment; filename="{name}"'
    plain = re.sub(r"[^\w .,()+@=-]", "_", name[:200], flags=re.ASCII)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name[:200], safe='')}"


def _canonical_query(request: Request) -> str:
    if request.wanted.format == "raw":
        return "format=raw"
    span = f"&entity-bytes={request.span}" if request.span is not None else ""
    dups = "y" if request.wanted.dups else "n"
    return f"format=car&dag-scope={request.scope}{span}&car-version=1&car-order=dfs&car-dups={dups}"

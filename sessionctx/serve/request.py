"""What a request to the gateway asks for, read from its ASGI scope. Pure.

Source: trustless gateway specification, https://specs.ipfs.tech/http-gateways/trustless-gateway/.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import cast
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import attrs

from sessionctx.content import CID, DAG_SCOPES, ByteRange, DagScope
from sessionctx.errors import DecodeError, InvalidCID
from sessionctx.serve.accept import SERVED, NotOffered, Wanted, negotiate
from sessionctx.serve.asgi import Scope, headers_of


class Refused(Exception):
    """A request that is answered with an error *status* and a text which says what to do instead."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@attrs.frozen
class Request:
    """A request that makes sense; whether what it asks for is here is not known yet."""

    method: str
    """``GET`` or ``HEAD``."""
    content_path: str
    """``/ipfs/{cid}/{path}`` as it was asked for, percent-encoded; a slash at its end asks for a directory."""
    cid: CID
    path: str
    """Below the CID, decoded, without slashes at its ends; empty for the CID itself."""
    wanted: Wanted
    scope: DagScope
    span: str | None
    """``entity-bytes``."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    search: str = ""
    """The query as it was sent."""

    @property
    def uri(self) -> str:
        """Its one address, whichever way it was written (IPIP-548)."""
        segments: list[str] = []
        for name in self.path.split("/"):
            if name == "..":
                del segments[-1:]
            elif name not in ("", "."):
                segments.append(name)
        end = "/" if self.content_path.endswith("/") else ""
        name = str(self.cid if self.cid.version == 1 else CID.new(1, self.cid.codec, self.cid.multihash))
        return f"ipfs://{'/'.join((name, *(quote(segment, safe='') for segment in segments)))}{end}"

    @property
    def only_if_cached(self) -> bool:
        """Whether the client wants an answer only if it costs nothing to give."""
        return "only-if-cached" in (part.strip().lower() for part in self.headers.get("cache-control", "").split(","))


def read(scope: Scope, *, trustless: bool = True) -> Request:
    """The request in an ASGI HTTP *scope*, to a gateway that serves only what can be verified if *trustless*.

    Raises:
        Refused: 400, 404, 405 or 406, when it cannot be answered whatever is stored.
    """
    method = str(scope["method"])
    if method not in ("GET", "HEAD"):
        raise Refused(405, f"{method} is not served: a gateway is read with GET and HEAD.", Allow="GET, HEAD")
    content_path = _content_path(scope)
    cid, path = _cid_and_path(content_path, trustless=trustless)
    headers, search = headers_of(scope), cast("bytes", scope.get("query_string", b"")).decode("latin-1")
    query, wanted, dag_scope, span = _asked(search, headers.get("accept", ""), trustless)
    if path and wanted.format == "raw" and trustless:
        raise Refused(400, "A raw block has no path: ask for /ipfs/{cid}?format=raw, or for ?format=car with a path.")
    return Request(method, quote(content_path), cid, path, wanted, dag_scope, span, query, headers, search)


@lru_cache(maxsize=64)  # few are different, but for the CID
def _asked(search: str, accept: str, trustless: bool) -> tuple[Mapping[str, str], Wanted, DagScope, str | None]:  # noqa: FBT001
    query = _query(search)
    try:
        wanted = negotiate(query, accept, trustless=trustless)
    except NotOffered as refused:
        raise Refused(406, str(refused)) from None
    return query, wanted, *_shape(query)


def _content_path(scope: Scope) -> str:
    """The requested path without its percent-encoding."""
    raw = cast("bytes | None", scope.get("raw_path")) or quote(str(scope["path"])).encode()
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Refused(400, "The path is no UTF-8 text once its percent-encoding is taken off.") from None


def _cid_and_path(path: str, *, trustless: bool) -> tuple[CID, str]:
    if not path.startswith("/ipfs/"):
        what = f"This is a trustless gateway: it serves /ipfs/{{cid}} as {SERVED}."
        raise Refused(404, what if trustless else "This gateway serves /ipfs/{cid} and what is below it.")
    name, _, rest = path.removeprefix("/ipfs/").partition("/")
    try:
        return CID.parse(name), rest.strip("/")
    except InvalidCID as error:
        raise Refused(400, f"/ipfs/ is followed by no CID: {error}") from None


def _query(search: str) -> dict[str, str]:
    """The query parameters; where a name is repeated, the first one counts."""
    try:
        pairs = parse_qsl(search, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refused(400, "The query has more than 100 parameters.") from None
    return dict(reversed(pairs))


def _shape(query: Mapping[str, str]) -> tuple[DagScope, str | None]:
    span = query.get("entity-bytes")
    try:
        wanted = None if span is None else str(ByteRange.parse(span))
    except DecodeError as error:
        raise Refused(400, f"entity-bytes={error}, as in entity-bytes=0:1023.") from None
    name = query.get("dag-scope", "all")
    for known in DAG_SCOPES:
        if name == known:
            return (known, None) if wanted is None else ("entity", wanted)
    raise Refused(400, f"dag-scope is block, entity or all, not {name[:40]!r}.")

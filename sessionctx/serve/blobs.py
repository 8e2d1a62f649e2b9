"""The blobs of a share over HTTP: whole or in part, each with its digest, at ``/blobs/{id}``.

Sources: RFC 9110 (methods, conditions, ranges); RFC 9530 (``Repr-Digest``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import quote

import trio

from sessionctx.errors import BlobNotFound, InvalidLocation, SessionctxError, StoreClosed
from sessionctx.serve import asgi, ranges, server
from sessionctx.serve.asgi import App, Receive, Scope, Send
from sessionctx.serve.log import logger
from sessionctx.serve.request import Refused
from sessionctx.session import require_trio
from sessionctx.share import Blob, BlobShare, Listen, id_at

_ADDRESS: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]/\s]+)):([0-9]{1,5})", re.ASCII)


def blobs(share: BlobShare, otherwise: App | None = None) -> App:
    """An ASGI app that serves what is in *share* at ``/blobs/{id}``, and has *otherwise* answer what else is asked.

    So a node gives its blocks and its blobs at one address: ``serve.blobs(share, serve.gateway(node.store))``.

    It answers GET and HEAD; one range at a time (several are answered with the whole), ``If-Match``, ``If-None-Match``
    and ``If-Range``. Each answer tells the blob's SHA-256, as its strong ``ETag`` and as ``Repr-Digest``. It asks no
    other service. A blob is read a piece at a time, and waits while its client does not read; see `run`.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        require_trio("serve.blobs")
        if scope["type"] == "lifespan":
            await (asgi.lifespan(receive, send) if otherwise is None else otherwise(scope, receive, send))
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        try:
            resource_id = id_at(_path(scope))
            if resource_id is None and otherwise is not None:
                await otherwise(scope, receive, send)
                return
            await _serve(share, resource_id, scope, send)
        except Refused as refused:
            await _refuse(refused, scope, send)
        except InvalidLocation as error:
            await _refuse(Refused(400, str(error)), scope, send)

    return app


def listening(address: str, *, otherwise: App | None = None) -> Listen:
    """Return what ``BlobShare.open(listen=)`` takes, to serve the share at *address*, such as ``127.0.0.1:8080``.

    Port 0 lets the system choose: `BlobShare.url` says what. *otherwise* is as for `blobs`.

    Raises:
        ValueError: *address* is no ``host:port``.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{address!r} is no address: write 127.0.0.1:8080, or [::1]:0")
    host, port = match[1] or match[2], int(match[3])

    async def listen(share: BlobShare, stop: trio.Event, grace: float, *, task_status: trio.TaskStatus[str]) -> None:
        await server.run(blobs(share, otherwise), host, port, stop=stop, grace=grace, task_status=task_status)

    return listen


def _path(scope: Scope) -> bytes:
    return cast("bytes | None", scope.get("raw_path")) or quote(str(scope["path"])).encode()


async def _serve(share: BlobShare, resource_id: str | None, scope: Scope, send: Send) -> None:
    method = scope["method"]
    if resource_id is None:
        raise Refused(404, "This server has blobs at /blobs/{id}.")
    if method not in ("GET", "HEAD"):
        raise Refused(405, f"{method} is not served: blobs are read with GET and HEAD.", Allow="GET, HEAD")
    try:
        blob = await share.find(resource_id)
    except SessionctxError as error:
        raise _refusal(error, resource_id) from error
    headers = asgi.headers_of(scope)
    status = ranges.conditions(headers, blob.etag)
    if status != 200:
        about = {"ETag": blob.etag, "Repr-Digest": blob.repr_digest}
        if status == 412:
            raise Refused(412, "The blob here is another one.", ETag=blob.etag)
        await asgi.start(send, 304, asgi.fields(about))
        await asgi.body(send)
        return
    await _send(share, blob, headers if method == "GET" else {}, scope, send)


async def _send(share: BlobShare, blob: Blob, headers: Mapping[str, str], scope: Scope, send: Send) -> None:
    part = ranges.span(headers, blob.size, blob.etag)
    begin, end = part or (0, blob.size)
    about = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(end - begin),
        "ETag": blob.etag,
        "Repr-Digest": blob.repr_digest,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    if part is not None:
        about["Content-Range"] = f"bytes {begin}-{end - 1}/{blob.size}"
    start = functools.partial(asgi.start, send, 200 if part is None else 206, asgi.fields(about))
    if scope["method"] == "HEAD":
        await start()
        await asgi.body(send)
        return
    async with share.read(blob.id, offset=begin, length=end - begin) as reader:
        if reader.blob != blob:
            raise Refused(503, "The blob was replaced just now. Try again.", Retry_After="1")
        await start()
        async for piece in reader:
            await asgi.body(send, bytes(piece), more=True)
    await asgi.body(send)


def _refusal(error: SessionctxError, resource_id: str) -> Refused:
    if isinstance(error, BlobNotFound):
        return Refused(404, "It is not here.")
    if isinstance(error, StoreClosed):
        return Refused(503, "This server stops. Ask another one.", Retry_After="10")
    logger.warning("the blob %r: %s", resource_id, error)
    return Refused(500, "This server cannot read its storage. Its log says more.")


async def _refuse(refused: Refused, scope: Scope, send: Send) -> None:
    text = (refused.text + "\n").encode()
    about = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(text)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **refused.headers,
    }
    await asgi.start(send, refused.status, asgi.fields(about))
    await asgi.body(send, b"" if scope["method"] == "HEAD" else text)

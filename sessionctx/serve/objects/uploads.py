"""Uploads in several requests: in parts, put together in the end; or resumable, which go on where they broke."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self, cast

import attrs

from sessionctx.objects import shelf
from sessionctx.serve.objects.call import Call, Problem
from sessionctx.serve.objects.exchange import Exchange, Gone
from sessionctx.serve.objects.service import Service, metadata_of

GRANULARITY: Final = 4 * 1024 * 1024
"""Bytes of a resumable upload that are kept together: what is lost at most when its connection breaks."""
MOST_PARTS: Final = 10_000
_UNKNOWN: Final = "there is no such upload; it may have ended, or been given up"


# --- in parts


async def initiate(service: Service, call: Call, exchange: Exchange) -> None:
    """Begin an upload in parts."""
    upload = await _begin(service, call, None)
    await exchange.say(200, {"key": upload.key, "upload_id": upload.id})


async def put_part(service: Service, call: Call, exchange: Exchange) -> None:
    """Keep one part, in place of one of its number."""
    upload = await _upload(service, call, call.asked("upload_id"))
    number = call.number("part_number", call.asked("part_number"))
    if not 1 <= number <= MOST_PARTS:
        raise Problem(400, f"part_number is between 1 and {MOST_PARTS}")
    call.number("Content-Length", call.headers.get("content-length"))
    async with service.shelf.writing() as blob:
        body = _Hashed(exchange.body(service.most))
        size = (await service.shelf.content.write(blob, body)).size or 0
        _check_md5(call.headers.get("content-md5"), body.md5)
        etag = body.md5.hex()
        part = shelf.Part(number=number, etag=etag, modified=service.shelf.now(), blob=shelf.Blob(blob, size))
        await service.shelf.indexed(lambda index: index.add_part(upload.id, part), writes=True)
    await exchange.say(200, {"etag": etag})


async def list_parts(service: Service, call: Call, exchange: Exchange) -> None:
    """List the parts that are here, in order."""
    upload = await _upload(service, call, call.asked("upload_id"))
    most = call.number("max_parts", call.asked("max_parts") or "1000")
    after = call.number("part_number_marker", call.asked("part_number_marker") or "0")
    most = max(1, min(most, 1000))
    parts = await service.shelf.indexed(lambda index: index.parts(upload.id, after, most + 1))
    listed = parts[:most]
    answer: dict[str, object] = {"parts": [_told(part) for part in listed], "is_truncated": len(parts) > most}
    if len(parts) > most:
        answer["next_part_number_marker"] = listed[-1].number
    await exchange.say(200, answer)


async def complete(service: Service, call: Call, exchange: Exchange) -> None:
    """Make the object of the parts that are named."""
    upload = await _upload(service, call, call.asked("upload_id"))
    wanted = (await exchange.fields()).get("parts")
    if not isinstance(wanted, list) or not wanted:
        raise Problem(422, "the body is to be {'parts': [{'part_number': 1, 'etag': ...}, ...]}")
    here = {part.number: part for part in await service.shelf.indexed(lambda index: index.parts(upload.id))}
    try:
        blobs = _chosen(cast("list[object]", wanted), here)
    except Problem as problem:  # the protocol has this answer begin before it is known how it ends
        await exchange.say(200, {"error": {"code": problem.status, "message": problem.detail}})
        return
    await service.shelf.name(call.place, upload.key, shelf.unpacked(upload.metadata), blobs, upload=upload.id)
    await exchange.say(200, {"key": upload.key})


async def abort(service: Service, call: Call, exchange: Exchange) -> None:
    """Give an upload up."""
    upload = await _upload(service, call, call.asked("upload_id"))
    await service.shelf.indexed(lambda index: index.end(upload.id), writes=True)
    await exchange.say(204)


# --- resumable


async def open_session(service: Service, call: Call, exchange: Exchange) -> None:
    """Begin a resumable upload."""
    length = call.number("Upload-Length", call.headers.get("upload-length"))
    if length > service.most:
        raise Problem(413, f"an object has up to {service.most} bytes")
    upload = await _begin(service, call, length)
    await exchange.say(200, {"key": upload.key, "session": upload.id, "granularity": GRANULARITY})


async def put_chunk(service: Service, call: Call, exchange: Exchange) -> None:
    """Take in what comes next; or, for the offset ``*``, say how far it has got."""
    upload = await _upload(service, call, call.asked("session"), resumable=True)
    async with service.alone(upload.id):
        await _put_chunk(service, call, exchange, upload)


async def _put_chunk(service: Service, call: Call, exchange: Exchange, upload: shelf.Upload) -> None:
    offset, parts = await _offset(service, upload)
    asked = call.headers.get("upload-offset", "").strip()
    if asked == "*":
        if await exchange.whole():
            raise Problem(400, "Upload-Offset: * asks how far it has got, and comes without a body")
    else:
        if call.number("Upload-Offset", asked) != offset:
            raise Problem(409, f"it has got as far as {offset}", Upload_Offset=str(offset))
        if offset + call.number("Content-Length", call.headers.get("content-length")) > (upload.length or 0):
            raise Problem(400, f"it said that it would have {upload.length} bytes")
        await _take_in(service, upload, parts, exchange.body(service.most))
        offset, _ = await _offset(service, upload)
    if offset < (upload.length or 0):
        await exchange.say(204, Upload_Offset=str(offset))
        return
    _, parts = await _offset(service, upload, full=True)
    blobs = [part.blob for part in parts]
    await service.shelf.name(call.place, upload.key, shelf.unpacked(upload.metadata), blobs, upload=upload.id)
    await exchange.say(201, {"key": upload.key})


async def cancel(service: Service, call: Call, exchange: Exchange) -> None:
    """Give a resumable upload up."""
    upload = await _upload(service, call, call.asked("session"), resumable=True)
    await service.shelf.indexed(lambda index: index.end(upload.id), writes=True)
    await exchange.say(204)


# ---


async def _take_in(service: Service, upload: shelf.Upload, after: list[shelf.Part], body: AsyncIterator[bytes]) -> None:
    """Keep what comes, piece by piece; what has come before the connection breaks stays."""
    number = after[-1].number if after else 0
    pieces = _Cut(body)
    while not pieces.over:
        number += 1
        async with service.shelf.writing() as blob:
            size = (await service.shelf.content.write(blob, pieces)).size or 0
            if size:
                part = shelf.Part(number=number, etag="", modified=service.shelf.now(), blob=shelf.Blob(blob, size))
                await service.shelf.indexed(partial(shelf.Index.add_part, upload=upload.id, part=part), writes=True)


async def _offset(service: Service, upload: shelf.Upload, *, full: bool = False) -> tuple[int, list[shelf.Part]]:
    parts = await service.shelf.indexed(lambda index: index.parts(upload.id))
    return sum(part.blob.size for part in parts), parts if full else parts[-1:]


async def _begin(service: Service, call: Call, length: int | None) -> shelf.Upload:
    upload = shelf.Upload(
        id=secrets.token_urlsafe(24),
        place=str(call.place),
        key=call.key or shelf.fresh_key(),
        metadata=shelf.packed(metadata_of(call.headers)),
        begun=service.shelf.now(),
        length=length,
    )
    await service.shelf.indexed(lambda index: index.begin(upload), writes=True)
    return upload


async def _upload(service: Service, call: Call, name: str | None, *, resumable: bool = False) -> shelf.Upload:
    if not name:
        raise Problem(400, "the query is to name the upload")
    upload = await service.shelf.indexed(lambda index: index.upload(name))
    if (
        upload is None
        or (upload.place, upload.key) != (str(call.place), call.key)
        or (resumable != (upload.length is not None))
    ):
        raise Problem(404, _UNKNOWN)
    return upload


def _chosen(wanted: list[object], here: dict[int, shelf.Part]) -> list[shelf.Blob]:
    blobs: list[shelf.Blob] = []
    last = 0
    for each in wanted:
        fields = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        number, etag = fields.get("part_number"), fields.get("etag")
        part = here.get(number) if isinstance(number, int) else None
        if part is None or part.etag != etag:
            raise Problem(400, f"there is no part {number!r} with the etag {etag!r}")
        if part.number <= last:
            raise Problem(400, "the parts are to be named in their order, each once")
        last = part.number
        blobs.append(part.blob)
    return blobs


def _told(part: shelf.Part) -> dict[str, object]:
    modified = datetime.fromtimestamp(part.modified, UTC).isoformat(timespec="microseconds")
    return {"part_number": part.number, "etag": part.etag, "last_modified": modified, "size": part.blob.size}


def _check_md5(given: str | None, md5: bytes) -> None:
    if given is None:
        return
    try:
        wanted = base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Problem(400, "Content-MD5 is to be base64") from None
    if wanted != md5:
        raise Problem(400, "the body does not match its Content-MD5: it was damaged on the way")


class _Hashed:
    """A body whose MD5 is known in the end."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._hash = hashlib.md5(usedforsecurity=False)

    @property
    def md5(self) -> bytes:
        return self._hash.digest()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._body)
        self._hash.update(piece)
        return piece


@attrs.define(eq=False)
class _Cut:
    """A body that ends every so many bytes, and then goes on; a connection that breaks is its end."""

    _body: AsyncIterator[bytes]
    over: bool = attrs.field(default=False, init=False)
    _left: bytes = attrs.field(default=b"", init=False)
    _given: int = attrs.field(default=0, init=False)

    def __aiter__(self) -> Self:
        self._given = 0
        return self

    async def __anext__(self) -> bytes:
        if self._given == GRANULARITY:
            raise StopAsyncIteration
        if not self._left:
            try:
                self._left = await anext(self._body)
            except (StopAsyncIteration, Gone):
                self.over = True
                raise StopAsyncIteration from None
        piece = self._left[: GRANULARITY - self._given]
        self._left = self._left[len(piece) :]
        self._given += len(piece)
        return piece

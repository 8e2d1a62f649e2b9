"""One object at a time: insert, replace, read, look, delete, and let live longer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote

import attrs

from sessionctx.errors import InvalidObject
from sessionctx.objects import duration, metadata, shelf
from sessionctx.serve.objects.call import Call, Problem, byte_range
from sessionctx.serve.objects.exchange import Exchange
from sessionctx.serve.objects.service import Service, metadata_of

_ABSENT: Final = "there is no such object"


async def insert(service: Service, call: Call, exchange: Exchange) -> None:
    """Keep the body; with ``POST`` under a key of our making."""
    key = await service.shelf.put(call.place, call.key, metadata_of(call.headers), exchange.body(service.most))
    await exchange.say(200 if call.key else 201, {"key": key})


async def read(service: Service, call: Call, exchange: Exchange) -> None:
    """Send the object, or the range of it that is asked for; to ``HEAD`` only what is known of it."""
    row = await found(service, call)
    headers = headers_of(row)
    span = byte_range(call.headers.get("range"), row.size) if call.method == "GET" else None
    begin, end = span or (0, row.size)
    if span is not None:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{row.size}"
    headers["Content-Length"] = str(end - begin)
    await exchange.start(200 if span is None else 206, headers)
    if call.method == "GET" and end > begin:
        async with service.shelf.read(row, begin, end) as pieces:
            async for piece in pieces:
                await exchange.piece(bytes(piece))
    await exchange.end()


async def delete(service: Service, call: Call, exchange: Exchange) -> None:
    """Delete it, if it is there."""
    await service.shelf.delete(call.place, [call.key])
    await exchange.say(204)


async def extend(service: Service, call: Call, exchange: Exchange) -> None:
    """Let it live longer; never less long."""
    wanted = (await exchange.fields()).get("extend_expiry")
    if not isinstance(wanted, dict):
        raise Problem(422, "the body is to be {'extend_expiry': {'at': time}} or {'after': duration, 'from': ...}")
    row = await found(service, call)
    if row.expires is None:
        raise Problem(409, "this object does not expire")
    at = _expiry(cast("dict[str, Any]", wanted), row, service.shelf.now())
    if at > row.created + duration.MOST.total_seconds():
        raise Problem(400, "an object lives for a hundred years at most, or for ever")
    if at > row.expires:
        await service.shelf.amend(_living_until(row, at))
    await exchange.say(204)


async def found(service: Service, call: Call) -> shelf.Row:
    """Return the object. `Problem` 404."""
    (row,) = await service.shelf.find(call.place, [call.key])
    if row is None:
        raise Problem(404, _ABSENT)
    return row


def headers_of(row: shelf.Row) -> dict[str, str]:
    """Return what an answer says of an object."""
    about = row.told()
    headers = {**dict(metadata.to_headers(about)), **dict(metadata.told(about)), "Accept-Ranges": "bytes"}
    headers["Content-Disposition"] = _disposition(about.filename)
    return headers


def _disposition(name: str | None) -> str:
    if name is None:
        return "attachment"
    safe = re.sub(r"[/\\]", "-", name)
    if not safe.strip("."):
        safe = "-" * len(safe)
    plain = re.sub(r"[^\x20-\x7e]", "_", safe).replace('"', '\\"')
    extended = "" if safe.isascii() and safe.isprintable() else f"; filename*=UTF-8''{quote(safe, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


def _expiry(wanted: dict[str, Any], row: shelf.Row, now: float) -> float:
    try:
        if set(wanted) == {"at"}:
            at = datetime.fromisoformat(str(wanted["at"]))
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        if set(wanted) in ({"after"}, {"after", "from"}) and wanted.get("from", "now") in ("creation", "now"):
            base = row.created if wanted.get("from") == "creation" else now
            return base + duration.read(str(wanted["after"])).total_seconds()
    except (ValueError, OverflowError, InvalidObject) as error:
        raise Problem(422, f"that is no time and no duration: {error}") from None
    raise Problem(422, "extend_expiry takes 'at', or 'after' with 'from': 'creation' or 'now'")


def _living_until(row: shelf.Row, at: float) -> shelf.Row:
    """Return *row* with its new expiry; a time to live is then that from its making."""
    expiration = row.metadata.expiration
    if expiration.kind == "ttl":
        expiration = attrs.evolve(expiration, after=timedelta(seconds=at - row.created))
    return attrs.evolve(row, expires=at, metadata=attrs.evolve(row.metadata, expiration=expiration))

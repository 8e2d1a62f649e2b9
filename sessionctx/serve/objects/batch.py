"""Many small operations in one request (the protocol's section 5): each answered, whatever becomes of the others.

Writes are done as they come, a few MiB at a time; reads when they are answered, one after the other. So little is
held, however much is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import attrs

from sessionctx.errors import DecodeError, InvalidObject
from sessionctx.objects import Grant, Permission, multipart, paths, schedule, shelf
from sessionctx.serve.objects.call import Call, Problem
from sessionctx.serve.objects.exchange import Exchange
from sessionctx.serve.objects.service import Service, allow, metadata_of
from sessionctx.serve.objects.single import headers_of

MOST_REQUEST: Final = 1024**3
"""Bytes of a whole batch."""
LOOKED_UP: Final = 100
"""Objects that are looked up together."""
WRITE: Final = 64 * 1024
"""Bytes that are sent at a time, at least."""
TOGETHER: Final = 4 * 1024 * 1024
"""Bytes of bodies that are kept in one transaction."""
PREFIX: Final = "x-sn-batch-operation-"
_WHOLE: Final = frozenset({"Accept-Ranges", "Content-Disposition"})
"""What is said of an object that is asked for alone."""
_PERMISSIONS: Final[dict[str, Permission]] = {
    "insert": "object.write",
    "get": "object.read",
    "head": "object.read",
    "delete": "object.delete",
}


@attrs.define(eq=False)
class _Operation:
    """One part of a batch, and what became of it."""

    index: int
    kind: str = ""
    key: str = ""
    headers: dict[str, str] = attrs.field(factory=dict[str, str])
    body: bytearray = attrs.field(factory=bytearray)
    problem: Problem | None = None


async def run(service: Service, call: Call, exchange: Exchange) -> None:
    """Do all operations of the request, and answer with a part for each."""
    batch = _Batch(service, call, service.grant(call))
    try:
        boundary = multipart.boundary_of(call.headers.get("content-type", ""))
    except InvalidObject as error:
        raise Problem(400, str(error)) from None
    await batch.take_in(exchange, multipart.Decoder(boundary, max_parts=10 * schedule.MOST_PARTS))
    encoder = multipart.Encoder()
    await exchange.start(200, {"Content-Type": encoder.content_type})
    reply = _Reply(exchange)
    for start in range(0, len(batch.operations), LOOKED_UP):
        await batch.answer(batch.operations[start : start + LOOKED_UP], encoder, reply)
    await exchange.end(reply.rest() + encoder.tail(empty=not batch.operations))


@attrs.define(eq=False)
class _Batch:
    service: Service
    call: Call
    grant: Grant | None
    operations: list[_Operation] = attrs.field(factory=list["_Operation"], init=False)
    _writes: list[_Operation] = attrs.field(factory=list["_Operation"], init=False)
    _held: int = attrs.field(default=0, init=False)
    _is_whole: bool = attrs.field(default=True, init=False)
    """Whether the last part that began has ended."""

    async def take_in(self, exchange: Exchange, decoder: multipart.Decoder) -> None:
        """Read all parts, and do the writes among them. What is wrong with the framing ends it, as one more part."""
        try:
            async for data in exchange.body(MOST_REQUEST):
                for event in decoder.feed(data):
                    self._note(event)
                if self._held >= TOGETHER:
                    await self._write()
            decoder.close()
        except (DecodeError, Problem) as error:
            cut = self.operations.pop() if self.operations and not self._is_whole else None
            problem = error if isinstance(error, Problem) else Problem(400, str(error))
            index = len(self.operations) if cut is None else cut.index
            self.operations.append(_Operation(index, problem=problem))
        await self._write()

    def _note(self, event: multipart.Head | multipart.Data | multipart.End) -> None:
        match event:
            case multipart.Head():
                self._is_whole = False
                self.operations.append(self._begun(event))
            case multipart.Data(data=data):
                operation = self.operations[-1]
                if operation.problem is None and operation.kind == "insert":
                    operation.body += data
                    if len(operation.body) > schedule.MOST_BODY:
                        operation.problem = Problem(413, f"a body in a batch has up to {schedule.MOST_BODY} bytes")
                        operation.body = bytearray()
            case multipart.End():
                self._is_whole = True
                operation = self.operations[-1]
                if operation.problem is None and operation.kind in ("insert", "delete"):
                    self._writes.append(operation)
                    self._held += len(operation.body)

    def _begun(self, head: multipart.Head) -> _Operation:
        operation = _Operation(head.index, head.get(f"{PREFIX}kind").lower(), headers=dict(head.headers))
        try:
            operation.key = paths.decoded(head.get(f"{PREFIX}key"))
            self._check(operation)
        except InvalidObject as error:
            operation.problem = Problem(400, str(error))
        except Problem as problem:
            operation.problem = problem
        return operation

    def _check(self, operation: _Operation) -> None:
        if operation.index >= schedule.MOST_PARTS:
            raise Problem(413, f"a batch has up to {schedule.MOST_PARTS} operations")
        if operation.kind not in _PERMISSIONS:
            raise Problem(400, f"{operation.kind[:40]!r} is no kind of operation")
        allow(self.grant, self.call.place, _PERMISSIONS[operation.kind])
        if operation.kind == "insert":
            metadata_of(operation.headers)
            operation.key = operation.key or shelf.fresh_key()
        elif not operation.key:
            raise Problem(400, "the operation names no key")

    async def _write(self) -> None:
        """Do the writes that have come."""
        todo, self._writes, self._held = self._writes, [], 0
        place = self.call.place
        puts = [
            shelf.Put(place, each.key, metadata_of(each.headers), bytes(each.body))
            for each in todo
            if each.kind == "insert"
        ]
        if puts:
            await self.service.shelf.put_many(puts)
        gone = [each.key for each in todo if each.kind == "delete"]
        if gone:
            await self.service.shelf.delete(place, gone)
        for each in todo:
            each.body = bytearray()

    async def answer(self, operations: list[_Operation], encoder: multipart.Encoder, reply: _Reply) -> None:
        """Send the parts that answer *operations*."""
        keys = {each.key for each in operations if each.problem is None and each.kind in ("get", "head")}
        found = await self.service.shelf.find(self.call.place, keys) if keys else []
        rows = {row.key: row for row in found if row is not None}
        for each in operations:
            first = each is self.operations[0]
            if each.problem is not None:
                await reply.add(_refused(encoder, each.index, each.problem, first=first))
                continue
            row = rows.get(each.key)
            status, about = _outcome(each, row)
            named = [(f"{PREFIX}key", quote(each.key, safe="")), (f"{PREFIX}kind", each.kind)]
            await reply.add(_head(encoder, each.index, status, [*named, *about], first=first))
            if row is not None and each.kind == "get":
                await self._send(row, reply)

    async def _send(self, row: shelf.Row, reply: _Reply) -> None:
        if row.inline is not None:
            await reply.add(row.inline)
            return
        async with self.service.shelf.read(row) as pieces:
            async for piece in pieces:
                await reply.add(bytes(piece))


@attrs.define(eq=False)
class _Reply:
    """What goes out, joined until it makes a write worth its while."""

    _exchange: Exchange
    _waiting: bytearray = attrs.field(factory=bytearray, init=False)

    async def add(self, data: bytes) -> None:
        """Send *data*, or keep it for now."""
        self._waiting += data
        if len(self._waiting) >= WRITE:
            await self._exchange.piece(self.rest())

    def rest(self) -> bytes:
        """Return what has not gone out."""
        data, self._waiting = bytes(self._waiting), bytearray()
        return data


def _outcome(operation: _Operation, row: shelf.Row | None) -> tuple[int, list[tuple[str, str]]]:
    """Return the status of an operation, and what is said of its object."""
    if operation.kind in ("insert", "delete"):
        return (201 if operation.kind == "insert" else 204), []
    if row is None:
        return 404, []
    about = [(name.lower(), value) for name, value in headers_of(row).items() if name not in _WHOLE]
    return (200 if operation.kind == "get" else 204), about


def _refused(encoder: multipart.Encoder, index: int, problem: Problem, *, first: bool) -> bytes:
    error = json.dumps({"detail": problem.detail, "causes": []}).encode()
    return _head(encoder, index, problem.status, [("content-type", "application/json")], first=first) + error


def _head(
    encoder: multipart.Encoder, index: int, status: int, more: Iterable[tuple[str, str]], *, first: bool
) -> bytes:
    headers = [
        ("content-disposition", 'form-data; name="part"'),
        (f"{PREFIX}index", str(index)),
        (f"{PREFIX}status", f"{status} {HTTPStatus(status).phrase}"),
        *more,
    ]
    return encoder.head(headers, first=first)

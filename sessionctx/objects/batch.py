"""Many small operations in one request, and their answers as they come (the protocol's section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from sessionctx.errors import BadAnswer, DecodeError, InvalidObject
from sessionctx.objects.metadata import to_headers
from sessionctx.objects.multipart import Data, Decoder, Encoder, End, boundary_of, gathered
from sessionctx.objects.multipart import Head as PartHead
from sessionctx.objects.operations import Delete, Get, Head, Operation, Put
from sessionctx.objects.outcome import Object, Value
from sessionctx.objects.paths import decoded, encoded
from sessionctx.objects.service import Answers
from sessionctx.objects.wire import Wire, error_of, metadata_of
from sessionctx.objects.zstd import expanded
from sessionctx.transports import Body

PREFIX: Final = "x-sn-batch-operation-"
_KINDS: Final[Mapping[type[Operation], str]] = {Put: "insert", Get: "get", Head: "head", Delete: "delete"}
MOST_COMPLAINT: Final = 64 * 1024


async def send(
    wire: Wire, operations: Mapping[int, Operation], bodies: Mapping[int, bytes], answers: Answers, *, most: int
) -> None:
    """Send *operations*, with the *bodies* of those that put, and answer each as its part of the reply comes.

    A body of more than *most* bytes is not held: its object comes without it.
    """
    encoder = Encoder()
    order = list(operations)
    heads = [encoder.head(_headers(operations[index]), first=n == 0) for n, index in enumerate(order)]
    pieces = [piece for head, index in zip(heads, order, strict=True) for piece in (head, bodies.get(index, b""))]
    body = Body.of(*gathered([*pieces, encoder.tail()]))
    headers = {"Content-Type": encoder.content_type}
    async with wire.ask("POST", "objects:batch", headers=headers, body=body, size=body.length) as answer:
        try:
            decoder = Decoder(boundary_of(answer.headers.get("content-type", "")), max_parts=2 * len(order) + 1)
            reading = _Reply(wire.public, operations, order, answers, most)
            async for data in answer:
                for event in decoder.feed(data):
                    await reading.note(event)
            decoder.close()
        except (DecodeError, InvalidObject) as error:
            raise BadAnswer(
                f"{wire.public} answers a batch with what cannot be read: {error}", peer=wire.public
            ) from error


def _headers(operation: Operation) -> list[tuple[str, str]]:
    named = [("content-disposition", 'form-data; name="part"'), (f"{PREFIX}kind", _KINDS[type(operation)])]
    if operation.key:
        named.append((f"{PREFIX}key", encoded(operation.key)))
    return [*named, *to_headers(operation.metadata)] if isinstance(operation, Put) else named


@attrs.define(eq=False)
class _Reply:
    """The parts of a reply, each of which answers one operation; one that makes no sense answers none."""

    peer: str
    operations: Mapping[int, Operation]
    order: list[int]
    answers: Answers
    most: int
    _head: PartHead | None = attrs.field(default=None, init=False)
    _body: bytearray = attrs.field(factory=bytearray, init=False)
    _too_large: bool = attrs.field(default=False, init=False)

    async def note(self, event: PartHead | Data | End) -> None:
        match event:
            case PartHead():
                self._head, self._body, self._too_large = event, bytearray(), False
            case Data(data=data):
                if not self._too_large:
                    self._body += data
                    self._too_large = len(self._body) > self.most
            case End():
                await self._answer()

    async def _answer(self) -> None:
        head, body = self._head, bytes(self._body)
        if head is None:
            return
        index = _whole(head.get(f"{PREFIX}index"))
        if index is None or index >= len(self.order):
            return
        where = self.order[index]
        try:
            value = self._value(self.operations[where], head, body)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the outcome of this one alone
            await self.answers.answer(where, None, error)
        else:
            await self.answers.answer(where, value)

    def _value(self, operation: Operation, head: PartHead, body: bytes) -> Value:
        status = _whole(head.get(f"{PREFIX}status")[:3])
        if status is None:
            raise BadAnswer(f"{self.peer} answers an operation without a status", peer=self.peer)
        if status == 404 and not isinstance(operation, Put):
            return None
        if not 200 <= status < 300:
            raise error_of(status, body[:MOST_COMPLAINT], self.peer)
        match operation:
            case Put():
                return operation.key or self._key(head)
            case Delete():
                return None
            case Head():
                return metadata_of(head.headers, self.peer)
            case Get():
                return self._object(operation, head, body)

    def _object(self, operation: Get, head: PartHead, body: bytes) -> Object:
        metadata = metadata_of(head.headers, self.peer)
        if self._too_large:
            return Object(operation.key, metadata, None)
        if operation.decompress and metadata.encoding is not None:
            try:
                body = expanded(body, self.most)
            except DecodeError as error:
                if "more than" in str(error):
                    return Object(operation.key, metadata, None)
                raise BadAnswer(f"{self.peer} sends a broken object: {error}", peer=self.peer) from error
        return Object(operation.key, metadata, body)

    def _key(self, head: PartHead) -> str:
        key = decoded(head.get(f"{PREFIX}key"))
        if not key:
            raise BadAnswer(f"{self.peer} does not say under which key it keeps an object", peer=self.peer)
        return key


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

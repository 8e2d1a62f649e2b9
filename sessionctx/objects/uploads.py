"""Large bodies over the wire of one service: in parts, several at a time; or resumably, going on where it broke."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlencode

import attrs
import trio

from sessionctx.errors import AccessDenied, BadAnswer, ObjectError, PeerError, SessionError
from sessionctx.objects.metadata import Metadata, to_headers
from sessionctx.objects.wire import Wire, text_in
from sessionctx.storage import PASSING, Patience
from sessionctx.transports import Body

Piece: TypeAlias = bytes | bytearray | memoryview

PART: Final = 8 * 1024 * 1024
"""Bytes of a part."""
IN_FLIGHT: Final = 4
"""Parts under way at a time."""
MOST_PARTS: Final = 10_000
BUDGET: Final = 5.0
"""Seconds that giving an upload up may take, when it is left by an error or a cancellation."""


async def in_parts(wire: Wire, key: str, metadata: Metadata, first: Sequence[Piece], rest: AsyncIterator[Piece]) -> str:
    """Send what begins with *first* and goes on with *rest*; returns the key. If it breaks, nothing is left behind."""
    headers = dict(to_headers(metadata))
    method = "PUT" if key else "POST"
    async with wire.ask(method, "objects:multipart", key, headers=headers, body=Body.of()) as answer:
        begun = await answer.fields()
    upload_id = urlencode({"upload_id": text_in(begun, "upload_id", wire.public)})
    upload = _Parts(wire, text_in(begun, "key", wire.public), upload_id)
    done = False
    try:
        await upload.send(first, rest)
        await upload.complete()
        done = True
    finally:
        if not done:
            with trio.move_on_after(BUDGET, shield=True):
                await _given_up(wire, "objects:multipart", upload.key, upload.query)
    return upload.key


@attrs.define(eq=False)
class _Parts:
    """One upload in parts."""

    wire: Wire
    key: str
    query: str = attrs.field(repr=False)
    _failure: Exception | None = attrs.field(default=None, init=False)
    _etags: dict[int, str] = attrs.field(factory=dict[int, str], init=False)

    async def send(self, first: Sequence[Piece], rest: AsyncIterator[Piece]) -> None:
        """Send all parts, a few at a time. The first error, of the source or of a part, ends it and is raised."""
        async with trio.open_nursery() as nursery:
            await self._or_fail(nursery.cancel_scope, partial(self._cut, first, rest, nursery))
        if self._failure is not None:
            raise self._failure

    async def _cut(self, first: Sequence[Piece], rest: AsyncIterator[Piece], nursery: trio.Nursery) -> None:
        """Cut the source into parts, and start each when there is room."""
        free = trio.Semaphore(IN_FLIGHT)
        number, pieces, held, more = 0, list(first), sum(map(len, first)), True
        while more or pieces or not number:
            while more and held < self._size(number):
                piece = await anext(rest, None)
                more = piece is not None
                if piece is not None:
                    pieces.append(bytes(piece))
                    held += len(piece)
            part, pieces = _split(pieces, self._size(number))
            held -= sum(map(len, part))
            number += 1
            if number > MOST_PARTS:
                raise ObjectError(f"an object has up to {MOST_PARTS} parts")
            await free.acquire()
            nursery.start_soon(self._or_fail, nursery.cancel_scope, partial(self._put, number, part, free))

    async def _or_fail(self, all_of_it: trio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # raised by `send`, outside of the nursery, which would wrap it
            self._failure = self._failure or error
            all_of_it.cancel()

    @staticmethod
    def _size(number: int) -> int:
        """Return the bytes of a part: they grow, so that a stream of any length fits."""
        return PART << (number // 1000)

    async def _put(self, number: int, part: list[Piece], free: trio.Semaphore) -> None:
        md5 = hashlib.md5(usedforsecurity=False)
        for piece in part:
            md5.update(piece)
        headers = {"Content-MD5": base64.b64encode(md5.digest()).decode()}
        body, patience = Body.of(*part), Patience()
        query = f"{self.query}&part_number={number}"
        while True:
            try:
                async with self.wire.ask(
                    "PUT",
                    "objects:multipart:parts",
                    self.key,
                    query=query,
                    headers=headers,
                    body=body,
                    size=body.length,
                    part=True,
                ) as answer:
                    self._etags[number] = await answer.text("etag")
                    break
            except PASSING as error:
                await patience.pause(error)
        free.release()

    async def complete(self) -> None:
        """Make the object of the parts. The service may say only in the body of its answer that it cannot."""
        parts = [{"part_number": number, "etag": etag} for number, etag in sorted(self._etags.items())]
        body = Body.of(json.dumps({"parts": parts}).encode())
        async with self.wire.ask("POST", "objects:multipart:complete", self.key, query=self.query, body=body) as answer:
            fields = await answer.fields()
        if "error" in fields:
            raise ObjectError(f"{self.wire.public} cannot put {self.key} together: {str(fields['error'])[:200]}")
        text_in(fields, "key", self.wire.public)


class Replayable(Protocol):
    """A body of known length that can be read again from anywhere: a file."""

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    def read(self, offset: int) -> AbstractAsyncContextManager[AsyncIterable[Piece]]:
        """Lend its pieces from *offset* to its end."""
        ...


async def resumably(wire: Wire, key: str, metadata: Metadata, source: Replayable) -> str:
    """Send *source*, and go on where it broke; returns the key. If it is given up, nothing is left behind.

    :exc:`NotOffered` if the service does not take uploads like this; nothing of the source was sent then.
    """
    headers = {**dict(to_headers(metadata)), "Upload-Length": str(source.size)}
    method, query = "PUT" if key else "POST", "upload_type=resumable"
    async with wire.ask(method, "objects", key, query=query, headers=headers, body=Body.of()) as answer:
        begun = await answer.fields()
    upload = _Resumable(
        wire, text_in(begun, "key", wire.public), urlencode({"session": text_in(begun, "session", wire.public)}), source
    )
    done = False
    try:
        await upload.send()
        done = True
    finally:
        if not done:
            with trio.move_on_after(BUDGET, shield=True):
                await _given_up(wire, "objects", upload.key, upload.query)
    return upload.key


@attrs.define(eq=False)
class _Resumable:
    """One resumable upload."""

    wire: Wire
    key: str
    query: str = attrs.field(repr=False)
    source: Replayable

    async def send(self) -> None:
        """Send the source, as often as it takes."""
        offset: int | None = 0
        patience = Patience()
        while offset is not None:
            before = offset
            try:
                offset = await self._go_on(offset)
            except PASSING as error:
                await patience.pause(error)
                offset = await self._ask(Body.of(), "*")
            if offset is not None and offset > before:
                patience.renew()

    async def _go_on(self, offset: int) -> int | None:
        async with self.source.read(offset) as pieces:
            return await self._ask(Body(self.source.size - offset, pieces), str(offset))

    async def _ask(self, body: Body, offset: str) -> int | None:
        """Return how far it has got; None if it is done."""
        headers = {"Upload-Offset": offset}
        async with self.wire.ask(
            "PUT", "objects", self.key, query=self.query, headers=headers, body=body, size=body.length, also=(409,)
        ) as answer:
            if answer.status in {200, 201}:
                return None
            told = answer.headers.get("upload-offset", "")
        if not told.isdigit() or int(told) > self.source.size:
            raise BadAnswer(f"{self.wire.public} does not say how far an upload has got", peer=self.wire.public)
        return int(told)


async def _given_up(wire: Wire, resource: str, key: str, query: str) -> None:
    """Tell the service that an upload is given up. If it does not hear that, it gives it up by itself in the end."""
    with suppress(PeerError, ObjectError, AccessDenied, SessionError):
        async with wire.ask("DELETE", resource, key, query=query, also=(404, 410), part=True):
            pass


def _split(pieces: list[Piece], size: int) -> tuple[list[Piece], list[Piece]]:
    """Return the first *size* bytes of *pieces*, and the rest."""
    part: list[Piece] = []
    for n, piece in enumerate(pieces):
        if len(piece) >= size:
            return [*part, memoryview(piece)[:size]], [memoryview(piece)[size:], *pieces[n + 1 :]]
        part.append(piece)
        size -= len(piece)
    return part, []

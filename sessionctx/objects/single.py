"""One object at a time, over the wire of one service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

import attrs

from sessionctx.errors import BadAnswer, DecodeError
from sessionctx.objects.metadata import Metadata, to_headers
from sessionctx.objects.outcome import Object
from sessionctx.objects.wire import Answer, Wire
from sessionctx.objects.zstd import Expander
from sessionctx.transports import Body

_ABSENT: Final = (404,)


async def put(wire: Wire, key: str, metadata: Metadata, body: Body) -> str:
    """Send a body of known length, as it is; returns its key."""
    headers = dict(to_headers(metadata))
    method = "PUT" if key else "POST"
    async with wire.ask(method, "objects", key, headers=headers, body=body, size=body.length) as answer:
        return await answer.text("key")


async def head(wire: Wire, key: str) -> Metadata | None:
    """Return what is known of an object, or None if there is none."""
    async with wire.ask("HEAD", "objects", key, also=_ABSENT) as answer:
        if answer.status == 404:
            return None
        found = answer.metadata
        length = answer.headers.get("content-length", "")
        return attrs.evolve(found, size=int(length)) if found.size is None and length.isdigit() else found


async def delete(wire: Wire, key: str) -> None:
    """Delete an object, if it is there."""
    async with wire.ask("DELETE", "objects", key, also=_ABSENT):
        pass


@attrs.define(eq=False)
class Reading:
    """An object as it comes: its metadata, and an async iterator of its pieces."""

    key: str
    metadata: Metadata
    pieces: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.pieces


@asynccontextmanager
async def reading(
    wire: Wire, key: str, *, offset: int = 0, length: int | None = None, decompress: bool = True
) -> AsyncGenerator[Reading | None]:
    """Lend an object, or None if there is none.

    *offset* and *length* are of the bytes as they are stored, and such a range is not expanded.
    """
    headers = _range(offset, length)
    async with wire.ask("GET", "objects", key, headers=headers, size=length or 0, also=_ABSENT) as answer:
        if answer.status == 404:
            yield None
            return
        if headers and answer.status != 206:
            raise BadAnswer(f"{wire.public} sends all where a range was asked for", peer=wire.public)
        metadata = answer.metadata
        raw = bool(headers) or not decompress or metadata.encoding is None
        yield Reading(key, metadata, answer if raw else _Expanded(answer, wire.public))


async def get(wire: Wire, key: str, *, most: int, decompress: bool = True) -> Object | None:
    """Return an object whole, or None if there is none; without its body if that has more than *most* bytes."""
    async with reading(wire, key, decompress=decompress) as found:
        if found is None:
            return None
        data = bytearray()
        async for piece in found:
            data += piece
            if len(data) > most:
                return Object(key, found.metadata, None)
        return Object(key, found.metadata, bytes(data))


class _Expanded:
    """The pieces of an answer, expanded, a little at a time."""

    def __init__(self, answer: Answer, peer: str) -> None:
        self._answer = answer
        self._peer = peer
        self._expander = Expander()
        self._coming: Iterator[bytes] = iter(())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            while (piece := next(self._coming, None)) is None:
                self._coming = self._expander.feed(await self._next())
        except DecodeError as error:
            raise BadAnswer(f"{self._peer} sends a broken object: {error}", peer=self._peer) from error
        return piece

    async def _next(self) -> bytes:
        try:
            return await anext(self._answer)
        except StopAsyncIteration:
            self._expander.close()
            raise


def _range(offset: int, length: int | None) -> Mapping[str, str]:
    if not offset and length is None:
        return MappingProxyType({})
    return {"Range": f"bytes={offset}-" if length is None else f"bytes={offset}-{offset + length - 1}"}

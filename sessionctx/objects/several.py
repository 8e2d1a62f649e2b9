"""How the requests of ``many`` go over the wire of one service."""

from __future__ import annotations

from os import PathLike

import attrs

from sessionctx.errors import InvalidObject
from sessionctx.objects import batch, sending, single
from sessionctx.objects.metadata import to_headers
from sessionctx.objects.operations import Delete, Get, Head, Operation, Put, writes
from sessionctx.objects.outcome import Value
from sessionctx.objects.paths import checked_key
from sessionctx.objects.schedule import MOST_BODY, Item, zstd_bound
from sessionctx.objects.service import Answers
from sessionctx.objects.wire import Wire
from sessionctx.objects.zstd import compressed


@attrs.define(eq=False)
class Several:
    """One service, as ``many`` sees it."""

    wire: Wire
    most: int
    """Bytes of an object that is handed out whole."""

    async def prepare(self, index: int, operation: Operation) -> Item:
        """Check and measure an operation. :exc:`InvalidObject`, :exc:`SourceUnreadable`."""
        key = checked_key(operation.key)
        if not isinstance(operation, Put):
            if not key:
                raise InvalidObject("an operation names no key")
            return Item(index, key, writes(operation), 0)
        to_headers(operation.metadata)
        size = await _size(operation)
        return Item(index, key, writes=True, size=size if size is not None and size <= MOST_BODY else None)

    async def batch(self, operations: dict[int, Operation], answers: Answers) -> None:
        """Send small operations in one request."""
        bodies: dict[int, bytes] = {}
        for index, each in operations.items():
            if isinstance(each, Put):
                bodies[index] = await _content(each)
        await batch.send(self.wire, operations, bodies, answers, most=self.most)

    async def alone(self, index: int, operation: Operation, answers: Answers) -> None:
        """Send one operation, however large it is."""
        await answers.answer(index, await self._one(operation))

    async def _one(self, operation: Operation) -> Value:
        match operation:
            case Put(body=body, key=key, metadata=metadata):
                return await sending.put(self.wire, key, metadata, body)
            case Get(key=key, decompress=decompress):
                return await single.get(self.wire, key, most=self.most, decompress=decompress)
            case Head(key=key):
                return await single.head(self.wire, key)
            case Delete(key=key):
                await single.delete(self.wire, key)
                return None


async def _size(put: Put) -> int | None:
    """Return how many bytes a put sends at most; None if nobody knows."""
    if isinstance(put.body, bytes | bytearray | memoryview):
        size = len(put.body)
    elif isinstance(put.body, PathLike):
        size = (await sending.opened(put.body)).size
    else:
        return None
    return size if put.metadata.encoding is None else zstd_bound(size)


async def _content(put: Put) -> bytes:
    """Return the body of a small put, as it is sent."""
    data = b""
    if isinstance(put.body, bytes | bytearray | memoryview):
        data = bytes(put.body)
    elif isinstance(put.body, PathLike):
        async with (await sending.opened(put.body)).read(0) as pieces:
            data = b"".join([bytes(piece) async for piece in pieces])
    return data if put.metadata.encoding is None else compressed(data)

"""Reading parts of objects: what is wanted of one at the same time, and is near together, is read in one request.

As in flights, there is no background task. The first who wants a part leads, and reads for all who come in the same
turn of the run. If it is cancelled, the others begin again; if the storage fails, that is what each is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
import trio

from sessionctx.blocks.on_storage.objects import Objects
from sessionctx.blocks.on_storage.together import each
from sessionctx.errors import StoreError

GAP: Final = 64 * 1024
"""Bytes between two parts that are rather read than asked for apart."""
MOST: Final = 4 * 1024 * 1024
"""Bytes of one request, where it is for several parts."""


@attrs.define(eq=False)
class Part:
    """A part of an object that somebody wants."""

    offset: int
    length: int
    done: trio.Event = attrs.field(factory=trio.Event)
    """Whether there is nothing more to wait for; not, that it was read."""
    was_read: bool = False
    data: bytes | None = None
    """None where the object is not there."""
    error: StoreError | None = None

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


def spans(parts: Iterable[Part]) -> list[list[Part]]:
    """Group *parts* by the request that they are read with. Pure."""
    groups: list[list[Part]] = []
    begin = end = 0
    for part in sorted(parts, key=lambda part: part.offset):
        if groups and part.offset <= end + GAP and max(end, part.end) - begin <= MOST:
            groups[-1].append(part)
            end = max(end, part.end)
        else:
            groups.append([part])
            begin, end = part.offset, part.end
    return groups


class Reads:
    """What is wanted of each object, until somebody begins to read it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._wanted: dict[str, list[Part]] = {}

    async def read(self, path: str, offset: int, length: int) -> bytes | None:
        """Return a part of an object, as much of it as there is; None if it is not there."""
        while True:
            part = Part(offset, length)
            if (others := self._wanted.get(path)) is not None:
                others.append(part)
                await part.done.wait()
                if part.error is not None:
                    raise type(part.error)(str(part.error)) from part.error
                if part.was_read:
                    return part.data
                continue  # who read for us did not come so far
            self._wanted[path] = [part]
            return await self._lead(path, part)

    async def _lead(self, path: str, own: Part) -> bytes | None:
        parts = self._wanted[path]
        try:
            try:
                await trio.lowlevel.checkpoint()  # in which others come
            finally:
                del self._wanted[path]

            async def read(span: list[Part]) -> None:
                await self._span(path, span)

            await each(read, spans(parts))
            return own.data
        finally:
            for part in parts:
                part.done.set()

    async def _span(self, path: str, span: list[Part]) -> None:
        begin, end = span[0].offset, max(part.end for part in span)
        try:
            data = await self._objects.read(path, limit=end - begin, offset=begin)
        except StoreError as error:
            for part in span:
                part.error = error
            raise
        for part in span:
            part.data = None if data is None else data[part.offset - begin : part.end - begin]
            part.was_read = True
            part.done.set()

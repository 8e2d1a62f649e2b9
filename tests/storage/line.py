"""A storage in memory behind a line that takes its time, and breaks: each answer as it is told."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import trio

from sessionctx.errors import PeerFailed
from sessionctx.storage import Can, Endpoint, MemoryStorage

PIECE = 64 * 1024


class Line(MemoryStorage):
    """Reads wait for *latency()* seconds, and bring PIECE bytes after each *pace()* seconds; *cut()* bytes at most."""

    def __init__(self, latency=lambda: 0.0, pace=lambda: 0.0, cut=lambda: None, **can):
        super().__init__("line://there", can=Can(if_version=True, times=True, modes=True, **can))
        self.latency, self.pace, self.cut = latency, pace, cut
        self.asked, self.sent, self.most, self.now = [], 0, 0, 0

    @asynccontextmanager
    async def read(self, path, *, offset=0, length=None, version=None):
        self.asked.append((offset, length))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            async with Endpoint.at(self.url, self.public).request(path, length or 0) as request:
                await trio.sleep(self.latency())
                async with super().read(path, offset=offset, length=length, version=version) as reader:
                    yield Slow(self, reader, request, self.cut())
        finally:
            self.now -= 1


@attrs.define(eq=False)
class Slow:
    line: Line
    reader: object
    request: object
    left: int | None
    data: bytes | memoryview = b""

    @property
    def entry(self):
        return self.reader.entry

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.data:
            self.data = await anext(self.reader)
        await trio.sleep(self.line.pace())
        piece = self.data[:PIECE]
        if self.left is not None:
            if self.left <= 0:
                raise PeerFailed("the line is cut", peer="line")
            piece = piece[: self.left]
            self.left -= len(piece)
        self.data = self.data[len(piece) :]
        self.line.sent += len(piece)
        self.request.came(len(piece))
        return piece

"""Fakes: peers in memory that serve, lack, fail, lie and stall on request, on trio's clock.

For many peers, for chance, and for CARs, see `sessionctx.testing.network`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Self

import attrs
import trio

from sessionctx.content import CID, Block, DagScope
from sessionctx.errors import NotHere, PeerError, PeerFailed, Stalled
from sessionctx.testing.answers import wrong
from sessionctx.testing.line import CHUNK, Line
from sessionctx.transports import Can, CarAnswer, Progress


@attrs.define(eq=False)
class FakePeer:
    """A peer that holds *blocks* in memory; give it to ``session.begin(peers=[...])`` as it is.

    It answers *latency* seconds after it was asked, and sends *rate* bytes per second on all requests together, in
    chunks, as a server behind one line does. *faults* maps the number of a request (from 0) to what becomes of it: an
    error to raise (None for none), so ``faults=lambda n: PeerFailed("no") if n % 3 == 2 else None`` fails every third.
    """

    url: str
    blocks: dict[bytes, bytes] = attrs.field(factory=dict[bytes, bytes])
    latency: float = 0.01
    rate: float = float("inf")
    lies: bool = False
    """Whether it flips a byte in everything it sends."""
    stalls_after: int | None = None
    """After how many bytes of an answer it falls silent."""
    patience: float = 30.0
    """For how many seconds a silent answer is waited for; then it is `Stalled`, as with a real transport."""
    faults: Callable[[int], PeerError | None] = lambda _: None
    can: Can = attrs.field(factory=Can)

    asked: list[CID] = attrs.field(factory=list[CID], init=False)
    """Every request, in order."""
    in_flight: int = attrs.field(default=0, init=False)
    worst: int = attrs.field(default=0, init=False)
    """The most requests it ever had at a time."""
    _line: Line = attrs.field(factory=Line, init=False, repr=False)

    @classmethod
    def holding(cls, url: str, blocks: Iterable[Block], **options: object) -> Self:
        """Return a peer that holds *blocks*."""
        return cls(url, {block.cid.multihash: block.data for block in blocks}, **options)  # type: ignore[arg-type]

    @property
    def public(self) -> str:
        """Its address; it has no secrets."""
        return self.url

    @property
    def endpoint(self) -> str:
        """Its address; it shares nothing."""
        return self.url

    async def block(self, cid: CID, *, progress: Progress | None = None) -> bytes:
        """Answer as it was told to."""
        number = len(self.asked)
        self.asked.append(cid)
        self.in_flight += 1
        self.worst = max(self.worst, self.in_flight)
        try:
            await trio.sleep(self.latency)
            fault = self.faults(number)
            if fault is not None:
                fault.peer = self.url
                raise fault
            data = self.blocks.get(cid.multihash)
            if data is None:
                raise NotHere(f"{self.url} does not have {cid}", peer=self.url)
            await self._send(data, progress)
            return wrong(data) if self.lies else data
        finally:
            self.in_flight -= 1

    async def _send(self, data: bytes, progress: Progress | None) -> None:
        sent = 0
        for size in _chunks(len(data)):
            if self.stalls_after is not None and sent + size > self.stalls_after:
                await trio.sleep(self.patience)
                raise Stalled(f"{self.url} sent nothing for {self.patience:g} seconds", peer=self.url)
            await trio.sleep_until(self._line.book(size, trio.current_time(), self.rate))
            sent += size
            if progress is not None:
                progress.came(size)

    def car(
        self,
        cid: CID,
        *,
        path: str = "",
        scope: DagScope = "all",
        span: str | None = None,
        progress: Progress | None = None,
    ) -> AbstractAsyncContextManager[CarAnswer]:
        """Refuse: it serves single blocks only, as its ``can`` says."""
        del cid, path, scope, span, progress
        raise PeerFailed(f"{self.url} serves no CARs", peer=self.url)


def _chunks(length: int) -> Iterator[int]:
    while length > 0:
        yield min(length, CHUNK)
        length -= CHUNK

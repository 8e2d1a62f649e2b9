"""Measuring peers: what each of them does alone, and what all of them do together. In memory, and within bounds."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import attrs
import trio

from sessionctx import Node, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.cli.reference import Reference
from sessionctx.content import CID, verify
from sessionctx.errors import BadAnswer, BlockTooLarge, HashMismatch, PeerError, SessionctxError
from sessionctx.transports import Transport

REQUESTS: Final = 5
"""Single blocks that a peer is asked for, to see how soon it answers."""
_KEPT: Final = 64 * 1024 * 1024
_LOOK: Final = 0.005
"""Seconds between two looks at how much has come."""


@attrs.frozen(kw_only=True)
class Answers:
    """How a peer answers to single requests for one block."""

    raw: str
    """``verified``, ``lied``, or ``no``: whether it serves the block by itself."""
    car: str
    """The same for the block in a CAR."""
    first_byte: float | None
    """Seconds from the request to the first byte, the median of some requests; the first one, which has to connect, is
    left out where there are others. None if nothing came."""
    trouble: str | None
    """What went wrong first, if anything did."""


@attrs.frozen(kw_only=True)
class Flow:
    """What came through a session that began with no knowledge of its peers."""

    seconds: float
    bytes: int
    """Received and of use."""
    duplicate_bytes: int
    """Received and of no use."""
    requests: int
    first_byte: float | None
    """Seconds until the first verified block was there; None if none came."""
    error: Exception | None
    """Why it ended early, if it did."""

    @property
    def throughput(self) -> float | None:
        """Bytes of use per second."""
        return self.bytes / self.seconds if self.bytes and self.seconds else None

    @property
    def duplicates(self) -> float:
        """The share of all bytes that was of no use."""
        received = self.bytes + self.duplicate_bytes
        return self.duplicate_bytes / received if received else 0.0


async def answers(transport: Transport, cid: CID, *, seconds: float) -> Answers:
    """Ask one peer for the block *cid*, alone and in a CAR; each of the two may take so many seconds."""
    waits: list[float] = []

    async def raw() -> None:
        for _ in range(REQUESTS):
            waits.append(await _time_block(transport, cid))  # noqa: PERF401 - those before a failure count

    alone, trouble = await _tried(transport, raw, seconds)
    car, car_trouble = "no", None
    if transport.can.car:
        car, car_trouble = await _tried(transport, partial(_check_car, transport, cid), seconds)
    first_byte = statistics.median(waits[1:] or waits) if waits else None
    return Answers(raw=alone, car=car, first_byte=first_byte, trouble=trouble or car_trouble)


async def _tried(transport: Transport, ask: Callable[[], Awaitable[None]], seconds: float) -> tuple[str, str | None]:
    try:
        with trio.fail_after(seconds):
            await ask()
    except HashMismatch as error:
        return "lied", str(error)
    except trio.TooSlowError:
        return "no", f"{transport.public} did not answer within {seconds:g} s"
    except SessionctxError as error:
        return "no", str(error)
    return "verified", None


async def _time_block(transport: Transport, cid: CID) -> float:
    """Get the block; return the seconds to its first byte."""
    wait = _Wait(trio.current_time())
    _check(transport, cid, await transport.block(cid, progress=wait))
    return (wait.first or trio.current_time()) - wait.began


@attrs.define
class _Wait:
    """From the question to the first byte of its answer."""

    began: float
    first: float = 0.0

    def sent(self) -> None:
        self.began = trio.current_time()

    def came(self, count: int) -> None:
        del count
        self.first = self.first or trio.current_time()


async def _check_car(transport: Transport, cid: CID) -> None:
    async with transport.car(cid, scope="block") as sections:
        async for found, data in sections:
            if found.multihash == cid.multihash:
                _check(transport, cid, data)
                return
    raise BadAnswer(f"{transport.public} sent a CAR without {cid}", peer=transport.public)


def _check(transport: Transport, cid: CID, data: bytes) -> None:
    try:
        verify(cid, data)
    except HashMismatch:
        raise HashMismatch(f"{transport.public} sent bytes that do not match {cid}") from None
    except BlockTooLarge as error:
        raise PeerError(f"{transport.public}: {error}", peer=transport.public) from None


@attrs.define(eq=False)
class _Meter:
    """Watches a session until enough has come; what is broken off then is not counted as waste."""

    _session: session.Session
    _began: float
    _nursery: trio.Nursery
    account: session.Statistics = attrs.field(init=False)
    seconds: float = attrs.field(init=False)

    async def watch(self, amount: int, seconds: float) -> None:
        """Stop after *amount* bytes or so many seconds."""
        while self._session.statistics().bytes < amount and trio.current_time() < self._began + seconds:  # noqa: ASYNC110
            await trio.sleep(_LOOK)  # nobody tells of single bytes
        self.stop()

    def stop(self) -> None:
        self.account, self.seconds = self._session.statistics(), trio.current_time() - self._began
        self._nursery.cancel_scope.cancel()


async def flow(peers: Sequence[str], wanted: Reference, *, amount: int, seconds: float) -> Flow:
    """Fetch what is *wanted* from these peers, until about *amount* bytes are there or so many seconds have passed."""
    first: float | None = None
    error: Exception | None = None
    node = Node.over(MemoryBlockstore(max_bytes=_KEPT))

    async def fetch() -> None:
        nonlocal first
        found = await node.dag.resolve(wanted.cid, wanted.path)
        async with node.dag.walk(found.cid) as blocks:
            async for _ in blocks:
                first = first or trio.current_time() - began

    with session.begin(peers=peers, name="bench") as here:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            meter = _Meter(here, began, nursery)
            nursery.start_soon(meter.watch, amount, seconds)
            try:
                await fetch()
            except SessionctxError as failure:
                error = failure
            meter.stop()
    if first is None and error is None:
        error = TimeoutError(f"no block came within {meter.seconds:.3g} s")
    return Flow(
        seconds=meter.seconds,
        bytes=meter.account.bytes - meter.account.duplicate_bytes,
        duplicate_bytes=meter.account.duplicate_bytes,
        requests=meter.account.requests,
        first_byte=first,
        error=error,
    )

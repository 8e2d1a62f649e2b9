"""A TCP proxy on this machine that counts what passes, and cuts, resets, stalls or slows it as it is told.

::

    async with open_proxy(server_port) as proxy:
        proxy.arm(Fault("reset", after=100_000))     # the next connection breaks in the middle
        ...                                          # a client that connects to 127.0.0.1, proxy.port
        assert proxy.open == 0                       # it has left no connection behind
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, Literal, TypeAlias

import attrs
import trio

__all__ = ["Fault", "Proxy", "open_proxy"]

Kind: TypeAlias = Literal["cut", "reset", "stall", "refuse"]
Direction: TypeAlias = Literal["down", "up"]

_PIECE: Final = 64 * 1024
_ABORT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST at once."""


@attrs.frozen
class Fault:
    """What happens to one connection.

    ``"cut"`` closes it in good order, ``"reset"`` breaks it off, ``"refuse"`` closes it before anything has passed, and
    ``"stall"`` passes nothing more, and leaves it open until the client goes.
    """

    kind: Kind
    after: int = 0
    """So many bytes pass before that."""
    direction: Direction = "down"
    """Which bytes are counted: ``"down"`` to the client, ``"up"`` to the server."""


@attrs.define(eq=False)
class Proxy:
    """What passes between clients and one server. All may be changed while it runs."""

    port: int
    """Where clients connect, on 127.0.0.1."""
    target: tuple[str, int]
    rate: float | None = None
    """Bytes per second of each connection in each direction; None: as fast as it goes."""
    delay: float = 0.0
    """Seconds by which each piece comes later, as on a long line; what follows is not held up by it."""
    always: Fault | None = None
    """What happens to every connection for which nothing else is armed."""
    up: int = attrs.field(default=0, init=False)
    """Bytes that were passed to the server."""
    down: int = attrs.field(default=0, init=False)
    """Bytes that were passed to clients."""
    connections: int = attrs.field(default=0, init=False)
    """Connections that clients have made so far."""
    open: int = attrs.field(default=0, init=False)
    """Those of them that are open now, on either side."""
    _armed: deque[Fault | None] = attrs.field(factory=deque["Fault | None"], init=False)

    def arm(self, *faults: Fault | None) -> None:
        """Let these happen to the next connections, one each, in turn; None: to that one nothing."""
        self._armed.extend(faults)

    async def serve(self, client: trio.SocketStream) -> None:
        """Pass on one connection until both sides have ended it, or its fault has."""
        fault = self._armed.popleft() if self._armed else self.always
        self.connections += 1
        self.open += 1
        try:
            async with client:
                if fault is not None and fault.kind == "refuse":
                    return
                with suppress(OSError):
                    async with await trio.open_tcp_stream(*self.target) as server:
                        await _Link(self, client, server, fault).run()
        finally:
            self.open -= 1


@attrs.define(eq=False)
class _Link:
    """One connection of a client, and the one to the server that was made for it."""

    proxy: Proxy
    client: trio.SocketStream
    server: trio.SocketStream
    fault: Fault | None
    _scope: trio.CancelScope = attrs.field(init=False)
    _left: trio.Event = attrs.field(factory=trio.Event, init=False)
    """The client has ended its side."""
    _passed: dict[Direction, int] = attrs.field(factory=lambda: {"up": 0, "down": 0}, init=False)

    async def run(self) -> None:
        """Pass on in both directions until both have ended, one side has gone, or the fault has happened."""
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            for source, sink, direction in self._ways():
                send, receive = trio.open_memory_channel[tuple[float, bytes]](64)
                nursery.start_soon(self._read, source, send)
                nursery.start_soon(self._write, receive, sink, direction)

    def _ways(self) -> tuple[tuple[trio.SocketStream, trio.SocketStream, Direction], ...]:
        return (self.client, self.server, "up"), (self.server, self.client, "down")

    async def _read(self, source: trio.SocketStream, send: trio.MemorySendChannel[tuple[float, bytes]]) -> None:
        with self._while_both_are_there(), send:
            while piece := await source.receive_some(_PIECE):
                await send.send((trio.current_time() + self.proxy.delay, bytes(piece)))
            if source is self.client:
                self._left.set()

    async def _write(
        self,
        pieces: trio.MemoryReceiveChannel[tuple[float, bytes]],
        sink: trio.SocketStream,
        direction: Direction,
    ) -> None:
        with self._while_both_are_there(), pieces:
            async for due, piece in pieces:
                await trio.sleep_until(due)
                await self._pass(piece, sink, direction)
            await sink.send_eof()

    async def _pass(self, piece: bytes, sink: trio.SocketStream, direction: Direction) -> None:
        fault = self.fault if self.fault is not None and self.fault.direction == direction else None
        if fault is not None:
            piece = piece[: max(fault.after - self._passed[direction], 0)]
        if piece:
            await sink.send_all(piece)
            self._passed[direction] += len(piece)
            self._count(len(piece), direction)
        if fault is not None and self._passed[direction] >= fault.after:
            await self._happen(fault)
        if self.proxy.rate is not None:
            await trio.sleep(len(piece) / self.proxy.rate)

    def _count(self, size: int, direction: Direction) -> None:
        if direction == "up":
            self.proxy.up += size
        else:
            self.proxy.down += size

    async def _happen(self, fault: Fault) -> None:
        if fault.kind == "stall":
            await self._left.wait()
        if fault.kind == "reset":
            for stream in (self.client, self.server):
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._scope.cancel()

    @contextmanager
    def _while_both_are_there(self) -> Generator[None]:
        try:
            yield
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()


@asynccontextmanager
async def open_proxy(port: int, host: str = "127.0.0.1") -> AsyncGenerator[Proxy]:
    """Run a proxy before the server at *host* and *port* until the end of the block, which ends what is open."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy = Proxy(listeners[0].socket.getsockname()[1], (host, port))
        nursery.start_soon(trio.serve_listeners, proxy.serve, listeners)
        try:
            yield proxy
        finally:
            nursery.cancel_scope.cancel()

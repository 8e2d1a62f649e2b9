"""One HTTP/1.1 connection: h11 reads and writes the heads, the socket's bytes are the body. One request at a time."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import Final

import attrs
import h11
import trio

from sessionctx.transports.http.body import Buffer, Chunks
from sessionctx.transports.http.tls import TLS
from sessionctx.transports.http.trouble import BadHTTP, BodyLate, BrokenOff, NotConnected
from sessionctx.transports.public import not_public

HEAD_READ: Final = 8 * 1024
"""Bytes that are read at once for a head; what comes of the body with it is copied twice more."""
READ: Final = 64 * 1024
"""Bytes that are read at once for h11, which moves what is left over each time."""
BULK_READ: Final = 256 * 1024
"""Bytes that are read at once of a body of known length."""
SEND: Final = 256 * 1024
"""Bytes of a body that are handed to the socket at once; the peer has to take so many while we are patient."""
MOST_HEAD: Final = 100 * 1024
"""Bytes of a header, or of a chunk's or trailer's line, that are kept while it is not complete."""


@attrs.define(eq=False)
class Connection:
    """A connection, from its first request to its last. Closing it never waits, so no cancellation can leak it."""

    _tcp: trio.SocketStream
    _tls: TLS | None = None
    _http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.CLIENT))
    _ready: bytes = b""  # of a body of known length, what came with the head ...
    _left: int | None = None  # ... and how many bytes are to come, with those; None if h11 finds the end
    _hung_up: bool = False
    idle_since: float = 0.0

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None, *, public_only: bool = False) -> Connection:
        """Connect, with TLS if *tls* is given, and if *public_only* not to private addresses. :exc:`NotConnected`."""
        if public_only and (why := not_public(host)):
            raise NotConnected(why)
        try:
            tcp = await trio.open_tcp_stream(host, port)
        except OSError as error:
            raise NotConnected from error
        if public_only:
            cls(tcp).refuse_private()
        if tls is None:
            return cls(tcp)
        try:
            return cls(tcp, await TLS.handshake(tcp, tls, host))
        except (OSError, trio.BrokenResourceError) as error:
            tcp.socket.close()
            raise NotConnected from error
        except BaseException:
            tcp.socket.close()
            raise

    def refuse_private(self) -> None:
        """Close it unless the address is public that its host's name has led to. :exc:`NotConnected`."""
        try:
            why = not_public(str(self._tcp.socket.getpeername()[0]))
        except OSError as error:
            why = str(error)  # it has hung up already
        if why is not None:
            self.close()
            raise NotConnected(why)

    def close(self) -> None:
        """Close it at once; the peer may be in the middle of something."""
        self._tcp.socket.close()

    @property
    def lively(self) -> bool:
        """Whether it is just silent: an idle connection that has something to read is closed, or spoilt."""
        return not self._tcp.socket.is_readable() and (self._tls is None or self._tls.silent)

    async def send(
        self,
        request: h11.Request,
        body: Chunks | None = None,
        *,
        idle: float = math.inf,
        went: Callable[[int], object] | None = None,
    ) -> None:
        """Send the request. If the peer does not take it, it may have said why: see `head`.

        *went* is called with each number of bytes of the *body* that the system took. :exc:`BodyLate` if that were
        none in *idle* seconds; the time in which the body is waited for does not count.
        """
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        self._left, self._hung_up = None, False
        try:
            await self._send(request)
            if body is not None:
                await self._send_body(body, idle, went)
            await self._send(h11.EndOfMessage())
        except (OSError, trio.BrokenResourceError):
            pass

    async def head(self, request: h11.Request) -> h11.Response:
        """Return the head of the answer. :exc:`BrokenOff`, :exc:`BadHTTP`."""
        while not isinstance(head := await self._event(), h11.Response):
            if head is None:
                raise BadHTTP("it went over to another protocol")
        if request.method == b"GET" and head.status_code in (200, 206):
            self._count(head)
        return head

    def _count(self, head: h11.Response) -> None:
        """Take the body from h11 if its length is known: that halves the price of a block."""
        headers = dict(head.headers)
        if b"transfer-encoding" not in headers and b"content-length" in headers:
            self._left = int(headers[b"content-length"])
            self._ready = self._http.trailing_data[0]

    async def receive(self) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end. :exc:`BrokenOff`, :exc:`BadHTTP`."""
        if self._left is None:
            event = await self._event()
            return bytes(event.data) if isinstance(event, h11.Data) else b""
        if self._ready:
            chunk, self._ready = self._ready[: self._left], self._ready[self._left :]
        elif self._left == 0:
            return b""
        elif not (chunk := await self._read(min(BULK_READ, self._left))):
            raise BrokenOff(f"it closed the connection {self._left} bytes before the end")
        self._left -= len(chunk)
        return chunk

    def finish(self) -> bool:
        """End the exchange without a wait: whether it came to its end, and another one may follow."""
        if self._left is not None:
            return self._left == 0 and not self._ready and self._http.our_state is h11.DONE
        try:
            while self._http.their_state is h11.SEND_BODY and isinstance(self._http.next_event(), h11.Data):
                pass
        except h11.RemoteProtocolError:
            return False
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return done and self._http.trailing_data == (b"", False)

    async def _event(self) -> h11.Event | None:
        """Return the next event that is one; behind the body, none is."""
        http = self._http
        try:
            while http.their_state in (h11.SEND_RESPONSE, h11.SEND_BODY):
                if isinstance(event := http.next_event(), h11.Event):
                    return event
                http.receive_data(await self._more())
        except h11.RemoteProtocolError as error:
            raise (BrokenOff if self._hung_up else BadHTTP) from error
        return None

    async def _more(self) -> bytes:
        data = await self._read(READ if self._http.their_state is h11.SEND_BODY else HEAD_READ)
        self._hung_up = not data
        if self._hung_up and self._http.their_state is h11.SEND_RESPONSE:
            raise BrokenOff("it closed the connection before it answered")
        return data

    async def _send(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            await (self._tls or self._tcp).send_all(data)

    async def _send_body(self, body: Chunks, idle: float, went: Callable[[int], object] | None) -> None:
        if not isinstance(body, AsyncIterable):
            for chunk in body:
                await self._send_chunk(chunk, idle, went)
            return
        chunks: AsyncIterator[Buffer] = aiter(body)
        try:
            async for chunk in chunks:
                await self._send_chunk(chunk, idle, went)
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _send_chunk(self, chunk: Buffer, idle: float, went: Callable[[int], object] | None) -> None:
        """Send a piece of the body as it is, not through h11, which copies; it only counts."""
        event = h11.Data(data=chunk)  # type: ignore[arg-type]  # whatever has a length
        framed = self._http.send_with_data_passthrough(event) or []
        rest = memoryview(framed[0] if len(framed) == 1 else b"".join(framed))
        with trio.move_on_after(idle) as patience:
            while rest:
                await (self._tls or self._tcp).send_all(rest[:SEND])
                if went is not None:
                    went(len(rest[:SEND]))
                rest = rest[SEND:]
                patience.deadline = trio.current_time() + idle
            return
        raise BodyLate(f"{idle:g} s")

    async def _read(self, most: int) -> bytes:
        try:
            return await (self._tls or self._tcp.socket).recv(most)
        except (OSError, trio.BrokenResourceError) as error:
            raise BrokenOff from error

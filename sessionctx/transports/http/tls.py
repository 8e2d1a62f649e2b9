"""TLS on a socket of trio's, by way of memory: a few system calls and many records at a time."""

from __future__ import annotations

import ssl
from typing import Final

import attrs
import trio

READ: Final = 256 * 1024
"""Bytes that are read at once: sixteen records of the largest size."""
_RECORD: Final = 16 * 1024  # of plain text, at most (RFC 8446, 5.1)


@attrs.define(eq=False)
class TLS:
    """The client's side of TLS. One task uses it at a time; who is cancelled in the middle of something closes it.

    A peer that just hangs up ends the stream as well as one that says so first: in HTTP it is the framing that tells
    whether all has come. Tickets, changes of keys and TLS 1.2's renegotiation happen on the way.
    """

    _tcp: trio.SocketStream
    _tls: ssl.SSLObject
    _received: ssl.MemoryBIO
    _to_send: ssl.MemoryBIO

    @classmethod
    async def handshake(cls, tcp: trio.SocketStream, context: ssl.SSLContext, host: str) -> TLS:
        """Agree on keys, and check that it is *host*. Raises as `send_all`, `ssl.SSLError` among it."""
        received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self = cls(tcp, context.wrap_bio(received, to_send, server_hostname=host), received, to_send)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._more()
            else:
                await self._flush()
                return self

    async def send_all(self, data: bytes | memoryview) -> None:
        """Encrypt and send it. :exc:`OSError`, :exc:`trio.BrokenResourceError`."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
            if self._to_send.pending >= READ:
                await self._flush()
        await self._flush()

    async def recv(self, most: int) -> bytes:
        """Return what has come, decrypted, or wait for it; ``b""`` at the end. :exc:`OSError`, as in `send_all`."""
        waited = False
        while (data := self._decrypted(most)) is None:
            await self._more()
            waited = True
        if not waited:
            await trio.lowlevel.checkpoint()
        return data

    @property
    def silent(self) -> bool:
        """Whether nothing has come that was not asked for; tickets are fine. If not, do not use it any more."""
        try:
            return self._decrypted(1) is None
        except ssl.SSLError:
            return False

    def _decrypted(self, most: int) -> bytes | None:
        """Return what has come, ``b""`` at the end, ``None`` if it is no whole record yet."""
        pieces: list[bytes] = []
        try:
            while most and (piece := self._tls.read(min(most, _RECORD))):
                pieces.append(piece)
                most -= len(piece)
        except ssl.SSLWantReadError:
            if not pieces:
                return None
        except ssl.SSLEOFError:
            pass
        except ssl.SSLError:
            if not pieces:  # otherwise what came before is good, and nothing more will come
                raise
        return b"".join(pieces)

    async def _more(self) -> None:
        """Send what is to be said first, and take in what comes."""
        await self._flush()
        if data := await self._tcp.socket.recv(READ):
            self._received.write(data)
        else:
            self._received.write_eof()

    async def _flush(self) -> None:
        if self._to_send.pending:
            await self._tcp.send_all(self._to_send.read())

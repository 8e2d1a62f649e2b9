"""The connections to one endpoint: kept, lent to one exchange at a time, closed when an exchange did not end well."""

from __future__ import annotations

import math
import ssl
from collections import deque
from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from typing import Final

import attrs
import h11
import trio

from sessionctx.transports.address import Address
from sessionctx.transports.endpoints import Endpoints
from sessionctx.transports.http.connection import Connection
from sessionctx.transports.http.trouble import BadHTTP, BrokenOff, ConnectionLate, HeadLate

KEEP_IDLE: Final = 15.0
"""Seconds that a connection is kept without a request; servers begin to close theirs after as much."""

endpoints: Final = Endpoints["Pool"]("sessionctx.transports.http")


def pool_of(address: Address, tls: ssl.SSLContext | None, *, at_once: int) -> AbstractAsyncContextManager[Pool]:
    """Lend the pool of an endpoint to at most *at_once* exchanges; the others wait here, first come, first served."""
    key = (address.scheme, address.host, address.port, tls, at_once)
    return endpoints.use(key, lambda: Pool(address, tls), at_once=at_once)


@attrs.define(eq=False)
class Pool:
    """The idle connections to one endpoint. The one used last is used first, so that those too many grow old."""

    _address: Address
    _tls: ssl.SSLContext | None
    _idle: deque[Connection] = attrs.field(factory=deque[Connection])

    async def ask(
        self,
        request: h11.Request,
        body: AsyncIterable[bytes] | None = None,
        *,
        connect: float,
        header: float,
        public_only: bool = False,
    ) -> tuple[h11.Response, Connection]:
        """Send a request; return the head of the answer, and the connection to read its body from and to give back.

        *connect* and *header* are the seconds to wait for a connection, and for the head. A kept connection that turns
        out to be closed or spoilt is nobody's fault: what can be asked twice is asked again, on a fresh one.
        Raises `Trouble`.
        """
        kept = self._kept()
        if kept is not None:
            if public_only:  # others may have been allowed to connect
                kept.refuse_private()
            try:
                return await _head(kept, request, body, header), kept
            except (BrokenOff, BadHTTP):
                if body is not None or request.method not in (b"GET", b"HEAD"):
                    raise
        fresh = await self._connect(connect, public_only=public_only)
        return await _head(fresh, request, body, header), fresh

    def give_back(self, connection: Connection) -> None:
        """Keep the connection if its exchange came to the end; close it otherwise."""
        if connection.finish():
            connection.idle_since = trio.current_time()
            self._idle.append(connection)
        else:
            connection.close()

    async def aclose(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        await trio.lowlevel.checkpoint()

    def _kept(self) -> Connection | None:
        """Take the connection that was used last, if it is as we left it; close those that are too old."""
        now = trio.current_time()
        while self._idle and now - self._idle[0].idle_since > KEEP_IDLE:
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if connection.lively:
                return connection
            connection.close()
        return None

    async def _connect(self, seconds: float, *, public_only: bool) -> Connection:
        with trio.move_on_after(seconds):
            return await Connection.open(*self._address.endpoint, self._tls, public_only=public_only)
        raise ConnectionLate(f"{seconds:g} s")


async def _head(
    connection: Connection, request: h11.Request, body: AsyncIterable[bytes] | None, seconds: float
) -> h11.Response:
    try:
        with trio.fail_after(seconds if body is None else math.inf) as patience:
            await connection.send(request, body)
            if body is not None:  # it may take as long as it is
                patience.deadline = trio.current_time() + seconds
            return await connection.head(request)
    except trio.TooSlowError:
        connection.close()
        raise HeadLate(f"{seconds:g} s") from None
    except BaseException:
        connection.close()
        raise

"""Connections to one endpoint: lent to one exchange at a time, kept when it ended well, closed when it did not."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Self

import attrs
import h11
import trio

from sessionctx.transports.address import Address
from sessionctx.transports.http.body import Chunks
from sessionctx.transports.http.connection import Connection
from sessionctx.transports.http.kept import Kept, Shelf, kept_here
from sessionctx.transports.http.trouble import BadHTTP, BrokenOff, ConnectionLate, HeadLate


@attrs.define(eq=False)
class Turn(AbstractAsyncContextManager["Turn"]):
    """A turn at one endpoint, for one exchange: entering waits for it, while *at_once* others or more have theirs.

    It is on the path of each request: a generator would cost three times as much.
    """

    _address: Address
    _tls: ssl.SSLContext | None
    _at_once: int
    waited: bool = attrs.field(default=False, init=False)
    """Whether there was a wait, which is not the peer's doing."""
    _kept: Kept = attrs.field(factory=kept_here, init=False)
    _shelf: Shelf = attrs.field(init=False)

    async def __aenter__(self) -> Self:
        self._shelf = self._kept.shelf((self._address.scheme, self._address.host, self._address.port, self._tls))
        self.waited = await self._shelf.turns.take(self._at_once)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._shelf.turns.give()

    async def ask(
        self,
        request: h11.Request,
        body: Chunks | None = None,
        *,
        connect: float,
        header: float,
        idle: float = math.inf,
        went: Callable[[int], object] | None = None,
        public_only: bool = False,
    ) -> tuple[h11.Response, Connection]:
        """Send a request; return the head of the answer, and the connection to read its body from and to give back.

        *connect* and *header* are the seconds to wait for a connection, and for the head after all has been sent;
        *idle* those in which the peer must take something of the *body*, and *went* is told what it took. A kept
        connection that turns out to be closed or spoilt is nobody's fault: what can be asked twice is asked again, on a
        fresh one.
        Raises `Trouble`.
        """
        kept = self._kept.take(self._shelf)
        if kept is not None:
            if public_only:  # others may have been allowed to connect
                kept.refuse_private()
            try:
                return await _head(kept, request, body, seconds=header, idle=idle, went=went), kept
            except (BrokenOff, BadHTTP):
                if body is not None or request.method not in (b"GET", b"HEAD"):
                    raise
        fresh = await self._connect(connect, public_only=public_only)
        return await _head(fresh, request, body, seconds=header, idle=idle, went=went), fresh

    def give_back(self, connection: Connection) -> None:
        """Keep the connection if its exchange came to the end; close it otherwise."""
        if connection.finish():
            self._kept.keep(connection, self._shelf)
        else:
            connection.close()

    async def _connect(self, seconds: float, *, public_only: bool) -> Connection:
        with trio.move_on_after(seconds):
            return await Connection.open(*self._address.endpoint, self._tls, public_only=public_only)
        raise ConnectionLate(f"{seconds:g} s")


async def _head(
    connection: Connection,
    request: h11.Request,
    body: Chunks | None,
    *,
    seconds: float,
    idle: float,
    went: Callable[[int], object] | None,
) -> h11.Response:
    try:
        with trio.fail_after(seconds if body is None else math.inf) as patience:
            await connection.send(request, body, idle=idle, went=went)
            if body is not None:  # it may take as long as it is
                patience.deadline = trio.current_time() + seconds
            return await connection.head(request)
    except trio.TooSlowError:
        connection.close()
        raise HeadLate(f"{seconds:g} s") from None
    except BaseException:
        connection.close()
        raise

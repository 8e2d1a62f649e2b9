"""The start of a request: make a connection or take a kept one, send, wait for the header. Which limit runs when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from sessionctx.transports.endpoints import Closable, close_at_once


class Start:
    """Follows one request until its header comes, as the ``trace`` of httpx's client (httpcore calls it by its steps).

    It moves the deadline of *patience* from step to step, and plugs two leaks of httpcore 1.0 (its issue 1093): a
    request that is cancelled during the TLS handshake leaves its socket open; one that is cancelled just when the
    connection is made leaves it in the pool for ever, as neither busy nor idle, so *guard* shields that moment. (The
    third leak, among requests that wait for a connection, cannot happen here: they wait in `Endpoints`.)
    """

    def __init__(self, *, connect: float, header: float, tls: bool) -> None:
        self.patience = trio.CancelScope(deadline=trio.current_time() + connect)
        """The outer scope to send the request in."""
        self.guard = trio.CancelScope()
        """The inner one."""
        self.reused = True
        """Whether a kept connection was taken."""
        self.asked = False
        """Whether there is a connection, and the request is on its way."""
        self._header = header
        self._made = "connection.start_tls.complete" if tls else "connection.connect_tcp.complete"
        self._stream: Closable | None = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Note one step. It must not wait: it runs inside of the client."""
        if event == "connection.connect_tcp.started":
            self.reused = False
        elif event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif event == "http11.send_request_headers.started":
            self.asked = True
            self._stream = None  # from here on, the client closes it properly
            self.guard.shield = False
            self.patience.deadline = trio.current_time() + self._header
        if event == self._made:
            self.guard.shield = True

    async def aclose(self) -> None:
        """Close a connection that was being made, if it did not come to the request."""
        if self._stream is not None:
            await close_at_once(self._stream)

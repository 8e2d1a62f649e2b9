"""One client's connection: HTTP/1.1 requests, one after another, each answered by an ASGI app.

h11 reads and writes the heads and minds the framing; the bytes of bodies go from the app to the socket as they are.
The app waits while its client does not read, so that a slow reader holds one piece of a body and no more. What a client
sends ahead, while it is being answered, waits its turn; a bounded amount of it is taken.

Sources: RFC 9112 (HTTP/1.1); the ASGI specification 3.0, HTTP, https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from __future__ import annotations

import functools
import time
from email.utils import formatdate
from typing import Any, Final, cast
from urllib.parse import unquote

import attrs
import h11
import trio

from sessionctx.serve.asgi import App, Message, Scope

MOST_HEAD: Final = 32 * 1024
"""Bytes of a request's head, and of requests sent ahead."""
_READ: Final = 16 * 1024
_JOINED: Final = 64 * 1024  # what is smaller is copied together: cheaper than to be sent in two
_SLICE: Final = 256 * 1024


@attrs.define(eq=False)
class Connection:
    """One client's connection, from its first request until either side is done."""

    _app: App
    _socket: trio.socket.SocketType
    _stalled: float
    _keep_alive: float
    _http: h11.Connection = attrs.field(init=False)
    _about: dict[str, object] = attrs.field(init=False)
    """What the scopes of all its requests have in common."""
    _waiting: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _last: bool = attrs.field(default=False, init=False)
    """Whether there is no next request."""
    _ahead: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        names = {"client": self._socket.getpeername()[:2], "server": self._socket.getsockname()[:2]}
        self._about = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "scheme": "http", **names}

    async def run(self) -> None:
        """Answer until the client goes, or is idle for too long, or makes no sense. The socket is closed then."""
        with self._socket:
            try:
                while (request := await self._request()) is not None:
                    await self._answer(request)
                    if self._last or not self._settled():
                        return
                    self._http.start_next_cycle()
            except OSError:
                pass  # the client went away

    def leave(self) -> None:
        """End after the answer in progress; at once, if there is none."""
        self._last = True
        self._waiting.cancel()

    def _settled(self) -> bool:
        """Whether request and response are both complete."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _request(self) -> h11.Request | None:
        self._ahead = 0
        try:
            with trio.move_on_after(self._keep_alive) as self._waiting:
                while (event := self._http.next_event()) is h11.NEED_DATA:
                    await self.read()
                return event if isinstance(event, h11.Request) else None
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, str(error))
        return None

    async def _answer(self, request: h11.Request) -> None:
        if (b"upgrade", b"websocket") in request.headers:
            await self._refuse(403, "There are no websockets here.")
            return
        if self._http.they_are_waiting_for_100_continue:
            await self.write([self._send(h11.InformationalResponse(status_code=100, headers=[]))])
        cycle = _Cycle(self, self._http, request.method == b"HEAD")
        await self._app(_scope(request, self._about), cycle.receive, cycle.send)
        if self._http.our_state is h11.SEND_RESPONSE and not cycle.gone:
            await self._refuse(500, "Something went wrong here.")

    async def _refuse(self, status: int, text: str) -> None:
        """Answer with an error, the last answer of this connection."""
        self._last = True
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            data = f"{text}\n".encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(data))]
            await self.write([self.head(status, headers), data])

    def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Begin a response. Raises ``h11.LocalProtocolError`` if no such response can be sent."""
        added = [(b"date", _date(int(time.time())))]
        if self._last:
            added.append((b"connection", b"close"))
        return self._send(h11.Response(status_code=status, headers=[*headers, *added]))

    def _send(self, event: h11.InformationalResponse | h11.Response) -> bytes:
        return self._http.send(event) or b""

    async def read(self) -> bool:
        """Hand h11 what the client has sent; false when it has closed."""
        data = await self._socket.recv(_READ)
        self._http.receive_data(data)
        self._ahead += len(data)
        return bool(data)

    async def closed(self) -> None:
        """Wait until the client goes away; what it asks meanwhile is kept for later, while that is little."""
        while await self.read():
            if self._ahead > MOST_HEAD:
                await trio.sleep_forever()

    async def write(self, parts: list[bytes]) -> None:
        """Send the *parts*, if the client takes a quarter of a MiB in the time that is allowed for it.

        Raises:
            ConnectionError: it does not, or is gone.
        """
        if sum(map(len, parts)) <= _JOINED:
            parts = [b"".join(parts)]
        with trio.move_on_after(self._stalled) as patience:
            read = 0
            for part in parts:
                view = memoryview(part)
                while view:
                    sent = await self._socket.send(view)
                    view, read = view[sent:], read + sent
                    if read >= _SLICE:
                        patience.deadline, read = trio.current_time() + self._stalled, 0
            return
        raise ConnectionAbortedError(f"the client did not read for {self._stalled} seconds")


@attrs.define(eq=False)
class _Cycle:
    """One request and its response, as ASGI has them."""

    _connection: Connection
    _http: h11.Connection
    _bodiless: bool
    gone: bool = attrs.field(default=False, init=False)
    """Whether the client was seen to go away."""
    _head: bytes = attrs.field(default=b"", init=False)
    """Kept until the first bytes of the body, to go with them."""

    async def receive(self) -> Message:
        """Return the next piece of the request's body, and after the last one, that the client is gone."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                await self._connection.read()
            if isinstance(event, h11.Data):
                return {"type": "http.request", "body": bytes(event.data), "more_body": True}
            if isinstance(event, h11.EndOfMessage):
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._connection.closed()
        except (OSError, h11.RemoteProtocolError):
            pass  # it went in the middle of its request, or sends nonsense
        self.gone = True
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take the head, or a piece of the body, which is sent when this returns."""
        if message["type"] == "http.response.start":
            headers = cast("list[tuple[bytes, bytes]]", message.get("headers", []))
            self._head = self._connection.head(cast("int", message["status"]), headers)
            await trio.lowlevel.checkpoint()
            return
        parts, self._head = [self._head], b""
        data = cast("bytes", message.get("body", b""))
        if data and not self._bodiless:
            parts += self._http.send_with_data_passthrough(h11.Data(data=data)) or []
        if not message.get("more_body", False):
            parts.append(self._http.send(h11.EndOfMessage()) or b"")
        await self._connection.write(parts)


def _scope(request: h11.Request, about: dict[str, object]) -> Scope:
    target: bytes = request.target
    if not target.startswith(b"/") and b"://" in target:  # the absolute form, as sent to proxies
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    raw_path, _, query = target.partition(b"?")
    return {
        **about,
        "http_version": request.http_version.decode(),
        "method": request.method.decode(),
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": cast("Any", list(request.headers)),
    }


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()

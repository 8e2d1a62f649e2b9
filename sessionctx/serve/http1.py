"""One client's connection: HTTP/1.1 requests, one after another, each answered by an ASGI app.

The app waits while its client does not read, so that a slow reader holds one piece of a body and no more. What a client
sends ahead, while it is being answered, waits its turn; a bounded amount of it is taken.

A small answer takes no task and no timer of its own: whoever runs the server has a look at all connections now and
then, and ends those that idle, or whose client went away while it was being answered.

Sources: RFC 9112 (HTTP/1.1); the ASGI specification 3.0, HTTP, https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from __future__ import annotations

import functools
import socket
import time
from email.utils import formatdate
from typing import Final, cast
from urllib.parse import unquote

import attrs
import trio

from sessionctx.serve.asgi import CANCELS, App, Message, Scope
from sessionctx.serve.incoming import MOST_HEAD, Head, Incoming, Nonsense
from sessionctx.serve.outgoing import CONTINUE, Response
from sessionctx.serve.sending import send_all

_READ: Final = 16 * 1024


@attrs.define(eq=False)
class Connection:
    """One client's connection, from its first request until either side is done."""

    _app: App
    _socket: socket.socket
    """One that does not block."""
    _stalled: float
    _about: dict[str, object] = attrs.field(init=False)
    """What the scopes of all its requests have in common."""
    _incoming: Incoming = attrs.field(factory=Incoming, init=False)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _cycle: _Cycle | None = attrs.field(default=None, init=False)
    """What is being answered."""
    _seen: _Cycle | None = attrs.field(default=None, init=False)
    """What was being answered when somebody had a look before."""
    _since: float = attrs.field(default=0.0, init=False)
    """When it began to wait for a request."""
    _last: bool = attrs.field(default=False, init=False)
    """Whether there is no next request."""

    def __attrs_post_init__(self) -> None:
        names = {"client": self._socket.getpeername()[:2], "server": self._socket.getsockname()[:2]}
        asgi = {"version": "3.0", "spec_version": "2.3"}
        said: dict[str, object] = {"asgi": asgi, "extensions": {CANCELS: dict[str, object]()}}
        self._about = {"type": "http", "scheme": "http", "root_path": "", **said, **names}
        self._since = trio.current_time()

    async def run(self) -> None:
        """Answer until the client goes, or is idle for too long, or makes no sense."""
        with self._scope:
            try:
                while not self._last and (head := await self._next()) is not None:
                    await self._answer(head)
            except Nonsense as error:
                await self._refuse(error.status, str(error))
            except OSError:
                pass  # the client went away

    def leave(self) -> None:
        """End after the answer in progress; at once, if there is none."""
        self._last = True
        if self._cycle is None:
            self._scope.cancel()

    def look(self, idle_since: float) -> None:
        """End it if it has been waiting for a request *idle_since*, or if its client went away.

        For the latter it has to be looked at twice during one answer: most are quicker.
        """
        before, self._seen = self._seen, self._cycle
        if self._cycle is None:
            if self._since < idle_since:
                self._scope.cancel()
        elif self._cycle is before and not self._stays():
            self._cycle.lose(self._scope)

    def _stays(self) -> bool:
        """Take what the client sends ahead, while that is little; false if it has gone."""
        if not self._incoming.complete or self._incoming.ahead > MOST_HEAD:
            return True  # the app reads, or nobody does
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._incoming.feed(data)
        return bool(data)

    async def _next(self) -> Head | None:
        """Return the next request; None if the client has closed."""
        if self._incoming.ahead:
            await trio.lowlevel.checkpoint()  # it may go on like this
        self._since = trio.current_time()
        while (head := self._incoming.head()) is None:
            if not await self.read():
                return None
        return head

    async def _answer(self, head: Head) -> None:
        if (b"upgrade", b"websocket") in head.headers:
            await self._refuse(403, "There are no websockets here.")
            return
        if head.waits:
            await self.write([CONTINUE])
        response = Response(head.method == b"HEAD", head.version != b"1.0", head.last)
        self._cycle = cycle = _Cycle(self, self._incoming, response)
        try:
            await self._app(_scope(head, self._about), cycle.receive, cycle.send)
        finally:
            self._cycle = self._seen = None
        if not (response.begun or cycle.gone):
            await self._refuse(500, "Something went wrong here.")
        self._last = self._last or response.last or not response.complete or not self._incoming.skip()

    async def _refuse(self, status: int, text: str) -> None:
        """Answer with an error, the last answer of this connection."""
        self._last = True
        data = f"{text}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(data))]
        response = Response(to_head=False, chunks=False, last=True)
        await self.write([response.head(status, headers, _date(int(time.time()))), data])

    @property
    def ends(self) -> bool:
        """Whether there is no next request."""
        return self._last

    async def read(self) -> bool:
        """Take what the client sends next; false when it has closed."""
        await trio.lowlevel.wait_readable(self._socket)
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return True
        self._incoming.feed(data)
        return bool(data)

    async def write(self, parts: list[bytes]) -> None:
        """Send the *parts*. :exc:`OSError` if the client is gone, or does not read."""
        try:
            await send_all(self._socket, parts, stalled=self._stalled)
        except OSError:
            self._last = True
            raise


@attrs.define(eq=False)
class _Cycle:
    """One request and its response, as ASGI has them."""

    _connection: Connection
    _incoming: Incoming
    _response: Response
    gone: bool = attrs.field(default=False, init=False)
    """Whether the client was seen to go away."""
    _head: bytes = attrs.field(default=b"", init=False)
    """Kept until the first bytes of the body, to go with them."""
    _asked: bool = attrs.field(default=False, init=False)
    """Whether the app has got the request's body, to its end."""
    _lost: trio.Event | None = attrs.field(default=None, init=False)
    """What the app waits for, if it wants to be told that the client went away."""

    async def receive(self) -> Message:
        """Return the next piece of the request's body, and after the last one, that the client is gone."""
        try:
            if not self._asked:
                return await self._body()
        except (OSError, Nonsense):
            self.gone = True  # it went in the middle of its request, or sends nonsense
        if not self.gone:
            self._lost = self._lost or trio.Event()
            try:
                await self._lost.wait()
            finally:
                self._lost = None
        return {"type": "http.disconnect"}

    async def _body(self) -> Message:
        await trio.lowlevel.checkpoint()
        while (data := self._incoming.body()) is None:
            if not await self._connection.read():
                raise ConnectionResetError("the client went away in the middle of its request")
        self._asked = not data
        return {"type": "http.request", "body": data, "more_body": bool(data)}

    def lose(self, answering: trio.CancelScope) -> None:
        """Tell the app that the client is gone; cancel it, unless it waits to be told."""
        self.gone = True
        if self._lost is None:
            answering.cancel()
        else:
            self._lost.set()

    async def send(self, message: Message) -> None:
        """Take the head, or a piece of the body, which is sent when this returns."""
        if message["type"] == "http.response.start":
            headers = cast("list[tuple[bytes, bytes]]", message.get("headers", []))
            self._response.last = self._response.last or self._connection.ends
            self._head = self._response.head(cast("int", message["status"]), headers, _date(int(time.time())))
            return
        more = bool(message.get("more_body", False))
        body = self._response.body(cast("bytes", message.get("body", b"")), more=more)
        parts, self._head = [self._head, *body], b""
        await self._connection.write(parts)
        if more:
            await trio.lowlevel.checkpoint()


def _scope(head: Head, about: dict[str, object]) -> Scope:
    target = head.target
    if not target.startswith(b"/") and b"://" in target:  # the absolute form, as sent to proxies
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    raw_path, _, query = target.partition(b"?")
    return {
        **about,
        "http_version": head.version.decode(),
        "method": head.method.decode(),
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "headers": head.headers,
    }


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()

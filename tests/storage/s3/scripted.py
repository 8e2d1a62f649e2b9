"""A server that answers as a test says: a function from a request to an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, unquote, urlsplit

import attrs
import h11
import trio

from sessionctx.storage import open_storage
from sessionctx.storage.s3 import Patience, S3Storage

HASTY = Patience(attempts=3, base=0.001)


@attrs.frozen
class Request:
    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@attrs.frozen
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    cut: int | None = None
    """So many bytes of the body come, and then the connection ends."""


Script = Callable[[Request], "Reply | None"]


@attrs.define(eq=False, slots=False)
class Server:
    """What was asked, and who answers; None is silence, and the end of the connection."""

    script: Script
    port: int = 0
    requests: list[Request] = attrs.field(factory=list)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    async def serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            while (request := await self._request(http, stream)) is not None:
                self.requests.append(request)
                reply = self.script(request)
                if reply is None or not await self._answer(http, stream, request, reply):
                    break
                http.start_next_cycle()
        except (OSError, trio.BrokenResourceError, h11.ProtocolError):
            pass
        await stream.aclose()

    async def _request(self, http: h11.Connection, stream: trio.SocketStream) -> Request | None:
        head, body = None, b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some(1 << 20))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                parts = urlsplit(head.target.decode())
                query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                headers = {name.decode(): value.decode() for name, value in head.headers}
                return Request(head.method.decode(), unquote(parts.path).partition("/bucket/")[2], query, headers, body)
            else:
                return None

    async def _answer(self, http, stream, request: Request, reply: Reply) -> bool:
        headers = {"Content-Length": str(len(reply.body))} | reply.headers
        await stream.send_all(http.send(h11.Response(status_code=reply.status, headers=list(headers.items()))))
        if request.method != "HEAD":
            await stream.send_all(http.send(h11.Data(data=reply.body))[: reply.cut])
        if reply.cut is not None:
            return False
        await stream.send_all(http.send(h11.EndOfMessage()))
        return True


@asynccontextmanager
async def scripted(script: Script, prefix: str = "", **options) -> AsyncIterator[tuple[S3Storage, Server]]:
    """Run a server that plays *script*, and open a bucket on it."""
    async with trio.open_nursery() as nursery:
        server = Server(script)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        url = f"s3://bucket{prefix}?endpoint=http://127.0.0.1:{server.port}"
        given = {"access_key": "AKIA", "secret_key": "geheim", "region": "us-east-1", "patience": HASTY}
        async with open_storage(url, **(given | options)) as storage:
            yield storage, server
        nursery.cancel_scope.cancel()


def xml(root: str, inner: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'.encode()


def error(status: int, code: str, **headers: str) -> Reply:
    inner = f"<Code>{code}</Code><Message>because of {code}</Message>"
    return Reply(status, xml("Error", inner), {name.replace("_", "-"): value for name, value in headers.items()})


def in_turn(*replies: Reply | None) -> Script:
    """One reply after the other; the last one again and again."""
    left = list(replies)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]

"""One request to the object service and its answer, over ASGI: bodies as they come, within bounds; errors as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Self, cast

import attrs

from sessionctx.serve import asgi
from sessionctx.serve.asgi import Receive, Scope, Send
from sessionctx.serve.objects.call import Problem

MOST_JSON: Final = 1024 * 1024
"""Bytes of a body that is read whole."""


@attrs.define(eq=False)
class Exchange:
    """One request and its answer."""

    scope: Scope
    receive: Receive
    send: Send
    begun: bool = attrs.field(default=False, init=False)
    """Whether the head of the answer has gone out."""

    def body(self, most: int) -> Incoming:
        """Return the body as it comes; `Problem` 413 once it has more than *most* bytes."""
        return Incoming(self.receive, most)

    async def whole(self, most: int = MOST_JSON) -> bytes:
        """Return the body. `Problem` 413."""
        return b"".join([piece async for piece in self.body(most)])

    async def fields(self) -> dict[str, Any]:
        """Return the JSON object that the body is. `Problem` 413 or 422."""
        try:
            read: object = json.loads(await self.whole())
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise Problem(422, "the body is to be a JSON object")
        return cast("dict[str, Any]", read)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head; the body comes next."""
        self.begun = True
        await asgi.start(self.send, status, asgi.fields(headers))

    async def piece(self, data: bytes) -> None:
        """Send a piece of the body, and more will follow."""
        await asgi.body(self.send, data, more=True)

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece; an answer to HEAD has none."""
        await asgi.body(self.send, b"" if self.scope["method"] == "HEAD" else data)

    async def say(self, status: int, fields: Mapping[str, object] | None = None, **headers: str) -> None:
        """Answer with a JSON object, or with nothing but the *status*."""
        data = b"" if fields is None else json.dumps(fields).encode()
        about = {name.replace("_", "-"): value for name, value in headers.items()}
        if fields is not None:
            about["Content-Type"] = "application/json"
        if status != 204:
            about["Content-Length"] = str(len(data))
        await self.start(status, about)
        await self.end(data)

    async def refuse(self, problem: Problem) -> None:
        """Answer with what is wrong."""
        await self.say(problem.status, {"detail": problem.detail, "causes": []}, **problem.headers)


class Gone(Exception):
    """The client went away in the middle of its request."""


class Incoming:
    """The body of a request: an async iterator of its pieces."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most
        self._most = most
        self._more = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            self._more = bool(message.get("more_body", False))
            data = cast("bytes", message.get("body", b""))
            self._left -= len(data)
            if self._left < 0:
                raise Problem(413, f"the body has more than {self._most} bytes")
            if data:
                return data
        raise StopAsyncIteration

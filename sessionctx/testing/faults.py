"""Gateways that misbehave on request: small wrappers around any ASGI app.

::

    app = faults.slow(serve.gateway(store), rate=3 * 1024 * 1024)
    url = await nursery.start(serve.run, faults.failing(app, every=3))

Each wrapper is an ASGI app again, so they nest. They wait with trio's clock, so a `trio.testing.MockClock` rules them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TypeAlias, cast

import trio

Scope: TypeAlias = MutableMapping[str, object]
Message: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Wrapper: TypeAlias = Callable[[App], App]

__all__ = ["App", "Wrapper", "busy", "failing", "lying", "parse", "slow", "stalling", "truncating"]


def slow(app: App, *, rate: float) -> App:
    """Send at most *rate* bytes per second, over all connections together."""
    free_at = -math.inf
    piece = max(1, min(64 * 1024, int(rate / 20)))

    async def pace(send: Send, message: Message) -> None:
        nonlocal free_at
        body = _body(message)
        for at in range(0, len(body), piece):
            part = body[at : at + piece]
            free_at = max(trio.current_time(), free_at) + len(part) / rate
            await trio.sleep_until(free_at)
            await send({**message, "body": part, "more_body": True})
        await send({**message, "body": b""})

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def paced(message: Message) -> None:
            await (pace(send, message) if _body(message) else send(message))

        await app(scope, receive, paced)

    return run


def failing(app: App, *, every: int = 3, status: int = 500) -> App:
    """Answer every *every*-th request with *status* and no more."""
    return _refusing(app, every, status, [])


def busy(app: App, *, retry_after: float | str | None = 1, every: int = 1) -> App:
    """Ask every *every*-th request to come back later: status 429, with *retry_after* seconds (or a date, as text)."""
    headers = [] if retry_after is None else [(b"retry-after", str(retry_after).encode())]
    return _refusing(app, every, 429, headers)


def lying(app: App) -> App:
    """Flip one bit in every body, and add a byte to an empty one; the headers agree with what is sent.

    In a stream, the last byte of each piece is the one that is wrong.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        begun: Message | None = None
        lies = False

        async def lie(message: Message) -> None:
            nonlocal begun, lies
            if message["type"] == "http.response.start":
                begun = message  # held back until it is known whether the body is empty
                return
            body, last = _body(message), not message.get("more_body", False)
            if begun is not None and (body or last):
                lies = scope["method"] != "HEAD" and begun["status"] in (200, 206)
                await send(_with_length(begun, 1) if lies and not body else begun)
                if lies and not body:
                    message = {**message, "body": b"\x00"}
                begun = None
            if lies and body:
                message = {**message, "body": body[:-1] + bytes([body[-1] ^ 1])}
            if begun is None:
                await send(message)

        await app(scope, receive, lie if scope["type"] == "http" else send)

    return run


def stalling(app: App, *, after: int = 0) -> App:
    """Send *after* bytes of each body and then nothing more, for ever."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, _limited(send, after, trio.sleep_forever))

    return run


def truncating(app: App, *, after: int = 0) -> App:
    """Send *after* bytes of each body and close the connection."""

    async def cut() -> None:
        await trio.lowlevel.checkpoint()
        raise ConnectionAbortedError(f"this gateway closes its connections after {after} bytes, as it was asked to")

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, _limited(send, after, cut))

    return run


def parse(spec: str) -> Wrapper:
    """The wrapper that a short text names, for command lines.

    ``slow:3MiB`` (bytes per second), ``fail:3`` (every third), ``busy:2`` (every second), ``lie``, ``stall:65536`` and
    ``truncate:1000`` (after so many bytes).

    Raises:
        ValueError: the text names none.
    """
    name, _, argument = spec.partition(":")
    if name == "lie" and not argument:
        return lying
    amount = _amount(argument)
    wrappers: dict[str, Wrapper] = {
        "slow": lambda app: slow(app, rate=amount),
        "fail": lambda app: failing(app, every=amount),
        "busy": lambda app: busy(app, every=amount),
        "stall": lambda app: stalling(app, after=amount),
        "truncate": lambda app: truncating(app, after=amount),
    }
    if name not in wrappers or amount < (0 if name in ("stall", "truncate") else 1):
        raise ValueError(
            f"{spec!r} is no fault; known are slow:RATE, fail:N, busy:N, stall:BYTES, truncate:BYTES and lie"
        )
    return wrappers[name]


def _amount(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15})(|KiB|MiB|GiB)", text, re.ASCII)
    if match is None:
        return -1
    return int(match[1]) << {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}[match[2]]


def _body(message: Message) -> bytes:
    return cast("bytes", message.get("body", b""))


def _with_length(begun: Message, length: int) -> Message:
    headers = cast("list[tuple[bytes, bytes]]", begun.get("headers", []))
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return {**begun, "headers": [*others, (b"content-length", str(length).encode())]}


def _limited(send: Send, after: int, then: Callable[[], Awaitable[None]]) -> Send:
    """A `send` that passes on *after* bytes of the body, and at the next one does *then* instead."""
    left = after

    async def limited(message: Message) -> None:
        nonlocal left
        body = _body(message)
        if len(body) <= left:
            left -= len(body)
            await send(message)
            return
        await send({**message, "body": body[:left], "more_body": True})
        left = 0
        await then()

    return limited


def _refusing(app: App, every: int, status: int, headers: list[tuple[bytes, bytes]]) -> App:
    text = b"out of order, as it was asked to be\n"
    about = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode()), *headers]
    count = 0

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal count
        count += scope["type"] == "http"
        if scope["type"] != "http" or count % every:
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": about})
        await send({"type": "http.response.body", "body": text, "more_body": False})

    return run

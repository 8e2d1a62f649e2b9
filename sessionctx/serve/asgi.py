"""The ASGI interface in our types, and the few things that every app of ours says through it.

Source: the ASGI specification 3.0, https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Final, TypeAlias, cast

Scope: TypeAlias = MutableMapping[str, object]
Message: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

CANCELS: Final = "sessionctx.cancels"
"""Among the extensions of a scope: the server cancels an app whose client went away, unless it waits to be told."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case; repeated ones are joined with a comma (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def fields(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """*headers* as a response has them."""
    return [(_name(name), value.encode("latin-1")) for name, value in headers.items()]


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    return name.lower().encode("latin-1")


async def start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """Send the status line and *headers*; the body comes next."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def body(send: Send, data: bytes = b"", *, more: bool = False) -> None:
    """Send a piece of the body; without *more* it is the last one."""
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def lifespan(receive: Receive, send: Send) -> None:
    """Say yes to a server's start-up and shut-down, which mean nothing to us."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return

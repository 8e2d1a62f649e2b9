"""What the tests of the gateway share: stores with something in them, and a way to ask an app without a network."""

from __future__ import annotations

import attrs
import pytest
import trio


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    pieces: list[bytes]
    whole: bool
    error: Exception | None


def scope_of(target: str, method: str = "GET", **headers: str):
    """The ASGI scope of a request; header names are written with underscores."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


async def ask(app, target, method="GET", *, receive=trio.sleep_forever, **headers) -> Answer:
    """Send a request to an ASGI app, and read all of its answer."""
    sent = []
    error = None

    async def send(message):
        await trio.lowlevel.checkpoint()
        sent.append(message)

    try:
        await app(scope_of(target, method, **headers), receive, send)
    except Exception as raised:
        error = raised
    starts = [message for message in sent if message["type"] == "http.response.start"]
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert len(starts) <= 1
    assert sent[:1] == starts
    assert all(message["more_body"] for message in bodies[:-1]), "a body goes on after its last piece"
    begun = starts[0] if starts else {"status": 0, "headers": []}
    assert all(name == name.lower() for name, _ in begun["headers"])
    return Answer(
        status=begun["status"],
        headers={name.decode(): value.decode() for name, value in begun["headers"]},
        body=b"".join(message["body"] for message in bodies),
        pieces=[message["body"] for message in bodies if message["body"]],
        whole=bool(bodies) and not bodies[-1]["more_body"],
        error=error,
    )


@pytest.fixture(name="ask")
def _ask():
    return ask


@pytest.fixture(name="scope_of")
def _scope_of():
    return scope_of

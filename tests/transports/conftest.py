"""A peer that plays a script on a real socket, so that a test can say byte by byte what the other side does."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
import trustme

Play = Callable[[trio.abc.Stream, bytes], Awaitable[None]]


def reply(
    body: bytes = b"", *, status: str = "200 OK", kind: str | None = "application/vnd.ipld.raw", **more: str
) -> bytes:
    """Return a whole answer; underscores in the names of *more* headers stand for hyphens."""
    headers = {"Content-Length": str(len(body)), **({"Content-Type": kind} if kind else {})}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


@attrs.define(eq=False)
class ScriptedPeer:
    """A listening peer: what it was sent, and how its connections fared."""

    port: int
    scheme: str = "http"
    requests: list[bytes] = attrs.field(factory=list)
    opened: int = 0
    closed: int = 0
    _changed: trio.Condition = attrs.field(factory=trio.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds; checked whenever something happens to a connection."""
        with trio.fail_after(5):
            async with self._changed:
                while not condition():
                    await self._changed.wait()

    async def changed(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def serve(self, stream: trio.abc.Stream, play: Play) -> None:
        """Play the script for each request on one connection, until the other side has closed it."""
        self.opened += 1
        await self.changed()
        try:
            head = b""
            while chunk := await stream.receive_some():
                head += chunk
                if head.endswith(b"\r\n\r\n"):
                    self.requests.append(head)
                    await self.changed()
                    await play(stream, head)
                    head = b""
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.closed += 1
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
                await self.changed()


def says(*parts: bytes, pause: float = 0, close: bool = False) -> Play:
    """Script: send *parts*, *pause* seconds apart, then *close* or wait for the next request."""

    async def play(stream: trio.abc.Stream, head: bytes) -> None:
        for part in parts:
            await stream.send_all(part)
            await trio.sleep(pause)
        if close:
            await stream.aclose()

    return play


def for_ever(start: bytes, part: bytes, *, pause: float = 0) -> Play:
    """Script: send *start*, then *part* again and again."""

    async def play(stream: trio.abc.Stream, head: bytes) -> None:
        await stream.send_all(start)
        while True:
            await stream.send_all(part)
            await trio.sleep(pause)

    return play


async def silence(stream: trio.abc.Stream, head: bytes) -> None:
    """Script: take the request and say nothing."""


@attrs.define(eq=False)
class Peers:
    """Starts peers: ``await peer(script)``; and the words that scripts are made of."""

    nursery: trio.Nursery
    reply = staticmethod(reply)
    says = staticmethod(says)
    for_ever = staticmethod(for_ever)
    silence = staticmethod(silence)

    async def __call__(self, play: Play = silence, *, tls: ssl.SSLContext | None = None) -> ScriptedPeer:
        async def handle(stream: trio.abc.Stream) -> None:
            spoken = trio.SSLStream(stream, tls, server_side=True, https_compatible=True) if tls else stream
            await scripted.serve(spoken, play)

        scripted = ScriptedPeer(await self.listen(handle), "https" if tls else "http")
        return scripted

    async def listen(self, handle: Callable[[trio.SocketStream], Awaitable[None]]) -> int:
        """Serve each connection with *handle*; return the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.nursery.start_soon(trio.serve_listeners, handle, listeners)
        return listeners[0].socket.getsockname()[1]


@pytest.fixture
async def peer(nursery: trio.Nursery) -> Peers:
    """Peers that play a script."""
    return Peers(nursery)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority of our own, which nobody else trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a peer, under our authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for us, trusting our authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context

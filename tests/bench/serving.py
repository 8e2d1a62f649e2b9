"""The process behind `gateways`: our own gateway app, over a small HTTP server that has a line rate and a distance.

One token bucket paces all connections of a gateway. It lets 10 ms worth of bytes through at once, no more, and send
buffers are small, so that an answer which is broken off takes next to nothing of the line. A request waits one round trip
for its answer, the first on a connection one more: that of setting it up.

No general server: it serves GET without a body, and trusts its clients.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import socket
import sys
from functools import partial
from pathlib import Path

import attrs
import trio

from sessionctx import serve
from sessionctx.testing import faults
from tests.bench.gateways import Gateway
from tests.bench.prepared import MIB, CarBlocks

BURST = 0.01  # seconds of the line rate
KIB = 1024


@attrs.define(eq=False)
class Bucket:
    """Lets *rate* bytes a second through; None is no bound."""

    rate: float | None
    piece: int = MIB
    _free_at: float = -math.inf

    def __attrs_post_init__(self):
        if self.rate is not None:
            self.piece = min(max(int(self.rate / 500), 4 * KIB), 64 * KIB)

    async def take(self, amount):
        if self.rate is not None:
            self._free_at = max(self._free_at, trio.current_time() - BURST) + amount / self.rate
            await trio.sleep_until(self._free_at)


@attrs.define(eq=False)
class Connection:
    """One client's connection: request after request, through an ASGI app."""

    _socket: trio.socket.SocketType
    _app: faults.App
    _bucket: Bucket
    _latency: float
    _head: bytes = b""
    """Of the answer, until it is sent."""
    _chunked: bool = False
    _whole: bool = False

    async def run(self):
        with self._socket:
            try:
                wait = 2 * self._latency
                while (head := await self._request()) is not None:
                    await trio.sleep(wait)
                    wait = self._latency
                    self._whole = False
                    await self._app(_scope(head), self._receive, self._send)
                    if not self._whole:
                        return
            except OSError:
                pass  # the client went away

    async def _request(self):
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            received = await self._socket.recv(64 * KIB)
            if not received:
                return None
            asked += received
        return asked

    async def _receive(self):
        """Return when the client is gone; it has nothing more to say while it waits for its answer."""
        await trio.lowlevel.wait_readable(self._socket.fileno())
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message["headers"]]
            self._chunked = "content-length" not in (name.decode() for name, _ in headers)
            headers += [(b"transfer-encoding", b"chunked")] * self._chunked
            lines = [b"HTTP/1.1 %d -" % message["status"], *(b"%s: %s" % pair for pair in headers), b"", b""]
            self._head = b"\r\n".join(lines)
            return
        body = message.get("body", b"")
        ends = not message.get("more_body", False)
        before, self._head = self._head, b""
        after = b""
        if self._chunked:
            before += b"%x\r\n" % len(body) if body else b""
            after = (b"\r\n" if body else b"") + (b"0\r\n\r\n" if ends else b"")
        await self._write([before, body, after] if len(body) > 64 * KIB else [before + body + after])
        self._whole = ends

    async def _write(self, parts):
        for part in parts:
            view = memoryview(part)
            while view:
                piece = view[: self._bucket.piece]
                await self._bucket.take(len(piece))
                view = view[len(piece) :]
                while piece:
                    piece = piece[await self._socket.send(piece) :]


def _scope(head):
    line, *fields = head[:-4].split(b"\r\n")
    method, target, _ = line.split(b" ")
    path, _, query = target.partition(b"?")
    headers = [tuple(part.strip() for part in field.split(b":", 1)) for field in fields]
    scope = {"type": "http", "method": method.decode(), "path": path.decode(), "raw_path": path}
    return scope | {"query_string": query, "headers": [(name.lower(), value) for name, value in headers]}


# --- what is wrong with a gateway, besides what `sessionctx.testing.faults` has


SEEDS = itertools.count(20)


def late(app, *, share, seconds):
    """Answer some requests late; which ones is always the same for the n-th gateway, and differs between them."""
    dice = random.Random(next(SEEDS))

    async def run(scope, receive, send):
        if dice.random() < share:
            await trio.sleep(seconds)
        await app(scope, receive, send)

    return run


def busy_at_first(app, *, seconds):
    """Answer 429 until so many seconds have passed since the first request."""
    until = None

    async def run(scope, receive, send):
        nonlocal until
        now = trio.current_time()
        until = until or now + seconds
        chosen = faults.busy(app, retry_after=math.ceil(until - now)) if now < until else app
        await chosen(scope, receive, send)

    return run


def silent(app, *, after):
    """Send so many bytes of bodies in all, and then nothing any more to anybody."""
    left = after

    async def run(scope, receive, send):
        async def counted(message):
            nonlocal left
            body = message.get("body", b"")
            if len(body) > left:
                await send({**message, "body": body[:left], "more_body": True})
                left = 0
                await trio.sleep_forever()
            left -= len(body)
            await send(message)

        if left <= 0:
            await trio.sleep_forever()
        await app(scope, receive, counted)

    return run


FAULTS = {
    "": lambda app: app,
    "fails": partial(faults.failing, every=20),
    "stalls": partial(faults.stalling, after=100 * KIB),
    "silent": partial(silent, after=100 * KIB),
    "lies": faults.lying,
    "busy": partial(busy_at_first, seconds=2),
    "late": partial(late, share=0.05, seconds=1),
}


def whole_car(app, root, store):
    """Send the prepared CAR as it is to whoever asks for all of it: as fast as a file server would."""
    headers = [
        (b"content-type", b"application/vnd.ipld.car; version=1; order=dfs; dups=n"),
        (b"content-length", b"%d" % store.end),
    ]

    async def run(scope, receive, send):
        words = scope["query_string"].decode().split("&")
        narrowed = [word for word in words if word.startswith("entity-bytes") or word in NOT_ALL]
        if scope["path"] != f"/ipfs/{root}" or "format=car" not in words or narrowed:
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, store.end, MIB):
            await send({"type": "http.response.body", "body": store.read(at, MIB), "more_body": at + MIB < store.end})

    return run


NOT_ALL = ("dag-scope=entity", "dag-scope=block", "car-dups=y")


# --- the process


def bound(gateway):
    """A socket on a port of its own: one that listens, one that refuses, or one whose queue is full for ever."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    if gateway.rate is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * KIB)
    if gateway.fault == "black hole":
        sock.listen(0)
        fill(sock.getsockname())
    elif gateway.fault != "refuses":
        sock.listen(256)
    return sock


FILLERS = []


def fill(address):
    """Connect until nobody can any more: nobody accepts."""
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(address)
        FILLERS.append(filler)


async def accepting(gateway, sock, app):
    listener = trio.socket.from_stdlib_socket(sock)
    bucket = Bucket(gateway.rate)
    sock.setblocking(False)
    async with trio.open_nursery() as nursery:
        while True:
            accepted, _ = await listener.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            nursery.start_soon(Connection(accepted, app, bucket, gateway.latency).run)


async def main(path, root, gateways):
    store = CarBlocks(path)
    sockets = [bound(gateway) for gateway in gateways]
    async with trio.open_nursery() as nursery:
        for gateway, sock in zip(gateways, sockets, strict=True):
            if gateway.fault not in ("refuses", "black hole"):
                app = serve.gateway(store)
                if root and not gateway.fault:
                    app = whole_car(app, root, store)
                nursery.start_soon(accepting, gateway, sock, FAULTS[gateway.fault](app))
        print(*(f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in sockets), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    path, root, specs = sys.argv[1:]
    trio.run(main, Path(path), root, [Gateway(**spec) for spec in json.loads(specs)])

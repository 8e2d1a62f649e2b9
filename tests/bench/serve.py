"""How fast the store is served by ``sessionctx serve``, beside nginx that serves the same bytes as files, if it is there.

The load comes from this process, through keep-alive sockets of its own, one request in flight on each. It does as little
as it can, about 10 microseconds a request, so that what is measured is the server; nothing is verified.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import attrs
import trio

from tests.bench.harness import Row, bench
from tests.bench.nginx import INSTALLED, Address, nginx

KIB, MIB, MB = 1024, 1 << 20, 1e6
CONNECTIONS, ROUNDS = 8, 3
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


# --- load


def request(target: str, *, last: bool = False) -> bytes:
    close = "Connection: close\r\n" if last else ""
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{close}\r\n".encode()


@attrs.define(eq=False)
class Client:
    """A connection that asks for one thing again and again."""

    sock: socket.socket
    asked: bytes
    into: memoryview
    left: int = 0
    """Bytes of the answer that are to come."""

    def ask(self) -> None:
        self.sock.sendall(self.asked)

    def read(self) -> bool:
        """Take what has come; true when the answer is complete."""
        count = self.sock.recv_into(self.into)
        if not self.left:
            head, end, _ = bytes(self.into[: min(count, 4 * KIB)]).partition(b"\r\n\r\n")
            if not (end and head.startswith(b"HTTP/1.1 200")):
                raise RuntimeError(f"the server answered {head[:200]!r}")
            self.left = len(head) + 4 + int(_LENGTH.search(head)[1])
        self.left -= count
        if not count or self.left < 0:
            raise RuntimeError("the server broke off, or sent too much")
        return not self.left


def requests_per_second(address: Address, target: str, seconds: float) -> float:
    into = memoryview(bytearray(MIB))
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(CONNECTIONS):
            sock = stack.enter_context(socket.create_connection(address))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(sock, request(target), into)
            selector.register(sock, selectors.EVENT_READ, client)
            client.ask()
        done, begun = 0, perf_counter()
        while (spent := perf_counter() - begun) < seconds:
            for key, _ in selector.select(10):
                if key.data.read():
                    done += 1
                    key.data.ask()
        return done / spent


def bytes_per_second(address: Address, target: str, size: int) -> float:
    """Read one answer to its end, which is no shorter than *size* bytes."""
    into, total, begun = bytearray(MIB), 0, perf_counter()
    with socket.create_connection(address) as sock:
        sock.sendall(request(target, last=True))
        while count := sock.recv_into(into):
            total += count
    if total < size:
        raise RuntimeError(f"{total} bytes came of {size}")
    return total / (perf_counter() - begun)


# --- servers


@contextmanager
def ours(store: Path, *options: str) -> Iterator[Address]:
    verb = ["serve", "--store", str(store), "--trustless", "--while-stdin-is-open", *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-m", "sessionctx", *verb], **pipes) as process:
        try:
            yield "127.0.0.1", int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


# --- the bench


@attrs.frozen
class Content:
    """What is served: two raw blocks by their size, and a file as a CAR."""

    blocks: dict[int, str]
    car: str
    size: int


def prepare(folder: Path, size: int) -> Content:
    from sessionctx.blocks import DiskBlockstore
    from sessionctx.content import Block
    from sessionctx.dag import Files

    file = folder / "file"
    with file.open("wb") as to:
        for at in range(0, size, MIB):
            to.write(os.urandom(min(MIB, size - at)))

    async def fill() -> Content:
        async with DiskBlockstore.open(folder / "store" / "blocks.sqlite3") as store:
            blocks = [Block.of(os.urandom(count)) for count in (KIB, 256 * KIB)]
            await store.put_many(blocks)
            added = await Files(store).add(str(file))
            for block in blocks:
                (folder / str(len(block.data))).write_bytes(block.data)
            return Content({len(block.data): str(block.cid) for block in blocks}, str(added.cid), size)

    (folder / "store").mkdir()
    return trio.run(fill)


def measured(what: str, unit: str, figures: dict[str, list[float]]) -> Iterator[Row]:
    """Give a row for each server, and one for the ratio of each to nginx."""
    best = {name: max(rates) for name, rates in figures.items()}
    for name, rates in figures.items():
        yield Row(f"{what}: {name}", best[name], unit, spread=1 - statistics.median(rates) / best[name])
    for name in [name for name in best if name != "nginx" and "nginx" in best]:
        yield Row(f"{what}: {name} / nginx", best[name] / best["nginx"], "x")


@bench("serve")
def serve(quick: bool) -> Iterator[Row]:
    """The servers take turns, so that the noise of the machine is the same for all."""
    rounds, seconds, size = (1, 0.05, MIB) if quick else (ROUNDS, 2.0, 1 << 30)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        content = prepare(folder, size)
        servers = {
            "ours": stack.enter_context(ours(folder / "store")),
            "2 workers": stack.enter_context(ours(folder / "store", "--workers", "2")),
        }
        if INSTALLED:
            servers["nginx"] = stack.enter_context(nginx(folder))
        else:
            sys.stderr.write("nginx is not installed, so there is nothing to compare with\n")
        for count, cid in content.blocks.items():
            targets = dict.fromkeys(servers, f"/ipfs/{cid}?format=raw") | {"nginx": f"/{count}"}
            rates: dict[str, list[float]] = {server: [] for server in servers}
            for server in [*servers] * rounds:
                rates[server].append(requests_per_second(servers[server], targets[server], seconds))
            yield from measured(f"raw block of {count // KIB} KiB, {CONNECTIONS} connections", "req/s", rates)
        targets = dict.fromkeys(servers, f"/ipfs/{content.car}?format=car") | {"nginx": "/file"}
        rates = {server: [] for server in servers}
        for server in [*servers] * rounds:
            rates[server].append(bytes_per_second(servers[server], targets[server], size) / MB)
        yield from measured(f"CAR of {size // MIB} MiB", "MB/s", rates)

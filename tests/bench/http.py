"""What a block costs on its way through the door: CPU of the client, against httpx over the same sockets.

The peers are four ports of a small server in a process of its own; each block is verified. Wall time would measure the
server and the neighbours, too, so the figure is CPU time per block, and the promise a ratio within one run.
"""

from __future__ import annotations

import resource
import ssl
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

from tests.bench.harness import Row, bench

PEERS, ROUNDS, BLOCKS = 4, 5, 600
SERVER = """
import asyncio, ssl, sys

tls = None
if sys.argv[1]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1])
bodies = {path.encode(): bytes(int(size)) for path, size in zip(sys.argv[2::2], sys.argv[3::2])}
head = "HTTP/1.1 200 OK\\r\\nContent-Type: application/vnd.ipld.raw\\r\\nContent-Length: %d\\r\\nServer: bench\\r\\n\\r\\n"
answers = {path: (head % len(body)).encode() + body for path, body in bodies.items()}

class Peer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.asked = transport, b""
    def data_received(self, data):
        self.asked += data
        while b"\\r\\n\\r\\n" in self.asked:
            asked, _, self.asked = self.asked.partition(b"\\r\\n\\r\\n")
            self.transport.write(answers[asked.split(b" ", 2)[1].partition(b"?")[0]])

async def main():
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Peer, "127.0.0.1", 0, ssl=tls) for _ in range(4)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""

Ask = Callable[[int], Awaitable[None]]


@contextmanager
def peers(cids, certificate: str = "") -> Iterator[list[str]]:
    """Start the server, with TLS if there is a *certificate* in a file; give the URLs of the peers."""
    arguments = [word for size, cid in cids.items() for word in (f"/ipfs/{cid}", str(size))]
    command = [sys.executable, "-c", SERVER, certificate, *arguments]
    scheme = "https" if certificate else "http"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield [f"{scheme}://127.0.0.1:{port}" for port in server.stdout.readline().split()]
        server.stdin.close()


async def cost(ask: Ask, blocks: int, in_flight: int) -> float:
    """Return the CPU microseconds of one block, of so many, so many at once."""
    numbers = iter(range(blocks))

    async def work() -> None:
        for number in numbers:
            await ask(number)

    before = cpu()
    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(work)
    return (cpu() - before) / blocks * 1e6


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def compare(
    urls: list[str], cid, in_flight: int, quick: bool, *, tls: ssl.SSLContext | None = None, blocks: int = BLOCKS
) -> dict[str, list[float]]:
    """Return what a block costs through each client, round by round, in turns."""
    import httpx

    from sessionctx.content import verify
    from sessionctx.transports import HTTP, GatewayTransport, HttpxTransport

    async def ours(number: int) -> None:
        verify(cid, await gateways[number % PEERS].block(cid))

    def through(client: httpx.AsyncClient) -> Ask:
        async def ask(number: int) -> None:
            verify(cid, (await client.get(f"{urls[number % PEERS]}/ipfs/{cid}?format=raw", headers=headers)).content)

        return ask

    gateways = [GatewayTransport(url, http=HTTP(connections=32, tls=tls)) for url in urls]
    headers = {"Accept": "application/vnd.ipld.raw", "Accept-Encoding": "identity"}
    async with (
        httpx.AsyncClient(trust_env=False, verify=tls or False, limits=httpx.Limits()) as plain,
        httpx.AsyncClient(transport=HttpxTransport(connections=32, tls=tls), trust_env=False) as pooled,
    ):
        clients = {"the door": ours, "httpx": through(plain), "httpx over our pool": through(pooled)}
        return await in_turns(clients, in_flight, quick, blocks)


async def in_turns(clients: dict[str, Ask], in_flight: int, quick: bool, blocks: int) -> dict[str, list[float]]:
    costs: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(1 if quick else ROUNDS):
        for name, ask in clients.items():
            await cost(ask, in_flight, in_flight)  # warm up: connections are kept
            costs[name].append(await cost(ask, 8 if quick else blocks, in_flight))
    return costs


def shown(what: str, costs: dict[str, list[float]], one: str, other: str, limit: float | None) -> Iterator[Row]:
    """Give a row for each client, and one for the ratio of two of them: the median over the rounds."""
    for name, figures in costs.items():
        spread = statistics.median(figures) / min(figures) - 1
        yield Row(f"{what}: {name}", figure=min(figures), unit="us", spread=spread)
    ratios = [ours / theirs for ours, theirs in zip(costs[one], costs[other], strict=True)]
    ratio = statistics.median(ratios)
    yield Row(f"{what}: {one} / {other}", figure=ratio, unit="x", limit=limit, spread=max(ratios) / ratio - 1)


@bench("http.block")
def block(quick):
    from sessionctx.content import CID

    cids = {size: CID.of(bytes(size)) for size in (1024, 256 * 1024)}
    with peers(cids) as urls:
        for size, cid in cids.items():
            for in_flight in (16,) if quick else (8, 16, 32):
                what = f"{size // 1024} KiB block, {in_flight} in flight"
                costs = trio.run(compare, urls, cid, in_flight, quick)
                limit = 1 / 3 if in_flight >= 16 else None
                yield from shown(what, costs, "the door", "httpx", limit)

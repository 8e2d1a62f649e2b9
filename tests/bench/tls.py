"""What TLS costs: a bare body through our own, through trio's and through a blocking socket, and verified blocks.

The bare ones speak as little HTTP as there can be, on a connection of their own each, so that they differ in TLS alone.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import trio

from tests.bench.harness import bench
from tests.bench.http import compare, in_turns, peers, shown

SIZE, BLOCKS, READ = 1 << 20, 200, 256 * 1024

Send = Callable[[bytes], Awaitable[object]]
Receive = Callable[[int], Awaitable[bytes]]


def contexts(folder: str) -> tuple[str, ssl.SSLContext]:
    """Return the file of a server's certificate, and whom its clients trust."""
    import trustme

    authority, client = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    path = Path(folder, "certificate.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path), client


async def body(send: Send, receive: Receive, request: bytes) -> None:
    """Ask for one body and read it, whole."""
    await send(request)
    chunks = [await receive(READ)]
    left = SIZE + chunks[0].index(b"\r\n\r\n") + 4 - len(chunks[0])
    while left:
        chunks.append(await receive(READ))
        left -= len(chunks[-1])
    assert len(b"".join(chunks)) > SIZE


async def bare(url: str, path: str, tls: ssl.SSLContext, quick: bool) -> dict[str, list[float]]:
    """Return what a body costs, round by round, in turns."""
    from sessionctx.transports.http.tls import TLS

    host, port = (where := urlsplit(url)).hostname, where.port
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with (
        (await trio.open_tcp_stream(host, port)).socket as one,
        (await trio.open_tcp_stream(host, port)).socket as other,
        tls.wrap_socket(socket.create_connection((host, port)), server_hostname=host) as blocking,
    ):
        ours = await TLS.handshake(trio.SocketStream(one), tls, host)
        theirs = trio.SSLStream(trio.SocketStream(other), tls, server_hostname=host, https_compatible=True)

        async def sendall(data: bytes) -> None:
            blocking.sendall(data)

        async def recv(most: int) -> bytes:
            return blocking.recv(most)

        ways = {
            "our TLS": (ours.send_all, ours.recv),
            "trio.SSLStream": (theirs.send_all, theirs.receive_some),
            "blocking socket": (sendall, recv),
        }
        clients = {name: partial(_numbered, *way, request) for name, way in ways.items()}
        return await in_turns(clients, 1, quick, BLOCKS)


async def _numbered(send: Send, receive: Receive, request: bytes, _number: int) -> None:
    await body(send, receive, request)


@bench("http.tls")
def tls(quick):
    from sessionctx.content import CID

    cid = CID.of(bytes(SIZE))
    with tempfile.TemporaryDirectory() as folder:
        certificate, trusted = contexts(folder)
        with peers({SIZE: cid}, certificate) as urls:
            costs = trio.run(bare, urls[0], f"/ipfs/{cid}", trusted, quick)
            yield from shown("1 MiB over TLS, bare", costs, "our TLS", "trio.SSLStream", 1 / 1.3)
            ask = partial(compare, tls=trusted, blocks=BLOCKS)
            costs = trio.run(ask, urls, cid, 16, quick)
            yield from shown("1 MiB block over TLS, 16 in flight", costs, "the door", "httpx", None)

"""What the tests of the gateway share: stores with something in them, and a way to ask an app without a network."""

from __future__ import annotations

import attrs
import pytest
import trio

from sessionctx import Node
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID
from sessionctx.dag import V1_2025
from sessionctx.errors import BlockNotFound


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


def about(answer: Answer) -> dict[str, str]:
    """The headers that belong to this answer: those for scripts are in each."""
    return {name: value for name, value in answer.headers.items() if not name.startswith("access-control-")}


@pytest.fixture(name="ask")
def _ask():
    return ask


@pytest.fixture(name="scope_of")
def _scope_of():
    return scope_of


SMALL = attrs.evolve(V1_2025, chunk_size=256)
"""The default profile with chunks of 256 bytes, so that small files have many blocks."""


class Counting(MemoryBlockstore):
    """Counts reads, and can lose blocks."""

    def __init__(self):
        super().__init__()
        self.read = []
        self.lost = set()

    async def get(self, cid):
        await trio.lowlevel.checkpoint()
        self.read.append(cid)
        if cid in self.lost:
            raise BlockNotFound(f"{cid} was lost")
        return await super().get(cid)


@attrs.frozen
class Tree:
    """``/sub/hello.txt``, ``/sub/multi.txt`` (4 x 256 + 2 bytes), ``/sub/copy.txt`` (the same), and their blocks."""

    store: Counting
    root: CID
    sub: CID
    hello: CID
    multi: CID
    leaves: list[CID]


@pytest.fixture
async def tree(tmp_path):
    sub = tmp_path / "dir" / "sub"
    sub.mkdir(parents=True)
    sub.joinpath("hello.txt").write_bytes(b"hello")
    for name in ("multi.txt", "copy.txt"):
        sub.joinpath(name).write_bytes(b"".join(bytes([n]) * 256 for n in range(4)) + b"ab")
    node = Node.over(Counting())
    root = (await node.files.add(tmp_path / "dir", profile=SMALL)).cid
    found = {path: (await node.dag.resolve(f"{root}/{path}")).cid for path in ("sub", "sub/hello.txt", "sub/multi.txt")}
    file = await node.store.get(found["sub/multi.txt"])
    node.store.read.clear()
    return Tree(node.store, root, found["sub"], found["sub/hello.txt"], file.cid, file.links())

"""A folder over real sockets: our own gateway, CARs and blocks, and what is on the disk in the end."""

from __future__ import annotations

import json
from functools import partial

import pytest
import trio

from sessionctx import Node, serve, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID
from sessionctx.peers import statistics
from sessionctx.testing import faults, samples
from sessionctx.transports import Router

FOLDER = samples.folder(300, 2000, sharded=True)


def counting(app, asked):
    """Note what each request asks for: its format, and the CID."""

    async def run(scope, receive, send):
        accept = dict(scope["headers"]).get(b"accept", b"").decode() + scope["query_string"].decode()
        asked.append(("car" if "car" in accept else "raw", CID.parse(scope["path"].split("/")[2])))
        await app(scope, receive, send)

    return run


WRONG = {
    "": None,
    "stalls": partial(faults.stalling, after=50_000),
    "cuts": partial(faults.truncating, after=50_000),
    "lies": faults.lying,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_folder_is_exported_from_gateways_with_few_requests(tmp_path, wrong):
    """One gateway, or two of which one may stall, cut its answers or lie: what is written is right."""
    store, asked = MemoryBlockstore(), []
    await store.put_many(FOLDER.blocks)
    app = counting(serve.gateway(store), asked)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            apps = [app] if wrong is None else [wrong(app), app]
            urls = [await nursery.start(partial(serve.run, each)) for each in apps]
            node = Node.over(MemoryBlockstore())
            with session.begin(peers=urls) as s:
                await node.files.export(FOLDER.root, tmp_path / "out")
                rows = statistics(s)
            nursery.cancel_scope.cancel()
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == FOLDER.files
    assert any(what == "car" for what, _ in asked)
    if wrong is None:
        assert len(asked) < len(FOLDER.blocks) / 4
        assert rows[0].failed == rows[0].lied == 0


def naming(urls, asked):
    """A router that knows these gateways for every name."""
    places = [url.removeprefix("http://").split(":") for url in urls]
    addrs = [f"/ip4/{host}/tcp/{port}/http" for host, port in places]
    records = [{"Schema": "peer", "ID": f"id{n}", "Addrs": [addr]} for n, addr in enumerate(addrs)]
    body = b"".join(json.dumps(record).encode() + b"\n" for record in records)

    async def run(scope, receive, send):
        asked.append(scope["path"])
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return run


async def test_a_router_is_all_that_one_has_to_know(tmp_path):
    """A real router names two real gateways, of which one lies; nobody else is known."""
    store, questions = MemoryBlockstore(), []
    await store.put_many(FOLDER.blocks)
    app = serve.gateway(store)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            urls = [await nursery.start(partial(serve.run, each)) for each in (app, faults.lying(app))]
            router = await nursery.start(partial(serve.run, naming(urls, questions)))
            node = Node.over(MemoryBlockstore(), routers=[Router(router, allow_private=True)])
            with session.begin() as s:
                await node.files.export(FOLDER.root, tmp_path / "out")
                rows = {row.url: row for row in statistics(s)}
            nursery.cancel_scope.cancel()
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == FOLDER.files
    assert questions
    assert all(question.startswith("/routing/v1/providers/") for question in questions)
    assert rows.keys() == set(urls)
    assert rows[urls[0]].found > 0

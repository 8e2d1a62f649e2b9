"""A folder over real sockets: our own gateway, CARs and blocks, and what is on the disk in the end."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from sessionctx import Node, serve, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID
from sessionctx.peers import statistics
from sessionctx.testing import faults, samples

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

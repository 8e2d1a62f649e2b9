"""Our gateway beside that of boxo, which passes the conformance suite: asked the same, they have to say the same."""

from __future__ import annotations

import functools
import subprocess

import httpx
import pytest
import trio

from sessionctx.content import Block
from tests.interop.compare import told
from tests.interop.differences import unexplained
from tests.interop.requests import PATHS, asked_of

ABSENT = Block.of(b"nobody has this").cid


@pytest.fixture
async def theirs(boxo, published, tmp_path, nursery):
    """The URL of the reference gateway, over the same blocks."""
    node, _ = published
    node.store.write_car(tmp_path / "all.car")
    command = [str(boxo), str(tmp_path / "all.car")]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL  # it logs its panics
    run = functools.partial(trio.run_process, command, stdin=pipe, stdout=pipe, stderr=nothing)
    process = await nursery.start(run)
    return (await process.stdout.receive_some()).decode().strip()


@pytest.mark.parametrize("root", PATHS)
async def test_it_answers_as_the_reference(published, ours, theirs, root):
    _, site = published
    cid = site.roots.get(root, ABSENT)
    wrong = []
    async with httpx.AsyncClient() as client:
        for asked in asked_of(root):
            said = [told(await _ask(client, url, asked, cid)) for url in (ours, theirs)]
            wrong += (
                f"{asked}: {key} {_short(said[0], key)} | {_short(said[1], key)}" for key in unexplained(asked, *said)
            )
    assert not wrong, f"{len(wrong)} answers differ, ours | theirs:\n" + "\n".join(wrong[:40])


async def _ask(client, url, asked, cid):
    try:
        return await client.request(
            asked.method, f"{url}/ipfs/{cid}{asked.path}{asked.query}", headers={"accept": "*/*"} | dict(asked.headers)
        )
    except httpx.RemoteProtocolError:
        return None


def _short(told, key):
    return repr(told.get(key))[:150]

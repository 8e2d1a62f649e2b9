"""Each of our transports keeps the contract of transports."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from sessionctx import serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import MAX_BLOCK
from sessionctx.testing import fates, faults
from sessionctx.testing.inprocess import serving
from sessionctx.testing.network import Network, simulate
from sessionctx.testing.transport import AFTER, TransportContract
from sessionctx.transports import HTTP, Can, GatewayTransport


def silent(_):
    async def run(scope, receive, send):
        await trio.sleep_forever()

    return run


def endless(_):
    async def run(scope, receive, send):
        headers = [(b"content-type", b"application/vnd.ipld.raw")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(2 * MAX_BLOCK // AFTER):
            await send({"type": "http.response.body", "body": bytes(AFTER), "more_body": True})

    return run


APPS = {
    "failing": partial(faults.failing, every=1),
    "busy": faults.busy,
    "silent": silent,
    "stalling": partial(faults.stalling, after=AFTER),
    "cut": partial(faults.truncating, after=AFTER),
    "endless": endless,
}
FATES = {
    "away": fates.refusing(),
    "failing": fates.failing(),
    "busy": fates.busy(retry_after=1),
    "silent": fates.losing(),
    "stalling": fates.stalling(after=AFTER),
    "cut": fates.truncating(after=AFTER),
}


async def app_with(blocks, trouble):
    store = MemoryBlockstore()
    await store.put_many(blocks)
    app = serve.gateway(store)
    return app if trouble is None else APPS[trouble](app)


class TestGatewayInProcess(TransportContract):
    run = staticmethod(simulate)
    secret = "hunter2"

    @asynccontextmanager
    async def peer(self, blocks, trouble=None):
        if trouble == "away":
            pytest.skip("what is in this process is there")
        app = await app_with(blocks, trouble)
        async with serving(app, f"http://user:{self.secret}@gateway.test", latency=0.05) as transport:
            yield transport


class TestGateway(TransportContract):
    """Over sockets, with our own connections."""

    secret = "hunter2"

    @asynccontextmanager
    async def peer(self, blocks, trouble=None):
        http = HTTP(header=0.2, idle=0.2)
        if trouble == "away":
            yield GatewayTransport(f"http://user:{self.secret}@127.0.0.1:1", http=http)
            return
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve.run, await app_with(blocks, trouble))
            yield GatewayTransport(url.replace("//", f"//user:{self.secret}@"), http=http)
            nursery.cancel_scope.cancel()


class TestSimulated(TransportContract):
    run = staticmethod(simulate)

    @asynccontextmanager
    async def peer(self, blocks, trouble=None):
        if trouble == "endless":
            pytest.skip("what it sends are blocks")
        faults = [] if trouble is None else [FATES[trouble]]
        yield Network(blocks).peer("a", blocks, faults=faults, can=Can(car=self.cars))


class TestSimulatedWithoutCars(TestSimulated):
    cars = False


def shown() -> dict[str, object]:
    """What the programs on the page for those who write a transport define."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-transport.md"
    defined: dict[str, object] = {}
    for program in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        exec(program, defined)
    return defined


TestFolder = shown()["TestFolder"]

"""What the tests of shares have in common: other services, in process and on trio's clock, and how to read a blob."""

from __future__ import annotations

import hashlib
import random
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import pytest
import trio

from sessionctx import serve
from sessionctx.serve import asgi
from sessionctx.share import BlobShare
from sessionctx.storage import LocalStorage, MemoryStorage
from sessionctx.testing.inprocess import _AppTransport
from sessionctx.transports import HTTP

DATA = random.Random(5).randbytes(1_000_000)


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def read(reader):
    return b"".join([bytes(piece) async for piece in reader])


async def loaded(share, name, services, **kwargs):
    """Load a blob, and return its bytes."""
    async with share.load(name, services, **kwargs) as reader:
        data = await read(reader)
        assert (reader.blob.size, reader.blob.digest) == (len(data), digest_of(data))
        return data


def files_below(path):
    return [each for each in Path(url2pathname(path)).rglob("*") if each.is_file()]


async def nothing_left(storage):
    """Whether no blob is in a storage, and nothing that was to become one."""
    if isinstance(storage, LocalStorage):  # its listings leave out what is not whole yet
        return not files_below(urlsplit(storage.url).path)
    found = []
    async with storage.list("", recursive=True) as listing:
        async for entry in listing:
            if entry.kind == "file":
                found.append(entry.path)
    return found == []


class World:
    """Services without a network, ``http://{name}.test`` each; `asked` says who was asked for what, and when."""

    def __init__(self, nursery, client_limits):
        self._nursery, self._transports, self._shares = nursery, {}, {}
        self.asked = []
        self.http = HTTP(client=httpx.AsyncClient(transport=self, trust_env=False), **client_limits)

    def add(self, name, app, latency=0.0):
        async def counted(scope, receive, send):
            headers = asgi.headers_of(scope)
            self.asked.append((round(trio.current_time(), 3), name, scope["path"], headers.get("range")))
            await app(scope, receive, send)

        self._transports[f"{name}.test"] = _AppTransport(counted, self._nursery, lambda _: latency)
        return f"http://{name}.test"

    async def has(self, name, data=DATA, blob="x", *, wrap=lambda app: app, latency=0.0):
        """A service that has a blob; gives its URL. *wrap* may spoil it."""
        share = await self._nursery.start(self._keep_open)
        if data is not None:
            await share.share(blob, data)
        return self.add(name, wrap(serve.blobs(share)), latency)

    async def _keep_open(self, task_status):
        async with BlobShare.open(MemoryStorage(), grace=0) as share:
            task_status.started(share)
            await trio.sleep_forever()

    async def handle_async_request(self, request):
        if request.url.host not in self._transports:
            raise httpx.ConnectError(f"there is no {request.url.host}")
        return await self._transports[request.url.host].handle_async_request(request)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def aclose(self):
        pass


@asynccontextmanager
async def open_world(**limits):
    async with trio.open_nursery() as nursery:
        world = World(nursery, limits)
        yield world
        nursery.cancel_scope.cancel()


@pytest.fixture
async def world():
    async with open_world() as world:
        yield world


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
async def share(world, storage):
    async with BlobShare.open(storage, http=world.http, grace=0) as share:
        yield share

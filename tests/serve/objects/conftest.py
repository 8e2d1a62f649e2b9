"""An object service on a real socket, and a client that sends what it is told."""

from __future__ import annotations

import attrs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sessionctx import serve
from sessionctx.objects.shelf import open_shelf
from sessionctx.objects.tokens import KnownKey, SigningKey, Verifier
from sessionctx.serve.objects import Service, objects_app
from sessionctx.transports import HTTP, Body


def private_pem():
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@attrs.frozen
class Reply:
    status: int
    headers: dict
    body: bytes


@attrs.define
class Web:
    """The service at *url*."""

    url: str
    service: Service

    async def ask(self, method, path, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = None if body is None else Body.of(body)
        async with HTTP().request(method, self.url + path, peer=self.url, headers=named, body=sent, raw=True) as answer:
            whole = b"".join([piece async for piece in answer]) if answer.ok else answer.complaint
            return Reply(answer.status, dict(answer.headers), whole)


@pytest.fixture(scope="session")
def pem():
    return private_pem()


@pytest.fixture(scope="session")
def signing(pem):
    return SigningKey.from_pem("test", pem)


@pytest.fixture
async def shelf(tmp_path):
    async with open_shelf(tmp_path / "shelf") as shelf:
        yield shelf


async def running(nursery, service):
    return Web(await nursery.start(serve.run, objects_app(service)), service)


@pytest.fixture
async def web(nursery, shelf):
    """One that lets everybody do everything."""
    return await running(nursery, Service(shelf))


@pytest.fixture
async def guarded(nursery, shelf, signing):
    """One that wants tokens."""
    return await running(nursery, Service(shelf, Verifier({"test": KnownKey(signing.public)})))

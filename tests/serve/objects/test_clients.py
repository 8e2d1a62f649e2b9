"""The public client does against our service what it can do."""

from __future__ import annotations

import io
import os
from datetime import timedelta

import pytest
import trio

objectstore_client = pytest.importorskip("objectstore_client", reason="objectstore-client is not installed")
from objectstore_client import Client, SecretKey, TimeToIdle, TimeToLive, Usecase  # noqa: E402

from sessionctx.objects.zstd import expanded  # noqa: E402

LARGE = os.urandom(3_000_000)


def session_of(web, **options):
    return Client(web.url, **options).session(Usecase("attachments"), org=42, project=1337)


async def in_thread(work, *args):
    return await trio.to_thread.run_sync(work, *args)


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("body", [b"", b"hello", b"text " * 200_000, LARGE])
async def test_what_it_puts_it_gets(web, compression, body):
    def work():
        session = session_of(web)
        key = session.put(
            body,
            key="some/key é",
            compress=compression,
            content_type="text/x-test",
            metadata={"colour": "blue é"},
            expiration_policy=TimeToLive(timedelta(days=30)),
            filename="ré.txt",
            origin="1.2.3.4",
        )
        assert key == "some/key é"
        got = session.get(key)
        assert got.payload.read() == body
        assert got.metadata.content_type == "text/x-test"
        assert got.metadata.custom == {"colour": "blue é"}
        assert got.metadata.filename == "ré.txt"
        assert got.metadata.origin == "1.2.3.4"
        assert got.metadata.expiration_policy == TimeToLive(timedelta(days=30))
        assert got.metadata.time_created is not None
        assert got.metadata.time_expires is not None

    await in_thread(work)


async def test_it_looks_deletes_and_finds_nothing(web):
    def work():
        session = session_of(web)
        key = session.put(b"body")
        assert session.head(key).content_type == "application/octet-stream"
        session.delete(key)
        session.delete(key)
        assert session.head(key) is None
        assert session.get(key) is None

    await in_thread(work)


async def test_it_streams_a_file(web):
    def work():
        session = session_of(web)
        key = session.put(io.BytesIO(LARGE), key="file")
        assert session.get(key).payload.read() == LARGE

    await in_thread(work)


async def test_it_extends_an_expiry(web):
    def work():
        session = session_of(web)
        key = session.put(b"body", expiration_policy=TimeToLive(timedelta(days=1)))
        before = session.head(key).time_expires
        session.extend_expiry(key, from_now=timedelta(days=10))
        assert session.head(key).time_expires > before + timedelta(days=8)
        idle = session.put(b"body", expiration_policy=TimeToIdle(timedelta(days=1)))
        session.extend_expiry(idle, from_creation=timedelta(days=20))
        assert session.head(idle).expiration_policy == TimeToIdle(timedelta(days=1))
        forever = session.put(b"body")
        with pytest.raises(objectstore_client.ExpiryExtensionRejected):
            session.extend_expiry(forever, from_now=timedelta(days=1))

    await in_thread(work)


async def test_it_uploads_in_parts(web):
    def work():
        session = session_of(web)
        upload = session.initiate_multipart_upload(key="parts", compression="none", metadata={"a": "b"})
        part = LARGE[:1_000_000]
        parts = [upload.put_part(part, part_number=n, content_length=len(part)) for n in (1, 2, 3)]
        again = session.resume_multipart_upload("parts", upload.upload_id)
        assert [each.part_number for each in again.list_parts()] == [1, 2, 3]
        upload.complete(parts)
        got = session.get("parts")
        assert got.payload.read() == part * 3
        assert got.metadata.custom == {"a": "b"}

    await in_thread(work)


async def test_it_uploads_resumably(web):
    def work():
        session = session_of(web)
        key = session.put(LARGE * 3, key="resumable", resumable_threshold_bytes=1)
        assert session.get(key).payload.read() == LARGE * 3

    await in_thread(work)


async def test_it_brings_tokens_and_presigned_urls(guarded, pem):
    def work():
        token = SecretKey(secret_key=pem.decode(), kid="test")
        session = session_of(guarded, token=token)
        key = session.put(b"secret", key="k")
        assert session.get(key).payload.read() == b"secret"
        return session.presigned_object_url("GET", "k"), session.object_url("k", token_validity=timedelta(hours=1))

    def stranger():
        session = session_of(guarded)
        with pytest.raises(objectstore_client.RequestError):
            session.get("k")

    urls = await in_thread(work)
    await in_thread(stranger)
    for url in urls:
        reply = await guarded.ask("GET", url.removeprefix(guarded.url))
        assert (reply.status, reply.headers["content-encoding"]) == (200, "zstd")  # it compresses unless told otherwise
        assert expanded(reply.body, 100) == b"secret"

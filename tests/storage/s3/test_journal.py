"""A program that is killed leaves an upload: with a journal it is resumed, or swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import trio

from sessionctx.errors import AccessDenied
from sessionctx.storage import WriteOptions
from sessionctx.storage.s3 import Sizes
from sessionctx.storage.s3.journal import Journal, Record
from sessionctx.storage.s3.parts import PART
from sessionctx.testing.proxy import open_proxy
from sessionctx.testing.storage import Broken, Pieces, content
from tests.storage.s3.conftest import BUCKET, uploads
from tests.storage.s3.scripted import Request, error, scripted
from tests.storage.s3.test_writing import Bucket, pieces

PIECES = [bytes([n]) * 1_000_000 for n in range(24)]
PROGRAM = """
import sys, trio
from pathlib import Path
from sessionctx.storage import open_storage

class Source:
    n = 0
    def __aiter__(self):
        return self
    async def __anext__(self):
        await trio.sleep(0.001)
        self.n += 1
        if self.n == 18:
            await trio.sleep(0.5)
            print("under way", flush=True)
            await trio.sleep_forever()
        return bytes([self.n - 1]) * 1_000_000

async def main():
    url, access_key, secret_key, journal = sys.argv[1:]
    async with open_storage(url, access_key=access_key, secret_key=secret_key, journal=Path(journal)) as storage:
        await storage.write("x", Source(), size_hint=24_000_000)

trio.run(main)
"""


async def killed(storage, server, journal) -> None:
    url = f"s3://{BUCKET}/{storage._location.prefix}?endpoint={server.endpoint}&region=us-east-1"
    arguments = [url, server.access_key, server.secret_key, str(journal)]
    process = await trio.lowlevel.open_process([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE)
    try:
        assert (await process.stdout.receive_some()).startswith(b"under way")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    await process.stdout.aclose()
    assert await uploads(storage) == [f"{storage._location.prefix}/x"]


async def test_what_a_killed_program_has_sent_is_not_sent_again(on_ceph, ceph_server, tmp_path):
    async with on_ceph() as direct, open_proxy(ceph_server.port) as proxy:
        await killed(direct, ceph_server, tmp_path)
        text = next(tmp_path.iterdir()).read_text().replace(str(ceph_server.port), str(proxy.port))
        next(tmp_path.iterdir()).write_text(text)  # the same server, by another name
        async with on_ceph(port=proxy.port, journal=tmp_path) as storage:
            await storage.write("x", Pieces(PIECES), size_hint=24_000_000)
        assert proxy.up < 24_000_000 - PART
        assert await content(direct, "x") == b"".join(PIECES)
        assert await uploads(direct) == []
        assert list(tmp_path.iterdir()) == []


async def test_what_a_killed_program_has_sent_can_be_swept(on_ceph, ceph_server, tmp_path):
    async with on_ceph() as direct:
        await killed(direct, ceph_server, tmp_path)
        async with on_ceph(journal=tmp_path) as storage:
            assert await storage.sweep() == 1
            assert await storage.sweep() == 0
        assert await direct.sweep() == 0
        assert await uploads(direct) == []
        assert list(tmp_path.iterdir()) == []


async def test_an_upload_whose_writer_lives_is_left_alone(tmp_path):
    bucket = Bucket()
    async with scripted(bucket, sizes=Sizes(single=1000), journal=tmp_path) as (storage, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storage.write, "x", pieces(2000, hang=True))
            while not list(tmp_path.iterdir()):  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.01)
            assert await storage.sweep() == 0
            await storage.write("x", b"y" * 2000)
            assert bucket.begun == 2
            nursery.cancel_scope.cancel()
        assert (bucket.uploads, list(tmp_path.iterdir())) == ({}, [])


async def test_one_that_was_begun_otherwise_is_not_resumed(tmp_path):
    bucket = Bucket()
    journal = Journal(tmp_path)
    async with scripted(bucket, sizes=Sizes(single=1000), journal=tmp_path) as (storage, _):
        for n, headers in enumerate([{"Content-Type": "a/b"}, {}, {}]):
            if n < 2:
                bucket.uploads[f"old{n}"] = {}
            record = Record(storage.endpoint, "bucket", "x", f"old{n}", headers)
            (await journal.note(record)).leave()
        (tmp_path / "torn.upload").write_text('{"endp')
        await storage.write("x", b"y" * 2000, options=WriteOptions(content_type="c/d"))
        assert (bucket.begun, bucket.aborted, bucket.uploads) == (1, 2, {})
    assert [path.name for path in tmp_path.iterdir()] == ["torn.upload"]


async def test_what_cannot_be_taken_back_stays_in_the_journal(tmp_path):
    bucket = Bucket()

    def script(request: Request):
        return error(403, "AccessDenied") if request.method in {"DELETE", "GET"} else bucket(request)

    async with scripted(script, sizes=Sizes(single=1000), journal=tmp_path) as (storage, server):
        with pytest.raises(Broken):
            await storage.write("x", pieces(2000, Broken()))
        assert len(list(tmp_path.iterdir())) == 1
        with pytest.raises(AccessDenied):
            await storage.write("x", b"y" * 2000)
        assert await storage.sweep() == 0
        server.script = bucket
        assert await storage.sweep() == 1
    assert list(tmp_path.iterdir()) == []

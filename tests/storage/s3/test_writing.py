"""Writing, to servers that refuse, break off, answer late or not at all, and do not know all of S3."""

from __future__ import annotations

from hashlib import md5, sha256

import attrs
import pytest
import trio

from sessionctx import session
from sessionctx.errors import (
    AccessDenied,
    CannotDo,
    FileChanged,
    FileExists,
    InvalidLocation,
    NoRoom,
    NoSuchFile,
    PeerFailed,
    SessionEnded,
)
from sessionctx.storage import Entry, WriteOptions
from sessionctx.storage.s3 import Sizes, copying
from sessionctx.storage.s3.checksums import Crc
from sessionctx.storage.s3.gathering import Part
from sessionctx.testing.storage import Broken, Pieces
from tests.storage.s3.scripted import Reply, Request, error, in_turn, scripted, xml

MIB = 1024 * 1024
SIZES = Sizes(single=1000, part=5 * MIB)
ABSENT = WriteOptions(if_absent=True)


class Bucket:
    """Enough of S3 to write to: uploads, their parts, and files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.begun = 0
        self.aborted = 0
        self.heeds_on_complete = True

    def __call__(self, request: Request) -> Reply:
        if request.method == "POST" and "uploads" in request.query:
            self.begun += 1
            self.uploads[f"u{self.begun}"] = {}
            return Reply(200, xml("InitiateMultipartUploadResult", f"<UploadId>u{self.begun}</UploadId>"))
        if "uploadId" in request.query:
            return self._upload(request, request.query["uploadId"])
        if request.method == "PUT":
            return self._refused(request) or self._put(request.key, request.body)
        if request.method == "DELETE":
            self.files.pop(request.key, None)
            return Reply(204)
        if request.key not in self.files:
            return error(404, "NoSuchKey")
        return Reply(200, self.files[request.key], {"ETag": self.etags[request.key]})

    def _put(self, key: str, body: bytes) -> Reply:
        self.files[key], self.etags[key] = body, f'"{md5(body).hexdigest()}"'
        return Reply(200, b"", {"ETag": self.etags[key]})

    def _refused(self, request: Request) -> Reply | None:
        there = request.key in self.files
        wanted = request.headers.get("if-match")
        if request.headers.get("if-none-match") == "*" and there:
            return error(412, "PreconditionFailed")
        if wanted is not None and (not there or wanted != self.etags[request.key]):
            return error(412 if there else 404, "PreconditionFailed" if there else "NoSuchKey")
        return None

    def _upload(self, request: Request, upload: str) -> Reply:
        if upload not in self.uploads:
            return error(404, "NoSuchUpload")
        parts = self.uploads[upload]
        if request.method == "PUT":
            parts[int(request.query["partNumber"])] = request.body
            return Reply(200, b"", {"ETag": f'"{md5(request.body).hexdigest()}"'})
        if request.method == "DELETE":
            self.aborted += 1
            del self.uploads[upload]
            return Reply(204)
        if self.heeds_on_complete and (refused := self._refused(request)):
            return refused
        del self.uploads[upload]
        self._put(request.key, b"".join(parts[n] for n in sorted(parts)))
        digest = md5(b"".join(md5(parts[n]).digest() for n in sorted(parts))).hexdigest()
        self.etags[request.key] = f'"{digest}-{len(parts)}"'
        etag = self.etags[request.key]
        return Reply(200, xml("CompleteMultipartUploadResult", f"<ETag>{etag.replace(chr(34), '&quot;')}</ETag>"))


def pieces(size: int, error: Exception | None = None, **more) -> Pieces:
    return Pieces([b"x" * 1_000_000] * (size // 1_000_000) + [b"y" * (size % 1_000_000)], error, **more)


# --- what is sent


async def test_what_is_small_goes_in_one_request_and_the_rest_in_parts():
    bucket = Bucket()
    async with scripted(bucket, sizes=SIZES) as (storage, server):
        await storage.write("small", b"x" * 1000)
        assert server.methods == ["PUT"]
        entry = await storage.write("large", b"x" * 1001)
        assert server.methods == ["PUT", "POST", "PUT", "POST", "HEAD"]  # and once a look at which ETag it has then
        assert entry.version == (await storage.stat("large")).version
        await storage.write("large", pieces(22 * MIB), size_hint=3)
        assert len(bucket.files["large"]) == 22 * MIB
        assert server.methods[6:] == ["POST", *["PUT"] * 5, "POST"]


async def test_checksums_go_with_each_part_and_with_the_whole():
    async with scripted(Bucket(), sizes=SIZES) as (storage, server):
        await storage.write("large", pieces(11_000_000))
    begin, *parts, complete, _ = server.requests
    assert begin.headers["x-amz-checksum-algorithm"] == "CRC64NVME"
    whole = Crc()
    for part in sorted(parts, key=lambda part: part.query["partNumber"]):
        crc = Crc()
        crc.add(part.body)
        assert part.headers["x-amz-checksum-crc64nvme"] == crc.text
        whole.add(part.body)
    assert complete.headers["x-amz-checksum-crc64nvme"] == whole.text
    assert complete.headers["x-amz-checksum-type"] == "FULL_OBJECT"


@pytest.mark.parametrize("size", [10, 6_000_000])
async def test_a_server_that_knows_no_checksums_is_told_none_any_more(size):
    bucket = Bucket()

    def script(request: Request) -> Reply:
        told = any(name.startswith("x-amz-checksum") for name in request.headers)
        return error(400, "InvalidRequest") if told else bucket(request)

    async with scripted(script, sizes=SIZES) as (storage, server):
        await storage.write("x", pieces(size))
        before = len(server.requests)
        await storage.write("y", b"12345")
        assert len(server.requests) == before + 1
        assert bucket.files["x"][:10] == pieces(size)._pieces.__next__()[:10]


async def test_what_a_source_changes_afterwards_does_not_change_what_is_written():
    class Reused:
        """Gives the same memory again and again."""

        def __init__(self) -> None:
            self.memory, self.n = bytearray(700_000), 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            await trio.lowlevel.checkpoint()
            self.n += 1
            self.memory[:] = bytes([self.n]) * len(self.memory)
            if self.n > 12:
                raise StopAsyncIteration
            return memoryview(self.memory)[: 700_000 if self.n % 2 else 7]

    bucket = Bucket()
    async with scripted(bucket, sizes=SIZES) as (storage, _):
        await storage.write("x", Reused())
    assert bucket.files["x"] == b"".join(bytes([n]) * (700_000 if n % 2 else 7) for n in range(1, 13))


async def test_metadata_may_hold_any_text_under_names_that_can_be():
    told = WriteOptions(metadata={"Colour": "blå ", "n": "=?x"}, content_type="text/x")
    async with scripted(Bucket(), sizes=SIZES) as (storage, server):
        await storage.write("x", b"", options=told)
        headers = server.requests[0].headers
        assert headers["content-type"] == "text/x"
        assert headers["x-amz-meta-colour"] == "=?UTF-8?B?YmzDpSA=?="
        with pytest.raises(InvalidLocation, match="metadata"):
            await storage.write("x", b"", options=WriteOptions(metadata={"a b": "x"}))
    async with scripted(in_turn(Reply(200, b"", {"x-amz-meta-colour": "=?UTF-8?B?YmzDpSA=?="}))) as (storage, _):
        assert (await storage.stat("x")).metadata == {"colour": "blå "}


# --- whole or not at all


async def test_an_upload_is_taken_back_when_its_source_breaks():
    bucket = Bucket()
    async with scripted(bucket, sizes=SIZES) as (storage, _):
        with pytest.raises(Broken):
            await storage.write("x", pieces(12_000_000, Broken()))
    assert (bucket.begun, bucket.aborted, bucket.uploads, bucket.files) == (1, 1, {}, {})


@pytest.mark.parametrize("reply", [error(500, "InternalError"), None, error(403, "AccessDenied")])
async def test_an_upload_is_taken_back_when_a_part_does_not_come_through(reply):
    bucket = Bucket()

    def script(request: Request) -> Reply | None:
        return reply if request.query.get("partNumber") == "2" else bucket(request)

    async with scripted(script, sizes=SIZES) as (storage, server):
        with pytest.raises((PeerFailed, AccessDenied)):
            await storage.write("x", pieces(20_000_000))
    tries = sum(request.query.get("partNumber") == "2" for request in server.requests)
    assert tries == (3 if reply is None or reply.status == 500 else 1)
    assert (bucket.aborted, bucket.uploads, bucket.files) == (1, {}, {})


async def test_an_upload_is_taken_back_when_the_session_ends():
    bucket = Bucket()

    def script(request: Request) -> Reply:
        if request.query.get("partNumber") == "2":
            s.cancel("enough")
        return bucket(request)

    async with scripted(script, sizes=SIZES) as (storage, _):
        with session.begin() as s, pytest.raises(SessionEnded):
            await storage.write("x", pieces(20_000_000))
    assert (bucket.begun, bucket.aborted, bucket.uploads, bucket.files) == (1, 1, {}, {})


async def test_an_upload_is_taken_back_when_its_caller_gives_up():
    bucket = Bucket()
    async with scripted(bucket, sizes=SIZES) as (storage, _):
        with trio.move_on_after(0.3) as scope:
            await storage.write("x", pieces(12_000_000, hang=True))
        assert scope.cancelled_caught
    assert (bucket.begun, bucket.aborted, bucket.uploads, bucket.files) == (1, 1, {}, {})


async def test_an_upload_is_taken_back_when_it_is_given_up_while_it_begins():
    bucket, waiting = Bucket(), trio.Event()

    async with scripted(bucket, sizes=SIZES) as (storage, server):
        serve = server._answer

        async def late(http, stream, request, reply):
            waiting.set()
            await trio.sleep(0.3)
            return await serve(http, stream, request, reply)

        server._answer = late
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storage.write, "x", b"x" * 2000)
            await waiting.wait()
            nursery.cancel_scope.cancel()
    assert (bucket.begun, bucket.aborted, bucket.uploads) == (1, 1, {})


async def test_what_cannot_be_taken_back_is_named():
    bucket = Bucket()

    def script(request: Request) -> Reply:
        return error(403, "AccessDenied") if request.method == "DELETE" else bucket(request)

    async with scripted(script, sizes=SIZES) as (storage, _):
        with pytest.raises(Broken) as caught:
            await storage.write("x", pieces(12_000_000, Broken()))
    assert "upload u1" in caught.value.__notes__[0]


async def test_an_error_within_a_success_is_one():
    bucket = Bucket()

    def script(request: Request) -> Reply:
        completes = request.method == "POST" and "uploadId" in request.query
        return Reply(200, b" \n \n" + xml("Error", "<Code>InternalError</Code>")) if completes else bucket(request)

    async with scripted(script, sizes=SIZES) as (storage, _):
        with pytest.raises(PeerFailed, match="InternalError"):
            await storage.write("x", pieces(6_000_000))
    assert (bucket.uploads, bucket.files) == ({}, {})


async def test_a_completion_whose_answer_is_lost_is_found_to_have_happened():
    bucket = Bucket()
    completed = 0

    def script(request: Request) -> Reply | None:
        nonlocal completed
        reply = bucket(request)
        if request.method == "POST" and "uploadId" in request.query:
            completed += 1
            return None if completed == 1 else reply
        return reply

    async with scripted(script, sizes=SIZES) as (storage, server):
        entry = await storage.write("x", pieces(6_000_000))
        assert entry.version == (await storage.stat("x")).version

        def stolen(request: Request) -> Reply | None:
            if request.method == "POST" and "uploadId" in request.query:
                bucket.uploads.clear()
            return bucket(request)

        server.script = stolen
        with pytest.raises(NoSuchFile):
            await storage.write("x", pieces(7_000_000))
        assert len(bucket.files["x"]) == 6_000_000


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(507, "XMinioStorageFull"), NoRoom),
        (error(403, "QuotaExceeded"), NoRoom),
        (error(400, "EntityTooLarge"), CannotDo),
    ],
)
async def test_why_there_is_no_room_is_told(reply, expected):
    async with scripted(in_turn(reply)) as (storage, _):
        with pytest.raises(expected):
            await storage.write("x", b"x")


# --- conditions


async def test_a_condition_is_tried_out_once_before_it_is_relied_on():
    bucket = Bucket()
    async with scripted(bucket, sizes=SIZES) as (storage, server):
        await storage.write("x", b"1", options=ABSENT)
        tried = len(server.requests)
        with pytest.raises(FileExists, match="x is there already"):
            await storage.write("x", b"2", options=ABSENT)
        assert len(server.requests) == tried + 1
        version = (await storage.stat("x")).version
        await storage.write("x", b"3", options=WriteOptions(if_version=version))
        with pytest.raises(FileChanged):
            await storage.write("x", b"4", options=WriteOptions(if_version=version))
        with pytest.raises(FileChanged):
            await storage.write("absent", b"4", options=WriteOptions(if_version=version))
        await storage.write("y", pieces(6_000_000), options=ABSENT)
        with pytest.raises(FileExists):
            await storage.write("y", pieces(6_000_000), options=ABSENT)
        assert set(bucket.files) == {"x", "y"}
        assert bucket.files["x"] == b"3"
        assert bucket.uploads == {}


async def test_a_server_that_heeds_no_condition_is_found_out():
    bucket = Bucket()
    bucket._refused = lambda request: None
    async with scripted(bucket, sizes=SIZES) as (storage, _):
        assert storage.can.if_absent
        with pytest.raises(CannotDo, match="heeds no conditions"):
            await storage.write("x", b"1", options=ABSENT)
        assert not storage.can.if_absent
        assert bucket.files == {}


async def test_one_that_heeds_them_on_whole_files_only_is_given_whole_files():
    bucket = Bucket()
    bucket.heeds_on_complete = False
    async with scripted(bucket, sizes=SIZES) as (storage, _):
        await storage.write("x", b"x" * 6_000_000, options=ABSENT)
        with pytest.raises(FileExists):
            await storage.write("x", b"y" * 6_000_000, options=ABSENT)
        with pytest.raises(CannotDo, match="in parts"):
            await storage.write("z", pieces(6_000_000), options=ABSENT)
        assert set(bucket.files) == {"x"}
        assert bucket.uploads == {}


async def test_a_guarded_write_is_repeated_only_if_it_surely_did_nothing():
    bucket = Bucket()
    async with scripted(bucket, conditional_writes=True) as (storage, server):
        server.script = in_turn(error(503, "SlowDown"), error(409, "ConditionalRequestConflict"), bucket(_put("x")))
        await storage.write("x", b"1", options=ABSENT)
        assert len(server.requests) == 3
        server.script = in_turn(None)
        with pytest.raises(PeerFailed, match="is not known"):
            await storage.write("x", b"1", options=ABSENT)
        assert len(server.requests) == 4
        server.script = in_turn(None, bucket(_put("x")))
        await storage.write("x", b"1")
        assert len(server.requests) == 6


def _put(key: str) -> Request:
    return Request("PUT", key, {}, {}, b"1")


# --- what cannot be


async def test_the_root_and_folders_are_no_files():
    def script(request: Request) -> Reply:
        listed = xml("ListBucketResult", "<Contents><Key>folder/x</Key></Contents>")
        return Reply(200, listed) if "list-type" in request.query else error(404, "NoSuchKey")

    async with scripted(script) as (storage, _):
        with pytest.raises(FileExists):
            await storage.write("", b"")
        with pytest.raises(FileExists):
            await storage.delete("")
        for path in ("", "folder"):
            with pytest.raises(NoSuchFile):
                async with storage.read(path):
                    pass
            with pytest.raises(NoSuchFile, match="folder"):
                await storage.copy(path, "target")
            with pytest.raises(NoSuchFile, match="folder"):
                async with storage.read(path, length=0):
                    pass
        with pytest.raises(CannotDo, match="copy, then delete"):
            await storage.rename("folder/x", "y")


async def test_what_is_larger_than_any_file_is_refused_before_it_is_sent():
    async with scripted(Bucket()) as (storage, server):
        with pytest.raises(CannotDo, match="5497558138880"):
            await storage.write("x", pieces(10), size_hint=6 * 1024**4)
        assert server.requests == []


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
async def test_over_a_line_that_others_can_change_the_body_is_signed(size):
    part = Part()
    part.add(memoryview(b"x" * size))
    async with scripted(Bucket()) as (storage, _):
        client = storage._client
        assert (await client._payload(part.body) == "UNSIGNED-PAYLOAD") == (size > 0)
        client.place = attrs.evolve(client.place, endpoint="http://10.0.0.1")
        assert await client._payload(part.body) == sha256(b"x" * size).hexdigest()


async def test_a_copy_that_breaks_in_the_middle_is_taken_back():
    bucket = Bucket()

    def script(request: Request) -> Reply:
        return error(403, "AccessDenied") if "x-amz-copy-source" in request.headers else bucket(request)

    async with scripted(script) as (storage, _):
        with pytest.raises(AccessDenied):
            await copying.copy(storage._client, "a", "b", Entry(path="a", size=20_000_000), "b", most=10_000_000)
    assert (bucket.begun, bucket.uploads) == (1, {})

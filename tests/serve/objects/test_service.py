"""The object service, request by request: what each answers, and what it refuses."""

from __future__ import annotations

import json

import pytest
import trio

from sessionctx.objects import Place
from sessionctx.objects.multipart import Data, Decoder, Encoder, Head, boundary_of
from sessionctx.serve.objects import Service
from sessionctx.serve.objects import uploads as uploads_module

BASE = "/v1/objects/attachments/org=42;project=1337/"
HERE = Place.of("attachments", {"org": 42, "project": 1337})
BODY = bytes(range(256)) * 10


@pytest.fixture
async def stored(web):
    await web.ask("PUT", BASE + "k", BODY, content_type="text/plain", x_snme_a="b")
    return web


# --- one by one


async def test_insert_replace_read_look_and_delete(web):
    made = await web.ask("POST", BASE, b"one")
    key = json.loads(made.body)["key"]
    assert (made.status, len(key)) == (201, 36)
    put = await web.ask("PUT", BASE + "a/b%20c%25", b"two")
    assert (put.status, json.loads(put.body)) == (200, {"key": "a/b c%"})
    assert (await web.ask("PUT", BASE + "a/b%20c%25", b"three")).status == 200
    got = await web.ask("GET", BASE + "a/b%20c%25")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"three", "5")
    looked = await web.ask("HEAD", BASE + "a/b%20c%25")
    assert (looked.status, looked.body, looked.headers["x-sn-size"]) == (200, b"", "5")
    for _ in range(2):
        assert (await web.ask("DELETE", BASE + "a/b%20c%25")).status == 204
    assert (await web.ask("GET", BASE + "a/b%20c%25")).status == 404
    assert (await web.ask("GET", BASE + key)).body == b"one"


async def test_what_was_said_comes_back_and_what_only_the_server_says_is_its_own(web):
    said = {"x_sn_filename": "a%2Fb%C3%A9.txt", "x_sn_origin": "here", "x_snme_a": "%C3%A9", "content_type": "a/b"}
    await web.ask(
        "PUT", BASE + "k", b"x", x_sn_time_created="nonsense", x_sn_expiration="ttl:30d", x_sn_size="99", **said
    )
    got = (await web.ask("GET", BASE + "k")).headers
    assert (got["x-sn-filename"], got["x-sn-origin"]) == ("a/b%C3%A9.txt", "here")
    assert (got["x-snme-a"], got["content-type"]) == ("%C3%A9", "a/b")
    assert got["x-sn-size"] == "1"
    assert got["x-sn-expiration"] == "ttl:30d"
    assert got["x-sn-time-created"].endswith("Z")
    assert got["content-disposition"] == "attachment; filename=\"a-b_.txt\"; filename*=UTF-8''a-b%C3%A9.txt"


@pytest.mark.parametrize(
    ("span", "status", "begin", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=100-", 206, 100, 2560),
        ("bytes=-5", 206, 2555, 2560),
        ("bytes=2000-99999", 206, 2000, 2560),
        ("bytes=-99999", 206, 0, 2560),
        ("bytes=0-1,5-6", 200, 0, 2560),
    ],
)
async def test_ranges(stored, span, status, begin, end):
    got = await stored.ask("GET", BASE + "k", range=span)
    assert (got.status, got.body) == (status, BODY[begin:end])
    assert got.headers.get("content-range") == (f"bytes {begin}-{end - 1}/2560" if status == 206 else None)


@pytest.mark.parametrize(
    ("span", "status"),
    [
        ("bytes=2560-", 416),
        ("bytes=5-2", 416),
        ("bytes=-0", 400),
        ("bytes=-", 400),
        ("lines=1-2", 400),
        ("nonsense", 400),
    ],
)
async def test_ranges_that_are_none(stored, span, status):
    got = await stored.ask("GET", BASE + "k", range=span)
    assert got.status == status
    assert set(json.loads(got.body)) == {"detail", "causes"}
    if status == 416:
        assert got.headers["content-range"] == "bytes */2560"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 404),
        ("GET", "/v1/elsewhere/attachments/_/k", {}, 404),
        ("POST", "/v1/objects:batch/attachments/_", {}, 404),
        ("GET", "/v1/objects/ab/_/k", {}, 400),
        ("GET", "/v1/objects/attachments/org/k", {}, 400),
        ("GET", "/v1/objects/attachments/_/%ff", {}, 400),
        ("GET", "/v1/objects/attachments/_/", {}, 400),
        ("POST", BASE + "k", {}, 405),
        ("TRACE", BASE + "k", {}, 405),
        ("GET", "/v1/objects:batch/attachments/_/", {}, 405),
        ("PUT", BASE + "k", {"content_encoding": "gzip"}, 400),
        ("PUT", BASE + "k", {"x_sn_expiration": "never"}, 400),
        ("PUT", BASE + "k", {"content_type": "none"}, 400),
    ],
)
async def test_what_makes_no_sense_is_refused(web, method, path, headers, status):
    got = await web.ask(method, path, b"" if method in ("PUT", "POST") else None, **headers)
    assert got.status == status
    assert json.loads(got.body)["detail"]


async def test_an_object_has_a_size_at_most(nursery, shelf):
    from tests.serve.objects.conftest import running

    web = await running(nursery, Service(shelf, most=100_000))
    assert (await web.ask("PUT", BASE + "k", bytes(100_000))).status == 200
    got = await web.ask("PUT", BASE + "k", bytes(100_001))
    assert got.status == 413
    assert len((await web.ask("GET", BASE + "k")).body) == 100_000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"extend_expiry": {}}', 422),
        (b'{"extend_expiry": {"at": "tomorrow"}}', 422),
        (b'{"extend_expiry": {"after": "1d", "from": "then"}}', 422),
        (b'{"extend_expiry": {"after": "1d"}}', 204),
        (b'{"extend_expiry": {"at": "2050-01-01T00:00:00Z"}}', 204),
        (b'{"extend_expiry": {"at": "2999-01-01T00:00:00Z"}}', 400),
    ],
)
async def test_an_expiry_is_extended_and_never_brought_forward(web, body, status):
    await web.ask("PUT", BASE + "k", b"x", x_sn_expiration="ttl:2h")
    before = (await web.ask("HEAD", BASE + "k")).headers["x-sn-time-expires"]
    assert (await web.ask("PATCH", BASE + "k", body)).status == status
    after = (await web.ask("HEAD", BASE + "k")).headers["x-sn-time-expires"]
    assert (after > before) == (status == 204)
    await web.ask("PATCH", BASE + "k", b'{"extend_expiry": {"after": "1s"}}')
    assert (await web.ask("HEAD", BASE + "k")).headers["x-sn-time-expires"] == after


async def test_what_does_not_expire_or_is_not_there_is_not_extended(stored):
    body = b'{"extend_expiry": {"after": "1d"}}'
    assert (await stored.ask("PATCH", BASE + "k", body)).status == 409
    assert (await stored.ask("PATCH", BASE + "absent", body)).status == 404


async def test_it_says_how_it_is(web):
    assert (await web.ask("GET", "/health")).status == 200
    assert (await web.ask("GET", "/ready")).status == 200
    web.service.draining = True
    assert (await web.ask("GET", "/ready")).status == 503


# --- many


def batch(*operations):
    encoder, pieces = Encoder(), []
    for n, (kind, key, body, headers) in enumerate(operations):
        named = [("x-sn-batch-operation-kind", kind)] + ([("x-sn-batch-operation-key", key)] if key is not None else [])
        pieces += [encoder.head([*named, *headers.items()], first=n == 0), body]
    return encoder, b"".join([*pieces, encoder.tail(empty=not operations)])


def parts_of(reply):
    decoder, parts = Decoder(boundary_of(reply.headers["content-type"]), max_parts=2000), {}
    for event in decoder.feed(reply.body):
        match event:
            case Head():
                head = dict(event.headers)
                part = parts[int(head["x-sn-batch-operation-index"])] = [
                    head["x-sn-batch-operation-status"].partition(" ")[0],
                    b"",
                    head,
                ]
            case Data(data=data):
                part[1] += data
    decoder.close()
    return parts


async def send(web, *operations, change=lambda body: body):
    encoder, body = batch(*operations)
    path = BASE.replace("objects", "objects:batch")
    return await web.ask("POST", path, change(body), content_type=encoder.content_type)


async def test_a_batch_does_each_and_answers_each(stored):
    reply = await send(
        stored,
        ("insert", "a%2F1", b"one", {"x-snme-a": "b", "content-type": "a/b"}),
        ("insert", None, b"two", {}),
        ("get", "k", b"", {}),
        ("head", "k", b"", {}),
        ("delete", "absent", b"", {}),
        ("get", "absent", b"", {}),
    )
    parts = parts_of(reply)
    assert reply.status == 200
    assert [parts[n][0] for n in range(6)] == ["201", "201", "200", "204", "204", "404"]
    assert parts[2][1] == BODY
    assert parts[3][2]["x-sn-size"] == "2560"
    assert parts[2][2]["x-snme-a"] == "b"
    assert parts[0][2]["x-sn-batch-operation-key"] == "a%2F1"
    assert parts[0][2]["x-sn-batch-operation-kind"] == "insert"
    made = parts[1][2]["x-sn-batch-operation-key"]
    assert (await stored.ask("GET", BASE + made)).body == b"two"
    got = await stored.ask("GET", BASE + "a/1")
    assert (got.body, got.headers["content-type"], got.headers["x-snme-a"]) == (b"one", "a/b", "b")


async def test_N2_M17_what_is_wrong_with_one_is_wrong_with_that_one_alone(web):
    reply = await send(
        web,
        ("insert", "a", bytes(1_048_577), {}),
        ("nonsense", "b", b"", {}),
        ("get", None, b"", {}),
        ("insert", "c", b"x", {"content-encoding": "gzip"}),
        ("insert", "%ff", b"x", {}),
        ("insert", "d", bytes(1_048_576), {}),
    )
    parts = parts_of(reply)
    assert [parts[n][0] for n in range(6)] == ["413", "400", "400", "400", "400", "201"]
    assert all(json.loads(parts[n][1])["detail"] for n in range(5))
    assert "x-sn-batch-operation-key" not in parts[0][2]
    assert (await web.ask("GET", BASE + "a")).status == 404
    assert len((await web.ask("GET", BASE + "d")).body) == 1_048_576


async def test_no_more_than_a_thousand(web):
    parts = parts_of(await send(web, *[("head", "k", b"", {})] * 1003))
    assert [parts[n][0] for n in (0, 999, 1000, 1002)] == ["404", "404", "413", "413"]


@pytest.mark.parametrize(
    "change", [lambda body: body[:-30], lambda body: body[:200], lambda body: b"x" + body, lambda body: b""]
)
async def test_N13_a_framing_that_breaks_is_one_part_at_the_end(web, change):
    reply = await send(web, ("insert", "a", b"one", {}), ("insert", "b", b"two", {}), change=change)
    parts = parts_of(reply)
    assert reply.status == 200
    last = max(parts)
    assert parts[last][0] == "400"
    assert all(parts[n][0] == "201" for n in range(last))
    assert (await web.ask("GET", BASE + "b")).status == 404


async def test_a_batch_needs_a_boundary(web):
    reply = await web.ask("POST", BASE.replace("objects", "objects:batch"), b"x", content_type="text/plain")
    assert reply.status == 400


async def test_an_empty_batch_is_answered_with_nothing(web):
    assert parts_of(await send(web)) == {}


# --- uploads


async def test_parts_are_listed_replaced_and_put_together(web):
    path = BASE.replace("objects", "objects:multipart")
    begun = json.loads((await web.ask("POST", path, b"", x_snme_a="b")).body)
    key, where = begun["key"], f"?upload_id={begun['upload_id']}"
    parts = BASE.replace("objects", "objects:multipart:parts") + key + where
    for number, body in [(3, b"c" * 10), (1, b"old"), (1, b"a" * 70_000)]:
        assert (await web.ask("PUT", f"{parts}&part_number={number}", body)).status == 200
    listed = json.loads((await web.ask("GET", f"{parts}&max_parts=1")).body)
    assert [(part["part_number"], part["size"]) for part in listed["parts"]] == [(1, 70_000)]
    assert (listed["is_truncated"], listed["next_part_number_marker"]) == (True, 1)
    rest = json.loads((await web.ask("GET", f"{parts}&part_number_marker=1")).body)
    assert rest["is_truncated"] is False
    named = [{"part_number": part["part_number"], "etag": part["etag"]} for part in listed["parts"] + rest["parts"]]
    complete = BASE.replace("objects", "objects:multipart:complete") + key + where
    for wrong in (named[::-1], [{"part_number": 9, "etag": "x"}], [named[0] | {"etag": "x"}], [1]):
        failed = json.loads((await web.ask("POST", complete, json.dumps({"parts": wrong}).encode())).body)
        assert failed["error"]["code"] == 400
    done = await web.ask("POST", complete, json.dumps({"parts": named}).encode())
    assert json.loads(done.body) == {"key": key}
    got = await web.ask("GET", BASE + key)
    assert (got.body, got.headers["x-snme-a"]) == (b"a" * 70_000 + b"c" * 10, "b")
    assert (await web.ask("GET", parts)).status == 404


async def test_a_damaged_part_and_an_aborted_upload_leave_nothing(web):
    path = BASE.replace("objects", "objects:multipart") + "k"
    where = f"?upload_id={json.loads((await web.ask('PUT', path, b'')).body)['upload_id']}"
    part = BASE.replace("objects", "objects:multipart:parts") + "k" + where + "&part_number=1"
    assert (await web.ask("PUT", part, b"x", content_md5="AAAA")).status == 400
    assert (await web.ask("PUT", part, b"x", content_md5="nQTkgalzAyC4M8tcFJXBXQ==")).status == 400
    assert (await web.ask("PUT", part, b"x", content_md5="ndTkYSaMgDT1yFZOFVxnpg==")).status == 200
    assert (await web.ask("DELETE", path + where)).status == 204
    assert (await web.ask("DELETE", path + where)).status == 404
    await web.service.shelf.sweep()
    assert await web.service.shelf.sweep() == 0


async def test_a_resumable_upload_goes_on_where_it_broke(web, monkeypatch):
    monkeypatch.setattr(uploads_module, "GRANULARITY", 1000)
    begun = await web.ask("PUT", BASE + "k?upload_type=resumable", b"", upload_length="2560", x_snme_a="b")
    where = f"{BASE}k?session={json.loads(begun.body)['session']}"
    assert (await web.ask("PUT", where, BODY[:1500], upload_offset="0")).headers["upload-offset"] == "1500"
    wrong = await web.ask("PUT", where, BODY[1000:], upload_offset="1000")
    assert (wrong.status, wrong.headers["upload-offset"]) == (409, "1500")
    assert (await web.ask("PUT", where, BODY, upload_offset="1500")).status == 400
    asked = await web.ask("PUT", where, b"", upload_offset="*")
    assert (asked.status, asked.headers["upload-offset"]) == (204, "1500")
    assert (await web.ask("PUT", where, b"x", upload_offset="*")).status == 400
    done = await web.ask("PUT", where, BODY[1500:], upload_offset="1500")
    assert (done.status, json.loads(done.body)) == (201, {"key": "k"})
    got = await web.ask("GET", BASE + "k")
    assert (got.body, got.headers["x-snme-a"]) == (BODY, "b")
    assert (await web.ask("PUT", where, b"", upload_offset="*")).status == 404


async def resumable(web, monkeypatch):
    """Begin an upload of BODY in small pieces; return its key, and where it goes."""
    monkeypatch.setattr(uploads_module, "GRANULARITY", 1000)
    begun = await web.ask("POST", BASE + "?upload_type=resumable", b"", upload_length="2560")
    answer = json.loads(begun.body)
    return answer["key"], f"{BASE}{answer['key']}?session={answer['session']}"


async def begin_chunk(web, where, offset, data):
    """Send a chunk as far as *data*, and no further; return the connection."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(web.url.rpartition(":")[2]))
    head = f"PUT {where} HTTP/1.1\r\nHost: x\r\nUpload-Offset: {offset}\r\nContent-Length: {2560 - offset}\r\n\r\n"
    await stream.send_all(head.encode() + data)
    return stream


async def got_to(web, where, least):
    """Wait until an upload has got so far; return how far it is."""
    with trio.fail_after(30):
        while True:
            parts = await web.service.shelf.indexed(lambda index: index.parts(where.partition("session=")[2]))
            if sum(part.blob.size for part in parts) >= least:
                return
            await trio.sleep(0.01)


async def test_what_came_before_a_cut_is_kept(web, monkeypatch):
    key, where = await resumable(web, monkeypatch)
    stream = await begin_chunk(web, where, 0, BODY[:2100])
    await got_to(web, where, 2000)
    await stream.aclose()
    asked = await web.ask("PUT", where, b"", upload_offset="*")
    offset = int(asked.headers["upload-offset"])
    assert offset in (2000, 2100)
    assert (await web.ask("PUT", where, BODY[offset:], upload_offset=str(offset))).status == 201
    assert (await web.ask("GET", BASE + key)).body == BODY


async def test_who_comes_again_takes_over_from_a_connection_that_hangs(web, monkeypatch):
    key, where = await resumable(web, monkeypatch)
    async with await begin_chunk(web, where, 0, BODY[:1500]) as hanging:
        await got_to(web, where, 1000)
        asked = await web.ask("PUT", where, b"", upload_offset="*")
        assert asked.headers["upload-offset"] == "1000"
        assert (await web.ask("PUT", where, BODY[1000:], upload_offset="1000")).status == 201
        assert (await web.ask("GET", BASE + key)).body == BODY
        with trio.fail_after(5):
            assert b"201" not in await hanging.receive_some(100)
    await web.service.shelf.sweep()
    assert (await web.ask("GET", BASE + key)).body == BODY


async def test_a_cancelled_session_and_one_of_another_place_are_gone(web):
    begun = await web.ask("PUT", BASE + "k?upload_type=resumable", b"", upload_length="10")
    name = json.loads(begun.body)["session"]
    assert (await web.ask("PUT", f"/v1/objects/attachments/_/k?session={name}", b"", upload_offset="*")).status == 404
    assert (await web.ask("DELETE", f"{BASE}k?session={name}")).status == 204
    assert (await web.ask("DELETE", f"{BASE}k?session={name}")).status == 404
    for headers in ({}, {"upload_length": "-1"}, {"upload_length": "x"}):
        assert (await web.ask("PUT", BASE + "k?upload_type=resumable", b"", **headers)).status == 400
    assert (await web.ask("PUT", BASE + "k?upload_type=other", b"")).status == 400


# --- who may


async def test_tokens_open_what_they_are_for(guarded, signing):
    now = guarded.service.shelf.now()
    reader = signing.token(HERE, ["object.read"], now=now)
    writer = signing.token(HERE, ["object.write"], now=now)
    assert (await guarded.ask("PUT", BASE + "k", b"x")).status == 400
    assert (await guarded.ask("PUT", BASE + "k", b"x", x_os_auth=f"Bearer {reader}")).status == 403
    assert (await guarded.ask("PUT", BASE + "k", b"x", x_os_auth="Bearer a.b.c")).status == 400
    assert (await guarded.ask("PUT", BASE + "k", b"x", authorization=f"Bearer {writer}")).status == 200
    assert (await guarded.ask("GET", BASE + "k", x_os_auth=f"Bearer {writer}")).status == 403
    assert (await guarded.ask("GET", f"{BASE}k?os_auth={reader}")).body == b"x"
    assert (await guarded.ask("GET", "/v1/objects/attachments/org=42/k", x_os_auth=f"Bearer {reader}")).status == 403
    assert (await guarded.ask("DELETE", BASE + "k", x_os_auth=f"Bearer {reader}")).status == 403


async def test_each_operation_of_a_batch_is_looked_at(guarded, signing):
    now = guarded.service.shelf.now()
    encoder, body = batch(("insert", "k", b"x", {}), ("get", "k", b"", {}), ("delete", "k", b"", {}))
    token = f"Bearer {signing.token(HERE, ['object.write'], now=now)}"
    path = BASE.replace("objects", "objects:batch")
    reply = await guarded.ask("POST", path, body, content_type=encoder.content_type, x_os_auth=token)
    assert [parts_of(reply)[n][0] for n in range(3)] == ["201", "403", "403"]

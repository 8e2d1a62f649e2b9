"""Listings ask for no page before it is wanted; many files are deleted, and large ones copied, with few requests."""

from __future__ import annotations

import pytest
import trio

from sessionctx.errors import AccessDenied, BadAnswer, Busy, InvalidLocation, NoSuchFile, SessionctxError
from sessionctx.storage import Entry
from sessionctx.storage.s3 import copying
from sessionctx.testing.storage import listed
from tests.storage.s3.scripted import Reply, Request, error, in_turn, scripted, xml


def page(first: int, count: int, token: str | None, *, folders: tuple[str, ...] = ()) -> bytes:
    inner = f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
    inner += f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    for n in range(first, first + count):
        inner += f"<Contents><Key>top/{n:05}</Key><LastModified>2026-11-25T10:00:00.500Z</LastModified>"
        inner += f"<ETag>&quot;e{n}&quot;</ETag><Size>{n}</Size><Owner><ID>me</ID></Owner></Contents>"
    inner += "".join(f"<CommonPrefixes><Prefix>top/{name}/</Prefix></CommonPrefixes>" for name in folders)
    return xml("ListBucketResult", inner)


def pages(request: Request) -> Reply:
    """Script: 20 pages of 1,000."""
    n = int(request.query.get("continuation-token", "0"))
    return Reply(200, page(n * 1000, 1000, str(n + 1) if n < 19 else None))


async def take(storage, count: int) -> list[Entry]:
    async with storage.list(recursive=True) as listing:
        found = [await anext(listing) for _ in range(count)]
        await trio.sleep(0.1)
        return found


@pytest.mark.parametrize(("count", "asked"), [(1, 1), (10, 1), (500, 1), (501, 2), (1000, 2), (1500, 2), (1501, 3)])
async def test_a_page_is_asked_for_when_most_of_the_one_before_is_consumed(count, asked):
    async with scripted(pages, "/top") as (storage, server):
        found = await take(storage, count)
        assert len(server.requests) == asked
    assert found[-1] == Entry(path=f"{count - 1:05}", size=count - 1, modified=1795600800.5, version=f"e{count - 1}")


async def test_all_pages_come_in_order():
    async with scripted(pages, "/top") as (storage, server):
        async with storage.list(recursive=True) as listing:
            paths = [entry.path async for entry in listing]
    assert paths == [f"{n:05}" for n in range(20_000)]
    assert len(server.requests) == 20
    assert server.requests[0].query == {
        "encoding-type": "url",
        "list-type": "2",
        "max-keys": "1000",
        "prefix": "top/",
    }


async def test_a_page_that_fails_is_asked_for_again_and_at_last_told():
    def script(request: Request) -> Reply:
        return error(503, "SlowDown") if server.methods.count("GET") in fails else pages(request)

    fails = {1, 3}
    async with scripted(script, "/top") as (storage, server):
        assert len(await take(storage, 1500)) == 1500
        fails = range(3, 100)
        server.requests.clear()
        async with storage.list(recursive=True) as listing:
            with pytest.raises(Busy):
                async for entry in listing:
                    last = entry
        assert last.path == "01999"
        fails = ()
        async with storage.list(recursive=True, after=last.path) as listing:
            await anext(listing)
        (going_on,) = [request for request in server.requests if "start-after" in request.query]
        assert going_on.query["start-after"] == "top/01999"


@pytest.mark.parametrize(
    "body",
    [
        page(0, 1, "7"),  # and again, and again
        b"<html>",
        b"plain",
        xml("Other", ""),
        b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult>&a;</ListBucketResult>',
        xml("ListBucketResult", "x" * 17_000_000),
    ],
)
async def test_what_is_no_listing_is_refused(body):
    async with scripted(in_turn(Reply(200, body)), "/top") as (storage, _):
        with pytest.raises(BadAnswer):
            await listed(storage, recursive=True)


async def test_sizes_and_times_that_are_none_are_not_known():
    inner = "<Contents><Key>top/x</Key><LastModified>soon</LastModified><Size>-5</Size></Contents>"
    async with scripted(in_turn(Reply(200, xml("ListBucketResult", inner))), "/top") as (storage, _):
        assert await listed(storage, recursive=True) == {"x": Entry(path="x")}


# --- deleting


async def test_a_thousand_are_deleted_in_one_request():
    async with scripted(in_turn(Reply(200, xml("DeleteResult", ""))), "/top") as (storage, server):
        assert await storage.delete_many(f"<{n}>" for n in range(2500)) == {}
        assert [request.body.count(b"<Object>") for request in server.requests] == [1000, 1000, 500]
        assert b"<Key>top/&lt;7&gt;</Key>" in server.requests[0].body
        assert "content-md5" in server.requests[0].headers


async def test_what_cannot_be_deleted_is_told_one_by_one():
    refused = "<Error><Key>top/b</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
    refused += "<Error><Key>top/c</Key><Code>NoSuchKey</Code></Error>"
    async with scripted(in_turn(Reply(200, xml("DeleteResult", refused))), "/top") as (storage, _):
        failed = await storage.delete_many(["a", "b", "c", "../d"])
    assert {path: type(problem) for path, problem in failed.items()} == {"b": AccessDenied, "../d": InvalidLocation}


async def test_a_server_that_deletes_one_at_a_time_is_asked_so():
    def script(request: Request) -> Reply:
        if request.method == "POST":
            return error(501, "NotImplemented")
        return error(403, "AccessDenied") if request.key == "b" else Reply(204)

    async with scripted(script) as (storage, server):
        for _ in range(2):
            assert list(await storage.delete_many(["a", "b", "c"])) == ["b"]
        assert server.methods == ["POST", *["DELETE"] * 6]


async def test_a_batch_that_fails_fails_for_all_of_it():
    async with scripted(in_turn(error(403, "AccessDenied"))) as (storage, _):
        failed = await storage.delete_many(["a", "b"])
    assert {path: type(problem) for path, problem in failed.items()} == {"a": AccessDenied, "b": AccessDenied}
    async with scripted(in_turn(Reply(200, xml("Error", "<Code>AccessDenied</Code>")))) as (storage, _):
        assert list(await storage.delete_many(["a"])) == ["a"]


# --- copying


async def test_a_copy_is_of_the_version_that_was_looked_at():
    head = Reply(200, b"", {"ETag": '"v1"', "Content-Type": "a/b"})
    copied = Reply(200, xml("CopyObjectResult", "<ETag>&quot;v2&quot;</ETag>"))
    async with scripted(in_turn(head, copied), "/top") as (storage, server):
        assert (await storage.copy("å b", "c")).version == "v2"
        assert server.requests[1].headers["x-amz-copy-source"] == "/bucket/top/%C3%A5%20b"
        assert server.requests[1].headers["x-amz-copy-source-if-match"] == '"v1"'
    async with scripted(in_turn(head, Reply(200, xml("Error", "<Code>AccessDenied</Code>")))) as (storage, _):
        with pytest.raises(AccessDenied):
            await storage.copy("a", "b")
    async with scripted(in_turn(error(404, ""), Reply(200, page(0, 0, None)))) as (storage, _):
        with pytest.raises(NoSuchFile):
            await storage.copy("a", "b")


async def test_what_is_too_large_for_that_is_copied_in_ranges(on_ceph):
    size = 12 * 1024 * 1024 + 3
    async with on_ceph() as storage:
        wrote = await storage.write("x", bytes(size))
        entry = await storage.stat("x")
        copied = await copying.copy(
            storage._client, storage._key("x"), storage._key("y"), entry, "y", most=5 * 1024 * 1024
        )
        found = await storage.stat("y")
        assert (found.size, found.version) == (size, copied.version)
        assert found.version != wrote.version
        with pytest.raises(SessionctxError):
            await copying.copy(storage._client, storage._key("gone"), storage._key("y"), entry, "y", most=5_000_000)

"""The storage of a web server: against nginx, and against what servers do that are not as good."""

from __future__ import annotations

import random
import shutil
import sys

import pytest
import trio

from sessionctx import session
from sessionctx.errors import (
    AccessDenied,
    BadAnswer,
    CannotDo,
    FileChanged,
    InvalidLocation,
    NoSuchFile,
    PeerFailed,
)
from sessionctx.storage import Can, LocalStorage, download, open_storage
from sessionctx.storage.http.head import Span, conditions, span_of, version_of
from sessionctx.storage.window import SMALLEST
from sessionctx.testing.proxy import Fault, open_proxy
from sessionctx.testing.storage import ReadOnlyContract, content, everything, listed
from sessionctx.transports import HTTP
from tests.storage.nginx import nginx
from tests.storage.process import free_port, running

DATA = random.Random(3).randbytes(3_000_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "root").mkdir()
    with nginx(folder / "root", folder / "work") as port:
        yield folder / "root", port


@pytest.fixture
def root(server):
    root, _ = server
    for each in root.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    return root


@pytest.fixture
def port(server):
    return server[1]


class TestHTTP(ReadOnlyContract):
    @pytest.fixture
    async def backend(self, port):
        async with open_storage(f"http://127.0.0.1:{port}") as backend:
            yield backend

    @pytest.fixture
    def writer(self, root):
        return LocalStorage(root, sync=False)


async def test_a_folder_of_nginx_is_listed(root, port):
    for path in ["a", "b/c d", "b/ü/e"]:
        await LocalStorage(root).write(path, b"12")
    async with open_storage(f"http://127.0.0.1:{port}") as backend:
        found = await listed(backend, recursive=True)
        assert {path: (entry.kind, entry.size) for path, entry in found.items()} == {
            "a": ("file", 2),
            "b": ("folder", None),
            "b/c d": ("file", 2),
            "b/ü": ("folder", None),
            "b/ü/e": ("file", 2),
        }
        assert found["a"].modified == int((root / "a").stat().st_mtime)
        assert sorted(await listed(backend, "b")) == ["b/c d", "b/ü"]
        assert await listed(backend, "absent") == {}


async def test_a_server_that_lists_nothing_as_json_cannot_list(tmp_path):
    (tmp_path / "root").mkdir()
    with nginx(tmp_path / "root", tmp_path / "work", "autoindex on;") as port:
        async with open_storage(f"http://127.0.0.1:{port}") as backend:
            with pytest.raises(CannotDo, match="JSON"):
                await listed(backend)


async def test_what_breaks_off_is_resumed_at_the_byte(root, port):
    (root / "file").write_bytes(DATA)
    async with open_proxy(port) as proxy, open_storage(f"http://127.0.0.1:{proxy.port}") as backend:
        proxy.arm(Fault("reset", after=1_000_000), Fault("cut", after=1_000_000), Fault("refuse"))
        with session.begin() as s:
            assert await content(backend, "file") == DATA
    assert s.statistics().requests == 4
    assert s.statistics().failed == 3
    assert proxy.down < len(DATA) + 500_000
    assert proxy.open == 0


async def test_a_server_that_stalls_is_left_and_asked_again(root, port):
    (root / "file").write_bytes(DATA)
    http = HTTP(idle=0.3)
    async with open_proxy(port) as proxy, open_storage(f"http://127.0.0.1:{proxy.port}", http=http) as backend:
        proxy.arm(Fault("stall", after=1_000_000))
        assert await content(backend, "file") == DATA


async def test_what_is_another_file_after_a_break_is_not_mixed(root, port):
    (root / "file").write_bytes(DATA)
    async with open_proxy(port) as proxy, open_storage(f"http://127.0.0.1:{proxy.port}") as backend:
        proxy.arm(Fault("reset", after=1_000_000))
        with pytest.raises(FileChanged):
            async with backend.read("file") as reader:
                await anext(reader)
                (root / "file").write_bytes(DATA[1:])
                await everything(reader)


async def test_reading_can_be_cancelled_and_left_early(root, port):
    (root / "file").write_bytes(DATA)
    async with open_proxy(port) as proxy, open_storage(f"http://127.0.0.1:{proxy.port}") as backend:
        with session.begin() as s:
            async with backend.read("file") as reader:
                await anext(reader)
            proxy.arm(Fault("stall", after=1_000_000))
            with trio.move_on_after(0.3) as scope:
                await content(backend, "file")
        assert scope.cancelled_caught
        assert s.statistics().in_flight == s.statistics().open == 0


async def test_the_end_of_the_session_ends_a_read(root, port):
    from sessionctx.errors import SessionEnded

    (root / "file").write_bytes(DATA)
    async with open_proxy(port) as proxy, open_storage(f"http://127.0.0.1:{proxy.port}") as backend:
        proxy.arm(Fault("stall", after=1_000_000))
        with session.begin() as s:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end, s)
                with pytest.raises(SessionEnded):
                    await content(backend, "file")


async def _end(s):
    await trio.sleep(0.2)
    s.cancel("enough")


async def test_credentials_are_sent_and_never_shown(root, port):
    async with open_storage(f"http://user:secret@127.0.0.1:{port}/") as backend:
        assert "secret" in backend.url
        with pytest.raises(NoSuchFile) as caught:
            await backend.stat("x")
    assert "secret" not in f"{backend!r} {backend.public} {backend.endpoint} {caught.value}"


@pytest.mark.parametrize("url", ["http://", "http://host/a?b=c", "http://user:secret@host:x/"])
async def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(InvalidLocation) as caught:
        async with open_storage(url):
            pass
    assert "secret" not in str(caught.value)


# --- servers that are not as good


async def serve(nursery, *answers):
    """Answer one connection after the other with these bytes."""
    left = iter(answers)

    async def answer(stream):
        async with stream:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += await stream.receive_some(10_000)
            seen.append(asked)
            await stream.send_all(next(left))

    seen = []
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, answer, [listener])
    return f"http://127.0.0.1:{listener.socket.getsockname()[1]}", seen


def answer(status, body=b"", **headers):
    lines = [f"HTTP/1.1 {status} x", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body


async def ask(*answers, path="file", **wanted):
    async with trio.open_nursery() as nursery:
        url, seen = await serve(nursery, *answers)
        try:
            async with open_storage(url) as backend, backend.read(path, **wanted) as reader:
                return reader.entry, await everything(reader), seen
        except Exception as error:
            return error, None, seen
        finally:
            nursery.cancel_scope.cancel()


async def test_a_server_without_ranges_is_read_over(nursery):
    entry, data, seen = await ask(answer(200, b"0123456789"), offset=3, length=4)
    assert (entry.size, entry.version, data) == (10, None, b"3456")
    assert b"bytes=3-6" in seen[0]


async def test_a_server_without_ranges_is_asked_once_at_a_time(tmp_path):
    (tmp_path / "root").mkdir()
    data = DATA * 4
    (tmp_path / "root/file").write_bytes(data)
    port = free_port()
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", tmp_path / "root"]
    with running(argv, port=port, log=tmp_path / "log"):
        async with open_proxy(port) as proxy, open_storage(f"http://127.0.0.1:{proxy.port}") as backend:
            backend.can = Can(write=False, best_part=SMALLEST, best_in_flight=4)
            await download(backend, "file", LocalStorage(tmp_path / "to"), "file")
            assert backend.can.best_in_flight == 1
            assert proxy.connections <= 10
    assert (tmp_path / "to/file").read_bytes() == data


async def test_what_is_resumed_is_asked_for_with_the_version():
    broken = b'HTTP/1.1 200 x\r\nETag: "v"\r\nContent-Length: 10\r\n\r\n0123'
    rest = answer(206, b"456789", ETag='"v"', Content_Range="bytes 4-9/10")
    _, data, seen = await ask(broken, rest)
    assert data == b"0123456789"
    assert b"bytes=4-9" in seen[1]
    assert b'If-Match: "v"' in seen[1]


@pytest.mark.parametrize(
    "second",
    [
        answer(206, b"456789", ETag='"w"', Content_Range="bytes 4-9/10"),
        answer(206, b"456789", Content_Range="bytes 4-9/10"),
        answer(200, b"abcdefghij", ETag='"w"'),
        answer(412),
    ],
)
async def test_another_version_is_never_mixed_in(second):
    error, _, _ = await ask(b'HTTP/1.1 200 x\r\nETag: "v"\r\nContent-Length: 10\r\n\r\n0123', second)
    assert isinstance(error, FileChanged)


async def test_without_a_version_nothing_is_resumed():
    error, _, seen = await ask(b"HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\n0123", answer(200, b"0123456789"))
    assert isinstance(error, PeerFailed)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(206, b"x", Content_Range="bytes 5-5/10"), BadAnswer),
        (answer(206, b"x"), BadAnswer),
        (answer(206, b"x", Content_Range="bytes 3-2/10"), BadAnswer),
        (answer(401), AccessDenied),
        (answer(403), AccessDenied),
        (answer(410), NoSuchFile),
        (answer(418), BadAnswer),
    ],
)
async def test_a_bad_answer_is_named(reply, kind):
    error, _, _ = await ask(reply, offset=3, length=4)
    assert isinstance(error, kind)


async def test_a_listing_cannot_lead_out_of_the_folder():
    body = b'[{"name":"../x","type":"file"},{"name":"a/b","type":"file"},{"name":"ok","type":"file","size":-1}]'
    async with trio.open_nursery() as nursery:
        url, _ = await serve(
            nursery,
            answer(200, body, Content_Type="application/json"),
            answer(200, b"{", Content_Type="application/json"),
        )
        async with open_storage(url) as backend:
            found = await listed(backend, "f")
            assert [(entry.path, type(entry.problem)) for entry in found.values()] == [
                ("f/../x", InvalidLocation),
                ("f/a/b", InvalidLocation),
                ("f/ok", type(None)),
            ]
            assert found["f/ok"].size is None
            with pytest.raises(BadAnswer):
                await listed(backend)
        nursery.cancel_scope.cancel()


def test_versions():
    date = "Wed, 25 Nov 2026 12:00:00 GMT"
    assert version_of({"etag": '"a"', "last-modified": date}) == '"a"'
    assert version_of({"etag": 'W/"a"', "last-modified": date}) == date
    assert version_of({"etag": 'W/"a"'}) == 'W/"a"'
    assert version_of({}) is None
    assert conditions('"a"') == {"If-Match": '"a"'}
    assert conditions(date) == {"If-Unmodified-Since": date}
    assert conditions('W/"a"') == conditions(None) == {}


def test_spans():
    assert span_of(200, {"content-length": "5"}) == Span(0, 5, 5)
    assert span_of(200, {}) == Span(0, None, None)
    assert span_of(206, {"content-range": "bytes 0-4/*"}) == Span(0, 5, None)
    assert span_of(206, {"content-range": "bytes 0-4/4"}) is None
    assert span_of(416, {"content-range": "bytes */7"}) == Span(7, 7, 7)

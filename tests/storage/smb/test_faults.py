"""Lines that break, stall or crawl: nothing is mixed or left, what can go on goes on, and who is cancelled leaves at once."""

from __future__ import annotations

import os
import threading
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio

from sessionctx import session
from sessionctx.errors import BadAnswer, FileChanged, PeerFailed, Stalled
from sessionctx.peers import statistics
from sessionctx.storage import WriteOptions, open_storage
from sessionctx.storage.smb import line, login
from sessionctx.testing.proxy import Fault, open_proxy
from sessionctx.testing.storage import Pieces, content, everything, listed

DATA = os.urandom(10_000_000)

pytestmark = pytest.mark.usefixtures("no_threads_left")


@asynccontextmanager
async def through_proxy(server, folder, **options):
    """The folder as a storage behind a proxy."""
    async with open_proxy(server.port) as proxy:
        async with open_storage(server.url(folder.name, port=proxy.port), **options) as backend:
            yield backend, proxy
        with trio.fail_after(2):
            while proxy.open:  # noqa: ASYNC110 - the proxy has no event for it
                await trio.sleep(0.005)


async def nothing_left(folder, *names):
    """Wait until *folder* holds these, and nothing else."""
    with trio.fail_after(5):
        while {path.name for path in folder.iterdir()} != set(names):  # noqa: ASYNC110 - it is the server's folder
            await trio.sleep(0.01)


# --- broken


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_a_read_goes_on_where_the_line_broke(server, folder, kind):
    (folder / "file").write_bytes(DATA)
    async with through_proxy(server, folder) as (backend, proxy):
        proxy.arm(Fault(kind, after=3_500_000), Fault(kind, after=2_500_000))
        with session.begin() as s:
            assert await content(backend, "file") == DATA
        assert proxy.connections == 3
        assert proxy.down < len(DATA) + 2.5 * 6 * line.PART
        assert (s.statistics().requests, s.statistics().bytes) == (1, len(DATA))
        (peer,) = statistics(s)
        assert peer.found == 1


async def test_a_read_does_not_go_on_with_another_version(server, folder):
    (folder / "file").write_bytes(DATA)
    async with through_proxy(server, folder) as (backend, proxy):
        proxy.arm(Fault("cut", after=8_500_000))  # more than is asked for before the first piece is taken
        async with backend.read("file") as reader:
            await anext(reader)
            (folder / "other").write_bytes(DATA[::-1])
            (folder / "other").rename(folder / "file")
            with pytest.raises(FileChanged):
                await everything(reader)


async def test_a_read_gives_up_where_the_line_breaks_again_and_again(server, folder, impatient):
    (folder / "file").write_bytes(DATA)
    async with through_proxy(server, folder) as (backend, proxy):
        proxy.always = Fault("cut", after=100_000)
        with pytest.raises(PeerFailed):
            await content(backend, "file")
        assert proxy.connections <= 8


@pytest.fixture
def impatient(monkeypatch):
    """What waits before it tries again does not wait long."""
    monkeypatch.setattr("sessionctx.storage.smb.share.WAITS", (0.01, 0.01, 0.01))


async def test_a_broken_line_is_made_anew_for_whatever_comes_next(server, folder):
    async with through_proxy(server, folder) as (backend, proxy):
        await backend.write("file", b"x")
        proxy.arm(Fault("reset", after=4000), Fault("reset", after=0), None)
        await backend._share._line._socket.send(b"\0\0\0\1x")  # the server ends the connection that breaks the rules
        assert (await backend.stat("file")).size == 1
        await backend.write("other", b"y")
        await backend.mkdir("folder")
        await backend.delete("other")
        assert sorted(await listed(backend)) == ["file", "folder"]


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_a_stream_that_is_written_when_the_line_breaks_leaves_nothing(server, folder, kind):
    (folder / "file").write_bytes(b"before")
    async with through_proxy(server, folder) as (backend, proxy):
        proxy.arm(Fault(kind, after=3_500_000, direction="up"))
        with pytest.raises(PeerFailed, match=r"broke off|closed"):
            await backend.write("file", Pieces([DATA[:1_000_000]] * 10))
        await nothing_left(folder, "file")
        assert await content(backend, "file") == b"before"


async def test_bytes_that_are_written_when_the_line_breaks_are_written_again(server, folder):
    async with through_proxy(server, folder) as (backend, proxy):
        proxy.arm(Fault("cut", after=3_500_000, direction="up"))
        assert (await backend.write("file", DATA)).size == len(DATA)
    assert (folder / "file").read_bytes() == DATA
    await nothing_left(folder, "file")


async def test_a_write_if_absent_is_not_repeated(server, folder):
    async with through_proxy(server, folder) as (backend, proxy):
        proxy.arm(Fault("cut", after=3_500_000, direction="up"))
        with pytest.raises(PeerFailed):
            await backend.write("file", DATA, options=WriteOptions(if_absent=True))
    await nothing_left(folder)


async def test_a_listing_goes_on_with_the_next_folder_where_the_line_broke(server, folder):
    for name in "abcd":
        (folder / name).mkdir()
        (folder / name / "file").touch()
    async with through_proxy(server, folder) as (backend, proxy):
        async with backend.list(recursive=True) as listing:
            found = [await anext(listing)]
            backend._share._line._socket.shutdown(trio.socket.SHUT_RDWR)
            found += [entry async for entry in listing]
        assert len({entry.path for entry in found}) == len(found) == 8
        assert proxy.connections == 2


# --- changed


@asynccontextmanager
async def through_a_forger(port, *, at):
    """Pass on what comes and goes on *port*, with one bit changed in what the server says, *at* so many bytes."""

    async def pass_on(source, sink, change):
        passed = 0
        while piece := bytearray(await source.receive_some(65_536)):
            if change and passed <= at < passed + len(piece):
                piece[at - passed] ^= 1
            passed += len(piece)
            await sink.send_all(piece)

    async def serve(client):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, ExceptionGroup):
            async with await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as nursery:
                nursery.start_soon(pass_on, client, server, False)
                await pass_on(server, client, True)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), serve, 0)
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("encrypt", [None, True])
async def test_a_bit_that_is_changed_on_the_way_is_noticed(server, folder, encrypt, impatient):
    (folder / "file").write_bytes(DATA)
    async with through_a_forger(server.port, at=700_000) as port:
        async with open_storage(server.url(folder.name, port=port), encrypt=encrypt) as backend:
            with pytest.raises(BadAnswer, match="changed it on its way"):
                await content(backend, "file")


# --- cancelled


OPERATIONS = {
    "stat": lambda backend: backend.stat("file"),
    "read": lambda backend: content(backend, "file"),
    "write": lambda backend: backend.write("new", Pieces([DATA[:1_000_000]] * 10)),
    "list": listed,
    "delete": lambda backend: backend.delete("file"),
    "mkdir": lambda backend: backend.mkdir("folder"),
    "rename": lambda backend: backend.rename("file", "other"),
    "copy": lambda backend: backend.copy("file", "other"),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_who_is_cancelled_on_a_line_that_stalls_leaves_at_once(server, folder, name):
    (folder / "file").write_bytes(DATA)
    async with open_proxy(server.port) as proxy:
        start = 0.0
        async with open_storage(server.url(folder.name, port=proxy.port)) as backend:
            proxy.arm(Fault("stall", after=3000))
            await backend.stat()
            with trio.fail_after(5):
                while proxy.down < 3000:  # until nothing comes any more
                    with trio.move_on_after(0.1):
                        await backend.stat()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(OPERATIONS[name], backend)
                    await trio.sleep(0.05)
                    start = trio.current_time()
                    scope.cancel()
            assert trio.current_time() - start < 0.3
            start = trio.current_time()
        assert trio.current_time() - start < 0.3
    assert (folder / "file").read_bytes() == DATA
    await nothing_left(folder, "file", *(["folder"] if name == "mkdir" else []))  # that one had gone out


@pytest.mark.parametrize("after", [0, 100, 500])
async def test_who_is_cancelled_while_it_logs_in_leaves_no_thread_behind(server, folder, after):
    before = threading.active_count()
    async with open_proxy(server.port) as proxy:
        proxy.arm(Fault("stall", after=after))
        async with open_storage(server.url(folder.name, port=proxy.port)) as backend:
            with trio.move_on_after(0.2) as scope:
                await backend.stat()
            assert scope.cancelled_caught
            names = [thread.name for thread in threading.enumerate()]
            assert not [name for name in names if "msg_worker" in name]
            assert (await backend.stat()).kind == "folder"
    assert threading.active_count() <= before + 2  # of trio's own, which wait for work


async def test_who_is_cancelled_in_a_write_on_a_slow_line_leaves_nothing(server, folder):
    async with through_proxy(server, folder) as (backend, proxy):
        await backend.stat()
        proxy.rate = 2_000_000
        with trio.move_on_after(0.4) as scope:
            await backend.write("file", Pieces([DATA[:1_000_000]] * 10))
        assert scope.cancelled_caught
        proxy.rate = None
        await nothing_left(folder)
        assert (await backend.write("file", DATA)).size == len(DATA)


async def test_a_reader_that_is_cancelled_can_be_read_on(server, folder):
    (folder / "file").write_bytes(DATA)
    async with through_proxy(server, folder) as (backend, proxy), backend.read("file") as reader:
        came = bytearray(await anext(reader))
        proxy.rate = 5_000_000
        with trio.move_on_after(0.05):
            async for piece in reader:
                came += piece
        proxy.rate = None
        came += await everything(reader)
        assert bytes(came) == DATA


async def test_what_is_left_of_one_read_does_not_hold_up_another_for_ever(server, folder):
    (folder / "file").write_bytes(DATA)
    async with through_proxy(server, folder) as (backend, _):
        for _ in range(20):
            async with backend.read("file") as reader:
                await anext(reader)
        assert await content(backend, "file") == DATA
        assert not backend._share._line._sent


# --- slow


async def test_a_reader_that_takes_its_time_holds_up_the_server(server, folder):
    (folder / "file").write_bytes(DATA * 3)
    async with through_proxy(server, folder) as (backend, proxy), backend.read("file") as reader:
        await anext(reader)
        await trio.sleep(0.3)
        assert proxy.down < 8 * line.PART


async def test_a_server_that_takes_its_time_holds_up_the_source(server, folder):
    async with through_proxy(server, folder) as (backend, proxy):
        await backend.stat()
        source, taken = iter([DATA[:1_000_000]] * 30), 0

        class Source:
            def __aiter__(self):
                return self

            async def __anext__(self):
                nonlocal taken
                proxy.rate, taken = 100_000, taken + 1
                await trio.lowlevel.checkpoint()
                return next(source)

        with trio.move_on_after(0.5):
            await backend.write("file", Source())
        assert taken < 8
        proxy.rate = None


# --- silent


async def test_a_server_that_falls_silent_has_stalled(server, folder, monkeypatch):
    monkeypatch.setattr(line, "IDLE", 0.2)
    (folder / "file").write_bytes(DATA)
    async with open_proxy(server.port) as proxy:
        async with open_storage(server.url(folder.name, port=proxy.port)) as backend:
            proxy.always = Fault("stall", after=1_000_000)
            monkeypatch.setattr("sessionctx.storage.smb.reading.WAITS", ())
            with trio.fail_after(3), pytest.raises(Stalled, match="nothing came"):
                await content(backend, "file")


async def test_a_server_that_only_takes_its_time_has_not(server, folder, monkeypatch):
    monkeypatch.setattr(line, "IDLE", 0.2)
    async with through_proxy(server, folder) as (backend, proxy):
        await backend.write("file", b"x")
        await trio.sleep(0.5)  # nothing is asked, nothing need come
        assert await content(backend, "file") == b"x"
        assert proxy.connections == 1


async def test_a_login_that_does_not_end_has_stalled(server, folder, monkeypatch):
    monkeypatch.setattr(login, "SECONDS", 0.3)
    async with open_proxy(server.port) as proxy:
        proxy.always = Fault("stall", after=0)
        async with open_storage(server.url(folder.name, port=proxy.port)) as backend:
            with pytest.raises(Stalled, match="login"):
                await backend.stat()

"""Connections by ssh: refused with a reason, shared, broken and made again, and gone when the block is left."""

from __future__ import annotations

import random
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from sessionctx import session
from sessionctx.errors import AccessDenied, FileChanged, PeerError, PeerFailed, Stalled, Unreachable
from sessionctx.peers import statistics
from sessionctx.storage import open_storage
from sessionctx.testing.proxy import Fault, open_proxy
from sessionctx.testing.storage import Pieces, content, listed
from tests.storage.process import free_port

DATA = random.Random(5).randbytes(6_000_000)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_bytes(DATA)
    return tmp_path / "data"


@pytest.fixture
async def proxy(server):
    async with open_proxy(server.port) as proxy:
        server.know(proxy.port)
        yield proxy


def children() -> set[int]:
    """The processes that this one has started, and has not seen end."""
    return {int(pid) for told in Path("/proc/self/task").glob("*/children") for pid in told.read_text().split()}


async def ended(proxy) -> None:
    """Wait until no connection is open."""
    with trio.fail_after(5):
        while proxy.open:  # noqa: ASYNC110
            await trio.sleep(0.01)


# --- who may come in


async def fails(server, root, kind, match, *, url=None, **options):
    with pytest.raises(kind, match=match) as caught:
        async with open_storage(url or server.url(root), **server.options | options):
            pass
    assert "secret" not in str(caught.value)
    return caught.value


async def test_a_host_whose_key_is_unknown_is_refused(server, root, tmp_path):
    (tmp_path / "empty").touch()
    await fails(server, root, Unreachable, "host key is not known", known_hosts=tmp_path / "empty")
    assert (tmp_path / "empty").read_text() == ""


async def test_at_the_first_visit_a_key_may_be_learnt(server, root, tmp_path):
    known = tmp_path / "a known %h host"
    async with open_storage(server.url(root), **server.options | {"known_hosts": known, "host_keys": "new"}) as backend:
        assert await listed(backend)
    assert f"[127.0.0.1]:{server.port}" in known.read_text()


async def test_a_host_with_another_key_is_refused(server, root, tmp_path):
    other = (server.folder / "user.pub").read_text()
    (tmp_path / "other").write_text(f"[127.0.0.1]:{server.port} {other}")
    changes = {"known_hosts": tmp_path / "other", "host_keys": "new"}
    await fails(server, root, Unreachable, "another host key than the known one", **changes)


async def test_a_key_that_is_not_let_in_is_denied(server, root):
    error = await fails(server, root, AccessDenied, "authentication failed", identity=server.folder / "host")
    assert error.storage == server.url(root)


async def test_a_port_that_nobody_listens_on_refuses(server, root):
    error = await fails(server, root, Unreachable, "refused", url=server.url(root, port=free_port()))
    assert isinstance(error, PeerError)
    assert error.peer.startswith("sftp://")


async def test_a_host_that_is_not_there_is_named(server):
    await fails(server, "/", Unreachable, "no such host", url="sftp://me:secret@no-such-host.invalid/x")


async def test_a_server_that_closes_before_it_speaks_is_unreachable(server, root, proxy):
    proxy.always = Fault("refuse")
    await fails(server, root, Unreachable, "cannot be reached", url=server.url(root, port=proxy.port))


async def test_a_configuration_of_ssh_holds(server, root, tmp_path):
    """Aliases, ports and keys come from there."""
    (tmp_path / "config").write_text(
        f"Host somewhere\n Hostname 127.0.0.1\n Port {server.port}\n IdentityFile {server.folder}/user\n"
        f" UserKnownHostsFile {server.folder}/known\n"
    )
    async with open_storage(f"sftp://somewhere{root}", config=tmp_path / "config") as backend:
        assert list(await listed(backend)) == ["file"]


async def test_jump_hosts_are_passed(server, root, tmp_path, proxy):
    (tmp_path / "config").write_text(
        f"Host *\n Hostname 127.0.0.1\n IdentityFile {server.folder}/user\n UserKnownHostsFile {server.folder}/known\n"
        f"Host jump\n Port {proxy.port}\nHost behind\n Port {server.port}\n ProxyJump jump\n"
    )
    before = children()
    async with open_storage(f"sftp://behind{root}", config=tmp_path / "config") as backend:
        assert list(await listed(backend)) == ["file"]
        assert proxy.connections == proxy.open == 1
    await ended(proxy)
    assert children() == before


# --- one line for all


async def test_all_tasks_share_one_connection_which_is_gone_after_the_block(server, root, proxy):
    before = children()
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(content, backend, "file")
            nursery.start_soon(backend.write, "other", DATA)
        assert (root / "other").read_bytes() == DATA
        assert proxy.connections == 1
        assert len(children() - before) == 1
    assert children() == before
    await ended(proxy)


async def test_who_uses_it_after_its_block_is_told(server, root):
    async with open_storage(server.url(root), **server.options) as backend:
        pass
    with pytest.raises(PeerFailed, match="block"):
        await backend.stat("file")


async def test_an_error_in_the_block_comes_out_as_it_is(server, root):
    before = children()
    with pytest.raises(KeyError):
        async with open_storage(server.url(root), **server.options):
            raise KeyError
    assert children() == before


async def test_a_cancelled_read_is_left_at_once(server, root, proxy):
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        proxy.rate = 100_000.0
        began = trio.current_time()
        with trio.move_on_after(0.3) as scope:
            await content(backend, "file")
        assert scope.cancelled_caught
        assert trio.current_time() - began < 1.0
        proxy.rate = None
        assert (await backend.stat("file")).size == len(DATA)
        assert proxy.connections == 1


# --- broken lines


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_a_read_goes_on_where_it_was_broken(server, root, proxy, kind):
    proxy.arm(Fault(kind, after=2_000_000), Fault(kind, after=2_000_000))
    with session.begin() as s:
        async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
            assert await content(backend, "file") == DATA
        assert proxy.connections == 3
        assert s.statistics().bytes == len(DATA)
        (peer,) = statistics(s)
        assert (peer.asked, peer.found, peer.in_flight) == (1, 1, 0)
    assert proxy.down < 2 * len(DATA)


async def test_a_read_does_not_go_on_in_another_file(server, root, proxy):
    proxy.arm(Fault("cut", after=2_000_000))
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        with pytest.raises(FileChanged, match="became another"):
            async with backend.read("file") as reader:
                async for _ in reader:
                    (root / "new").write_bytes(bytes(len(DATA) + 1))
                    (root / "new").replace(root / "file")


async def test_a_read_that_gets_nowhere_is_given_up(server, root, proxy):
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        with pytest.raises(Unreachable):
            async with backend.read("file") as reader:
                async for _ in reader:
                    proxy.always = Fault("refuse")
                    server_side = proxy.open
                    assert server_side == 1
                    await _cut(backend)


async def _cut(backend) -> None:
    """Let its ssh be gone, as if somebody had ended it."""
    backend._dial.current.line.scope.cancel()
    await trio.sleep(0.05)


async def test_an_idle_connection_that_was_closed_is_made_again(server, root, proxy):
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        for operation in (
            lambda: backend.stat("file"),
            lambda: listed(backend),
            lambda: backend.mkdir("folder"),
            lambda: backend.write("new", b"x"),
            lambda: content(backend, "new"),
            lambda: backend.copy("new", "copy"),
            lambda: backend.rename("copy", "moved"),
            lambda: backend.delete("moved"),
        ):
            await _cut(backend)
            await operation()
        assert proxy.connections == 9


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_a_write_that_is_broken_leaves_nothing(server, root, proxy, kind):
    proxy.arm(Fault(kind, after=2_000_000, direction="up"))
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        with pytest.raises(PeerFailed, match=r"closed|reset|ended"):
            await backend.write("new", Pieces([DATA] * 2))
        assert [path.name for path in root.iterdir()] == ["file"]
        await backend.write("new", DATA)
    assert (root / "new").read_bytes() == DATA


async def test_bytes_whose_write_is_broken_are_written_again(server, root, proxy):
    proxy.arm(Fault("cut", after=2_000_000, direction="up"))
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        await backend.write("new", DATA)
        assert proxy.connections == 2
    assert (root / "new").read_bytes() == DATA
    assert sorted(path.name for path in root.iterdir()) == ["file", "new"]


async def test_a_write_says_what_may_be_left_where_nobody_can_look(server, root, proxy):
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:

        async def source():
            yield DATA
            proxy.always = Fault("refuse")
            await _cut(backend)
            yield DATA

        async with aclosing(source()) as pieces:
            with pytest.raises(PeerFailed, match=r"\.sessionctx-.*\.part may be left at sftp://"):
                await backend.write("new", pieces)
        (left,) = (path.name for path in root.iterdir() if path.name != "file")
        assert left.endswith(".part")


async def test_a_stalled_server_is_given_up(server, root, proxy):
    proxy.arm(Fault("stall", after=1_000_000))
    async with open_storage(server.url(root, port=proxy.port), **server.options, idle=1) as backend:
        assert await content(backend, "file") == DATA  # over a second connection
        assert proxy.connections == 2


async def test_a_server_that_stalls_again_and_again_is_stalled(server, root, proxy):
    async with open_storage(server.url(root, port=proxy.port), **server.options, idle=1) as backend:
        await _cut(backend)
        proxy.always = Fault("stall", after=0)
        with pytest.raises((Stalled, Unreachable), match=r"silent|does not answer|cannot be reached"):
            await backend.stat("file")


async def test_a_connection_that_cannot_be_made_is_tried_once_for_all_who_wait(server, root, proxy):
    async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
        await _cut(backend)
        proxy.always = Fault("refuse")

        async def ask() -> None:
            with pytest.raises(Unreachable):
                await backend.stat("file")

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert proxy.connections == 2

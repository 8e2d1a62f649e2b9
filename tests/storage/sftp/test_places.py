"""Links, permissions, listings and streams, on a real server: what others get wrong, and ours does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import trio

from sessionctx.errors import AccessDenied, FileExists, NoRoom, NoSuchFile
from sessionctx.storage import WriteOptions, open_storage
from sessionctx.testing.proxy import open_proxy
from sessionctx.testing.storage import Pieces, content, listed
from tests.storage.sftp.servers import sftp_server


@pytest.fixture
def root(tmp_path):
    """A folder beside which there is something that is not ours."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return tmp_path / "root"


@pytest.fixture
async def backend(root):
    async with open_storage(f"sftp://localhost{root}", command=[sftp_server()]) as backend:
        yield backend


# --- links


async def test_links_within_the_root_are_followed_by_name(backend, root):
    (root / "folder").mkdir()
    (root / "folder" / "file").write_bytes(b"x")
    (root / "link").symlink_to("folder/file")
    (root / "way").symlink_to("folder")
    assert await content(backend, "link") == await content(backend, "way/file") == b"x"
    assert (await backend.stat("link")).kind == "file"
    assert list(await listed(backend, "way")) == ["way/file"]


@pytest.mark.parametrize("way", ["link", "way/secret"])
async def test_links_out_of_the_root_are_not_followed(backend, root, way):
    (root / "link").symlink_to("../outside/secret")
    (root / "way").symlink_to("../outside")
    with pytest.raises(AccessDenied, match="leads out of the storage"):
        await content(backend, way)
    for operation in (
        lambda: backend.write("way/new", b"x"),
        lambda: backend.write("way/deep/new", b"x"),
        lambda: backend.mkdir("way/new"),
        lambda: backend.delete("way/secret"),
        lambda: backend.rename("way/secret", "mine"),
        lambda: backend.copy("way/secret", "mine"),
        lambda: listed(backend, "way"),
    ):
        with pytest.raises((AccessDenied, NoSuchFile)):
            await operation()
    assert [path.name for path in (root.parent / "outside").iterdir()] == ["secret"]


async def test_a_link_that_leads_nowhere_is_a_link(backend, root):
    (root / "gone").symlink_to("nothing")
    (root / "out").symlink_to("../outside/secret")
    (root / "self").symlink_to("self")
    for path in ("gone", "out", "self"):
        assert (await backend.stat(path)).kind == "link"
    await backend.write("gone", b"a file in its place")
    assert (root / "gone").read_bytes() == b"a file in its place"
    await backend.delete("out")
    assert (root.parent / "outside" / "secret").exists()


async def test_links_that_form_a_circle_end_no_listing(backend, root):
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "up").symlink_to("../..")
    (root / "a" / "b" / "file").write_bytes(b"x")
    found = await listed(backend, recursive=True)
    assert {path: entry.kind for path, entry in found.items()} == {
        "a": "folder",
        "a/b": "folder",
        "a/b/up": "link",
        "a/b/file": "file",
    }


async def test_the_root_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "elsewhere").symlink_to(root)
    async with open_storage(f"sftp://localhost{tmp_path}/elsewhere", command=[sftp_server()]) as backend:
        await backend.write("a/b", b"x")
        assert await content(backend, "a/b") == b"x"
        assert (await backend.stat()).kind == "folder"
    assert (root / "a" / "b").read_bytes() == b"x"


async def test_a_root_that_is_not_there_is_made_by_the_first_write(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    async with open_storage(f"sftp://localhost{tmp_path}/link/new/root", command=[sftp_server()]) as backend:
        with pytest.raises(NoSuchFile):
            await listed(backend)
        await backend.write("a/file", b"x")
        assert list(await listed(backend, recursive=True)) == ["a", "a/file"]
        await backend.write("b/file", b"x")


async def test_a_file_where_a_folder_should_be_is_named(backend, root):
    (root / "file").write_bytes(b"x")
    with pytest.raises(NoSuchFile, match="file/below"):
        await content(backend, "file/below")
    for operation in (lambda: backend.write("file/below", b"x"), lambda: backend.mkdir("file/below/deep")):
        with pytest.raises(FileExists, match="file is a file, and no folder"):
            await operation()
    await backend.delete("file/below")
    with pytest.raises(FileExists, match="is a folder"):
        await backend.write("", b"x")


# --- permissions


@pytest.fixture
def open_root():
    """A folder that others may look into; those of pytest, and maybe $TMPDIR, are closed to them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o755)
        yield root


@pytest.fixture
async def nobody(open_root):
    """A server that may not do everything."""
    argv = [sftp_server()]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed (package util-linux)")
        argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
    async with open_storage(f"sftp://localhost{open_root}", command=argv) as backend:
        yield backend


async def test_what_cannot_be_read_is_listed_with_a_problem_and_the_rest_goes_on(nobody, open_root):
    root = open_root
    for name, mode in (("closed", 0o000), ("dark", 0o444), ("open", 0o755)):
        (root / name).mkdir()
        (root / name / "file").write_bytes(b"x")
        (root / name).chmod(mode)
    (root / "empty").mkdir()
    found = await listed(nobody, recursive=True)
    for name in ("closed", "dark"):
        (root / name).chmod(0o755)
    assert set(found) == {"closed", "dark", "open", "open/file", "empty"}
    assert {path for path, entry in found.items() if isinstance(entry.problem, AccessDenied)} == {"closed", "dark"}


async def test_what_is_not_allowed_is_denied(nobody, open_root):
    root = open_root
    (root / "file").write_bytes(b"x")
    (root / "file").chmod(0o000)
    root.chmod(0o555)
    for operation in (
        lambda: content(nobody, "file"),
        lambda: nobody.write("new", b"x"),
        lambda: nobody.delete("file"),
    ):
        with pytest.raises(AccessDenied, match="denies the permission"):
            await operation()
    root.chmod(0o755)
    assert [path.name for path in root.iterdir()] == ["file"]


async def test_a_file_is_never_more_open_than_it_is_to_be(backend, root):
    """Its permissions are those from the first moment on, while it has another name."""
    seen = []

    async def look():
        yield b"x"
        seen.extend(path.stat().st_mode & 0o777 for path in root.iterdir())

    await backend.write("file", look(), options=WriteOptions(mode=0o600))
    assert seen == [0o600]
    assert (await backend.stat("file")).mode == 0o600


@pytest.fixture
def small(tmp_path):
    """A file system of two MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_is_full_is_said_to_be(small):
    async with open_storage(f"sftp://localhost{small}", command=[sftp_server()]) as backend:
        with pytest.raises(NoRoom, match="no room for file"):
            await backend.write("file", bytes(5_000_000))
        await backend.write("file", bytes(1_000_000))
        assert list(await listed(backend)) == ["file"]


# --- streams


async def test_ctrl_c_leaves_nothing(backend, root):
    with pytest.raises(KeyboardInterrupt):
        await backend.write("new", Pieces([bytes(100_000)] * 30, KeyboardInterrupt()))
    assert list(root.iterdir()) == []


async def test_a_reader_that_is_not_read_holds_up_the_server(server, root):
    with (root / "large").open("wb") as large:
        large.truncate(100_000_000)
    async with open_proxy(server.port) as proxy:
        server.know(proxy.port)
        async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
            async with backend.read("large") as reader:
                await anext(reader)
                await trio.sleep(0.5)
                assert proxy.down < 20_000_000
            assert (await backend.stat("large")).size == 100_000_000
        assert proxy.down < 20_000_000


async def test_a_listing_that_is_left_early_costs_a_page(server, root):
    for n in range(1500):
        (root / f"{n:05}").touch()
    async with open_proxy(server.port) as proxy:
        server.know(proxy.port)
        async with open_storage(server.url(root, port=proxy.port), **server.options) as backend:
            before = proxy.down
            async with backend.list() as listing:
                for _ in range(10):
                    await anext(listing)
            await backend.stat()
            page = proxy.down - before
            assert len(await listed(backend)) == 1500
            assert proxy.down - before > 5 * page


async def test_a_folder_that_changes_while_many_read_and_write_stays_right(backend):
    """One connection, many tasks: each gets its own bytes."""

    async def work(n: int) -> None:
        for turn in range(5):
            await backend.write(f"{n}", bytes([n, turn]) * 50_000)
            assert await content(backend, f"{n}") == bytes([n, turn]) * 50_000
            await backend.rename(f"{n}", f"moved/{n}")
            copied = await backend.copy(f"moved/{n}", f"{n}")
            assert copied.size == 100_000

    async with trio.open_nursery() as nursery:
        for n in range(10):
            nursery.start_soon(work, n)

"""The storage in a folder: the contract, and what only a disk can do to it."""

from __future__ import annotations

import os
import stat
import time

import pytest
import trio

from sessionctx.errors import AccessDenied, FileChanged, FileExists, InvalidLocation, NoSuchFile
from sessionctx.storage import LocalStorage, WriteOptions, open_storage
from sessionctx.testing.storage import BackendContract, Broken, Pieces, content, everything, listed

root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@pytest.fixture
def backend(tmp_path):
    (tmp_path / "root").mkdir()
    return LocalStorage(tmp_path / "root")


class TestLocal(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path):
        return LocalStorage(tmp_path)


# --- where it is


async def test_it_is_opened_by_its_url(tmp_path):
    async with open_storage(f"file://{tmp_path}/a%20b") as backend:
        await backend.write("c/d", b"x")
    assert (tmp_path / "a b/c/d").read_bytes() == b"x"
    assert backend.url == backend.public == f"file://{tmp_path}/a%20b"


@pytest.mark.parametrize("url", ["file://host/folder", "file:///a?b", "file:///a#b", "file:///a%00b"])
async def test_a_url_that_names_no_folder_here_is_refused(url):
    with pytest.raises(InvalidLocation, match="file:///folder"):
        async with open_storage(url):
            pass


async def test_a_root_that_is_absent_is_made_when_it_is_written(tmp_path):
    backend = LocalStorage(tmp_path / "some/root")
    with pytest.raises(NoSuchFile):
        await listed(backend)
    await backend.write("a", b"x")
    assert list(await listed(backend)) == ["a"]


# --- links


@pytest.fixture
def linked(tmp_path, backend):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (tmp_path / "root/folder").mkdir()
    (tmp_path / "root/folder/file").write_bytes(b"content")
    for name, to in {
        "in": "folder/file",
        "out": "../outside/secret",
        "away": "../outside",
        "within": "folder",
        "loop": "loop",
        "broken": "nothing",
    }.items():
        (tmp_path / "root" / name).symlink_to(to)
    return backend


async def test_links_are_listed_as_links_and_not_followed(linked):
    found = await listed(linked, recursive=True)
    assert {path: entry.kind for path, entry in found.items() if "/" in path} == {"folder/file": "file"}
    assert [path for path, entry in found.items() if entry.kind == "link"] == sorted(
        ["in", "out", "away", "within", "loop", "broken"], key=list(found).index
    )
    assert [entry.problem for entry in found.values() if entry.problem] == []


async def test_a_link_is_followed_by_name_within_the_root(linked):
    assert await content(linked, "in") == b"content"
    assert await content(linked, "within/file") == b"content"
    assert (await linked.stat("in")).kind == "file"
    assert list(await listed(linked, "within")) == ["within/file"]


@pytest.mark.parametrize("path", ["out", "away/secret"])
async def test_no_link_leads_out_of_the_root(linked, tmp_path, path):
    with pytest.raises(AccessDenied, match="out of the storage"):
        await content(linked, path)
    with pytest.raises(AccessDenied):
        await linked.write("away/new", b"x")
    with pytest.raises(AccessDenied):
        await linked.delete("away/secret")
    with pytest.raises(AccessDenied):
        await linked.rename("in", "away/new")
    with pytest.raises(AccessDenied):
        await linked.mkdir("away/new")
    with pytest.raises(AccessDenied):
        await listed(linked, "away")
    assert sorted(each.name for each in (tmp_path / "outside").iterdir()) == ["secret"]


@pytest.mark.parametrize("path", ["loop", "broken"])
async def test_a_link_to_nothing_is_a_link_and_no_file(linked, path):
    assert (await linked.stat(path)).kind == "link"
    with pytest.raises(NoSuchFile):
        await content(linked, path)


async def test_writing_and_deleting_mean_the_link_itself(linked, tmp_path):
    await linked.write("out", b"mine")
    await linked.delete("in")
    assert (tmp_path / "outside/secret").read_bytes() == b"secret"
    assert not (tmp_path / "root/out").is_symlink()
    assert await content(linked, "folder/file") == b"content"


# --- listings


async def test_what_cannot_be_looked_at_is_told_and_the_rest_goes_on(backend, tmp_path, monkeypatch):
    for path in ["a/b", "c/d", "e"]:
        await backend.write(path, b"x")
    (tmp_path / "root" / os.fsdecode(b"\xff")).write_bytes(b"")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("root/c"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = await listed(backend, recursive=True)
    problems = {path: entry.problem for path, entry in found.items() if entry.problem is not None}
    assert {path: type(problem) for path, problem in problems.items()} == {
        "c": AccessDenied,
        "\udcff": InvalidLocation,
    }
    assert {"a", "a/b", "e"} <= set(found)
    with pytest.raises(AccessDenied):
        await listed(backend, "c")


async def test_a_folder_that_breaks_off_is_told_and_the_rest_goes_on(backend, monkeypatch):
    for path in ["a/1", "a/2", "b/1"]:
        await backend.write(path, b"x")
    scandir = os.scandir

    class Breaking:
        def __init__(self, path):
            self._scan = scandir(path)
            self._breaks = str(path).endswith("/a")
            self.close = self._scan.close

        def __iter__(self):
            return self

        def __next__(self):
            found = next(self._scan)
            if self._breaks and found.name == "2":
                raise OSError(5, "Input/output error")
            return found

    monkeypatch.setattr(os, "scandir", Breaking)
    async with backend.list(recursive=True) as listing:
        found = [entry async for entry in listing]
    assert {"a", "b", "b/1"} <= {entry.path for entry in found}
    assert [(entry.path, "Input/output" in str(entry.problem)) for entry in found if entry.problem] == [("a", True)]


async def test_a_tree_deeper_than_may_be_open_is_listed(backend):
    deep = "/".join(["d"] * 200)
    await backend.write(f"{deep}/file", b"x")
    found = await listed(backend, recursive=True)
    assert len(found) == 201
    assert found[f"{deep}/file"].size == 1


async def test_what_is_being_written_is_not_listed(backend):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(backend.write, "new", Pieces([b"x" * 2_000_000], hang=True))
        await trio.sleep(0.05)
        assert [each.name for each in backend.root.iterdir() if each.name.startswith(".sessionctx-")]
        assert await listed(backend, recursive=True) == {}
        nursery.cancel_scope.cancel()
    assert list(backend.root.iterdir()) == []


async def test_a_listing_left_early_looks_at_little(backend, tmp_path, monkeypatch):
    for n in range(500):
        (tmp_path / "root" / str(n)).touch()
    seen = []
    monkeypatch.setattr("sessionctx.storage.local.walk.is_unfinished", seen.append)
    async with backend.list() as listing:
        async for _ in listing:
            break
    assert len(seen) < 50


# --- reading


async def test_what_is_read_stays_the_file_that_was_opened(backend):
    old, new = b"o" * 10_000_000, b"n" * 10_000_000
    await backend.write("file", old)
    async with backend.read("file") as reader:
        first = await anext(reader)
        await backend.write("file", new)
        assert bytes(first) + await everything(reader) == old
    assert await content(backend, "file") == new


async def test_a_file_that_is_written_in_place_meanwhile_is_no_file_of_one_version(backend):
    await backend.write("file", b"o" * 10_000_000)
    async with backend.read("file") as reader:
        await anext(reader)
        with (backend.root / "file").open("r+b") as file:
            file.write(b"changed")
        with pytest.raises(FileChanged):
            await everything(reader)


async def test_a_pipe_is_no_file_and_does_not_hang(backend, tmp_path):
    os.mkfifo(tmp_path / "root/pipe")
    assert (await backend.stat("pipe")).kind == "other"
    with trio.fail_after(5), pytest.raises(NoSuchFile):
        await content(backend, "pipe")


# --- writing


async def test_folders_made_for_a_write_that_fails_are_gone(backend):
    await backend.write("kept/file", b"x")
    with pytest.raises(Broken):
        await backend.write("kept/a/b/c", Pieces([bytes(2_000_000)], Broken()))
    assert [entry.path for entry in (await listed(backend, recursive=True)).values()] == ["kept", "kept/file"]


async def test_what_is_below_a_file_cannot_be_written(backend):
    await backend.write("file", b"x")
    with pytest.raises(FileExists):
        await backend.write("file/below", b"x")


async def test_of_many_that_replace_a_version_one_succeeds(backend):
    first = await backend.write("file", b"first")
    won = []

    async def replace(n):
        try:
            await backend.write("file", bytes([n]) * 100, options=WriteOptions(if_version=first.version))
        except FileChanged:
            return
        won.append(n)

    async with trio.open_nursery() as nursery:
        for n in range(8):
            nursery.start_soon(replace, n)
    assert [bytes([n]) * 100 for n in won] == [await content(backend, "file")]


@pytest.mark.parametrize("sync", [True, False])
async def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, sync):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"), fsync(fd))
    )
    monkeypatch.setattr(os, "replace", lambda *args, **kw: (done.append("rename"), replace(*args, **kw)))
    await LocalStorage(tmp_path, sync=sync).write("file", b"x")
    assert done == (["file", "rename", "folder"] if sync else ["rename"])


async def test_a_mode_gives_no_more_than_permissions(backend):
    await backend.write("file", b"x", options=WriteOptions(mode=0o4755))
    assert stat.S_IMODE((backend.root / "file").stat().st_mode) == 0o755


async def test_a_full_disk_leaves_nothing(backend, monkeypatch):
    from sessionctx.errors import NoRoom

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NoRoom, match="full"):
        await backend.write("a/file", b"x" * 100)
    monkeypatch.undo()
    assert await listed(backend, recursive=True) == {}


# --- copies


@pytest.mark.parametrize("by_hand", [True, False])
async def test_a_copy_keeps_time_and_permissions(backend, tmp_path, monkeypatch, by_hand):
    data = os.urandom(9_000_001)
    await backend.write("one", data, options=WriteOptions(modified=1e9 + 0.5, mode=0o640))
    if by_hand:
        monkeypatch.setattr(os, "copy_file_range", _no_copy)
    other = LocalStorage(tmp_path / "other")
    copied = await other.copy_from(backend, "one", "x/two")
    assert (copied.size, copied.modified, copied.mode) == (len(data), 1e9 + 0.5, 0o640)
    assert await content(other, "x/two") == data
    assert (await other.stat("x/two")).version == copied.version


def _no_copy(*args):
    raise OSError(18, "Invalid cross-device link")


async def test_a_cancelled_copy_leaves_nothing(backend, monkeypatch):
    await backend.write("one", bytes(1000))
    monkeypatch.setattr(os, "copy_file_range", lambda *args: time.sleep(0.01) or 1)
    with trio.move_on_after(0.1) as scope:
        await backend.copy("one", "a/two")
    assert scope.cancelled_caught
    assert list(await listed(backend, recursive=True)) == ["one"]

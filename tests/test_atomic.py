"""Files that appear whole or not at all, where there are hard links and where there are none."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from sessionctx.atomic import Draft, give_name, writing
from sessionctx.blocks import DiskBlockstore, MemoryBlockstore
from sessionctx.content import Block
from sessionctx.dag import Dag, Files
from sessionctx.errors import TargetExists


@pytest.fixture(params=["hard links", "no hard links"], autouse=True)
def links(request, monkeypatch):
    if request.param == "no hard links":

        def refuse(*_, **__):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)


@pytest.fixture
def synced(monkeypatch):
    """What was synced: "file" or "folder", in order."""
    told = []
    fsync = os.fsync

    def tell(fd):
        told.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", tell)
    return told


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_at_the_end_and_the_disk_has_it_and_its_name(tmp_path, synced):
    with writing(tmp_path / "a") as file:
        file.write(b"whole")
        assert not (tmp_path / "a").exists()
    assert synced == ["file", "folder"]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"whole")]


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_is_left_of_what_fails(tmp_path, replace):
    (tmp_path / "other").touch()
    with pytest.raises(KeyError), writing(tmp_path / "a", replace=replace) as file:
        file.write(b"half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("what", ["file", "folder", "symlink to nowhere"])
def test_what_is_there_stays(tmp_path, when, what):
    path = tmp_path / "a"

    def plant():
        if what == "file":
            path.write_bytes(b"mine")
        elif what == "folder":
            path.mkdir()
        else:
            path.symlink_to("nowhere")

    if when == "before":
        plant()
    with pytest.raises(FileExistsError), writing(path) as file:
        plant()
        file.write(b"theirs")
    assert names(tmp_path) == ["a"]
    assert not path.is_file() or path.read_bytes() == b"mine"


def test_what_is_there_is_replaced_where_that_is_wanted(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with writing(tmp_path / "a", replace=True) as file:
        file.write(b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]


def test_a_draft_that_is_published_stays_when_it_is_closed(tmp_path):
    draft = Draft(tmp_path / "a")
    draft.file.write(b"x")
    draft.publish()
    draft.close()
    assert (tmp_path / "a").read_bytes() == b"x"


@pytest.mark.parametrize("by_folder", [False, True])
def test_files_folders_and_symlinks_get_their_names(tmp_path, by_folder):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").touch()
    (tmp_path / "symlink").symlink_to("file")
    fd = os.open(tmp_path, os.O_RDONLY) if by_folder else None
    for name in ("file", "folder", "symlink"):
        if by_folder:
            give_name(name, "new " + name, fd)
        else:
            give_name(tmp_path / name, tmp_path / f"new {name}")
    if fd is not None:
        os.close(fd)
    assert names(tmp_path) == ["new file", "new folder", "new symlink"]
    assert (tmp_path / "new symlink").is_symlink()
    assert (tmp_path / "new folder" / "inner").exists()


# --- those who write so


@pytest.mark.parametrize("version", [1, 2])
async def test_a_car_file(tmp_path, version, synced):
    store, block = MemoryBlockstore(), Block.of(b"x" * 1000)
    await store.put(block)
    await Dag(store).export_car(block.cid, tmp_path / "a.car", version=version)
    assert synced == ["file", "folder"]
    assert names(tmp_path) == ["a.car"]
    assert (await Dag(MemoryBlockstore()).import_car(tmp_path / "a.car")).blocks == 1
    with pytest.raises(TargetExists):
        await Dag(store).export_car(block.cid, tmp_path / "a.car")


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_an_export(tmp_path, what):
    files, source = Files(MemoryBlockstore()), tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"x")
    added = await files.add(source if what == "folder" else source / "file")
    await files.export(added.cid, tmp_path / "out")
    assert names(tmp_path) == ["out", "source"]
    with pytest.raises(TargetExists):
        await files.export(added.cid, tmp_path / "out")


async def test_a_store(tmp_path):
    async with DiskBlockstore.open(tmp_path / "blocks") as store:
        await store.put(Block.of(b"x"))
    async with DiskBlockstore.open(tmp_path / "blocks") as store:
        assert await store.has(Block.of(b"x").cid)

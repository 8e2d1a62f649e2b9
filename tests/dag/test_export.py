"""Exporting: whole or not at all, and nothing outside the target."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import errors
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID, Block, PBLink, unixfs
from sessionctx.dag import V1_2025, Exported, Files
from sessionctx.dag.unixfs import Profile
from sessionctx.dag.unixfs.hamt import build_hamt
from sessionctx.errors import (
    BlockNotFound,
    DagTooDeep,
    ExportError,
    InvalidDag,
    NotAFile,
    SessionctxError,
    TargetExists,
    TargetUnwritable,
    UnsafePath,
)

LEAF = Block.of(b"leaf")
SMALL = Profile("small", 1, 16, 3, True, 8, 200, "block")
MIB = 1 << 20
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # many small examples, and syncs


@pytest.fixture
def files(store):
    return Files(store)


@pytest.fixture
def out(tmp_path):
    """A folder with nothing but what an export leaves."""
    where = tmp_path / "where"
    where.mkdir()
    return where / "out"


async def refused(files, cid, out, error, match=None):
    with pytest.raises(error, match=match) as caught:
        await files.export(cid, out)
    assert list(out.parent.iterdir()) == []
    return str(caught.value)


# --- what is written


async def test_a_file_is_written_under_its_name_only_when_it_is_whole(files, out):
    content = random.Random(0).randbytes(20 * MIB)
    added = await files.add(content)
    seen = []

    def progress(done):
        assert done.total == len(content)
        seen.append((done.files, done.bytes))
        assert not out.exists()
        assert len(list(out.parent.iterdir())) == 1

    exported = await files.export(added.cid, out, progress=progress)
    assert exported == Exported(added.cid, out, len(content), 1)
    assert seen == sorted(seen)
    assert seen[-1] == (1, len(content))
    assert out.read_bytes() == content
    assert list(out.parent.iterdir()) == [out]
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~umask()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_a_folder_is_exported_by_path(files, out, plant, tmp_path, tree, monkeypatch):
    what = {"a": {"b": b"x", "c": Path("b"), "empty": {}, "none": b""}}
    added = await files.add(plant(tmp_path / "in", what))
    exported = await files.export(f"{added.cid}/a", str(out) + "/")
    assert tree(out) == what["a"]
    assert (exported.files, exported.folders, exported.symlinks, exported.size) == (2, 2, 1, 1)
    monkeypatch.chdir(out.parent)
    await files.export(added.cid, "relative", path="a")
    assert tree(out.parent / "relative") == what["a"]


async def test_a_symlink_is_exported_as_such(files, store, out, symlink):
    link = symlink("../nirgendwo ü".encode(), mtime=unixfs.Mtime(1_000_000_000, 5))
    await store.put(link)
    exported = await files.export(link.cid, out)
    assert exported.symlinks == 1
    assert out.readlink() == Path("../nirgendwo ü")
    assert out.lstat().st_mtime_ns == 1_000_000_000_000_000_005
    with pytest.raises(TargetExists):
        await files.export(LEAF.cid, out) if await store.put(LEAF) is None else None


async def test_permissions_and_times_are_set_where_they_are_said(files, store, out, file, folder):
    script = file([LEAF], mode=0o104751, mtime=unixfs.Mtime(1_234_567_890, 123_456_789))
    inner = folder({"script": script}, mode=0o42500, mtime=unixfs.Mtime(-5))
    root = folder({"inner": inner, "leaf": LEAF}, mode=0o711, mtime=unixfs.Mtime(7))
    await store.put_many([LEAF, script, inner, root])
    await files.export(root.cid, out)
    found = (out / "inner" / "script").stat()
    assert stat.S_IMODE(found.st_mode) == 0o751
    assert found.st_mtime_ns == 1_234_567_890_123_456_789
    assert stat.S_IMODE((out / "inner").stat().st_mode) == 0o500
    assert (out / "inner").stat().st_mtime == -5
    assert stat.S_IMODE(out.stat().st_mode) == 0o711
    assert out.stat().st_mtime == 7


async def test_progress_says_how_much_there_will_be(files, store, out, plant, tmp_path, symlink):
    """Of a folder as its links say, which is a little more than its files have."""
    added = await files.add(plant(tmp_path / "in", {str(number): bytes(100_000) for number in range(30)}))
    told = []
    await files.export(added.cid, out, progress=told.append)
    assert {done.total for done in told} == {told[-1].total}
    assert told[-1].bytes == 3_000_000 <= told[-1].total < 3_010_000
    await store.put(link := symlink(b"x"))
    await files.export(link.cid, out.parent / "link", progress=told.append)
    assert (told[-1].files, told[-1].bytes, told[-1].total) == (0, 0, 0)


async def test_thousands_of_small_files_and_a_deep_folder(files, out, plant, tmp_path, tree):
    """More folders at a time than are kept open, gone through up and down."""
    what = {"x": b"end"}
    for number in range(100):
        what = {"a": {"b": b"%d" % number}, "m": what, "z": b"after %d" % number}
    what["many"] = {f"{number}": b"%d" % number for number in range(2000)}
    added = await files.add(plant(tmp_path / "in", what))
    exported = await files.export(added.cid, out)
    assert exported.files == 2201
    assert tree(out) == what


async def test_a_sharded_directory_is_exported(files, out, plant, tmp_path, tree):
    what = {f"name {number}": b"%d" % number for number in range(500)}
    added = await files.add(plant(tmp_path / "in", what), profile=SMALL)
    assert (await files.stat(added.cid)).sharded
    await files.export(added.cid, out)
    assert tree(out) == what


async def test_trees_of_files_in_an_order_that_scatters_are_written_in_order(
    slow, autojump_clock, out, tree, tmp_path, plant
):
    """Blocks that arrive in any order are written in the right one."""
    store = slow(lambda block: random.Random(bytes(block.cid)).random())
    files = Files(store)
    what = {str(number): random.Random(number).randbytes(number * 7) for number in range(60)}
    added = await files.add(plant(tmp_path / "in", what), profile=SMALL)
    await files.export(added.cid, out)
    assert tree(out) == what


# --- targets


async def test_what_exists_is_never_touched(files, store, tmp_path, folder):
    await store.put_many([LEAF, folder({"a": LEAF})])
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    for cid in (LEAF.cid, folder({"a": LEAF}).cid):
        for target in ("file", "folder", "dangling", "folder/", ".", "folder/.", "folder/.."):
            with pytest.raises(TargetExists, match="exists already"):
                await files.export(cid, f"{tmp_path}/{target}")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_bytes() == b"mine"
    with pytest.raises(TargetExists):
        await files.export(LEAF.cid, "/")


async def test_a_target_that_cannot_be_written_is_named(files, store, tmp_path):
    await store.put(LEAF)
    (tmp_path / "file").touch()
    for target, says in (
        (tmp_path / "no" / "out", "No such file"),
        (tmp_path / "file" / "out", "Not a directory"),
        ("/proc/self/out", "/proc/self/out"),
        (tmp_path / ("x" * 300), "too long"),
        (f"{tmp_path}/a\0b", "is no path"),
    ):
        with pytest.raises(TargetUnwritable, match=says):
            await files.export(LEAF.cid, target)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("what", ["file", "folder", "full folder", "symlink"])
@pytest.mark.parametrize("made", ["file", "folder"])
async def test_what_appears_meanwhile_stays(files, store, out, folder, what, made):
    root = LEAF if made == "file" else folder({"a": LEAF})
    await store.put_many([LEAF, root])

    def appear(*_):
        if os.path.lexists(out):
            return
        if what == "file":
            out.write_bytes(b"mine")
        elif what == "symlink":
            out.symlink_to("nowhere")
        else:
            out.mkdir()
            if what == "full folder":
                (out / "mine").touch()

    with pytest.raises(TargetExists):
        await files.export(root.cid, out, progress=appear)
    assert list(out.parent.iterdir()) == [out]
    assert not out.is_file() or out.read_bytes() == b"mine"


async def test_a_file_system_without_hard_links_will_do(files, store, out, monkeypatch, symlink):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    await store.put_many([LEAF, symlink(b"x")])
    await files.export(LEAF.cid, out)
    assert out.read_bytes() == b"leaf"
    with pytest.raises(TargetExists):
        await files.export(LEAF.cid, out.parent / "two", progress=lambda *_: (out.parent / "two").touch())
    assert sorted(path.name for path in out.parent.iterdir()) == ["out", "two"]


# --- disks


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_leaves_nothing(files, tmp_path, plant, small_disk):
    big = random.Random(0).randbytes(2 * MIB)
    for source in (big, plant(tmp_path / "in", {"a": b"x", "b": {"big": big}})):
        added = await files.add(source)
        with pytest.raises(TargetUnwritable, match="no room on the disk"):
            await files.export(added.cid, small_disk / "out")
        assert list(small_disk.iterdir()) == []
    huge = await files.add(random.Random(0).randbytes(17 * MIB))
    with pytest.raises(TargetUnwritable, match="no room on the disk"):
        await files.export(huge.cid, small_disk / "out")
    assert list(small_disk.iterdir()) == []


async def test_a_disk_that_fills_up_leaves_nothing(files, out, monkeypatch, plant, tmp_path):
    added = await files.add(plant(tmp_path / "in", {"a": bytes(5000), "b": bytes(range(256)) * 100}))
    write = os.write

    def full(fd, data):
        if len(data) > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:1000])  # a short write is no error

    monkeypatch.setattr(os, "write", full)
    said = await refused(files, added.cid, out, TargetUnwritable, "no room on the disk")
    assert "out/b'" in said
    await files.export(f"{added.cid}/a", out)
    assert out.read_bytes() == bytes(5000)


async def test_a_disk_that_cannot_sync_is_an_error(files, store, out, monkeypatch, folder):
    await store.put_many([LEAF, folder({"a": LEAF})])

    class Library:
        def __init__(self, *_, **__):
            pass

        def syncfs(self, fd):
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    await refused(files, folder({"a": LEAF}).cid, out, TargetUnwritable, "Input/output error")

    def refuse(fd):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        await refused(files, LEAF.cid, out, TargetUnwritable, "Input/output error")
    synced = []
    monkeypatch.delattr(Library, "syncfs")
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))
    await files.export(folder({"a": LEAF}).cid, out)
    assert synced == [True]


# --- hostile directories


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/b", "../x", "/etc/x", "a\0b", "x" * 5000, "a/../../x"])
@pytest.mark.parametrize("sharded", [False, True])
async def test_a_name_that_is_none_is_refused(files, store, out, folder, name, sharded):
    if sharded and name:  # in a shard, no name is a link to another shard
        blocks: list[Block] = []
        built = build_hamt(V1_2025, blocks.append, [PBLink(LEAF.cid, "good", 4), PBLink(LEAF.cid, name, 4)])
        await store.put_many([LEAF, *blocks])
        root = built.cid
    else:
        await store.put_many([LEAF, folder([("good", LEAF), (name, LEAF)])])
        root = folder([("good", LEAF), (name, LEAF)]).cid
    await refused(files, root, out, UnsafePath, "no file name")


async def test_a_symlink_is_never_written_through(files, store, tmp_path, out, folder, symlink):
    """A symlink that leads outside, and a directory of the same name whose children would go there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link, inner = symlink(os.fsencode(outside)), folder({"evil": LEAF})
    for pairs in ([("x", link), ("x", inner)], [("x", inner), ("x", link)], [("x", link), ("x", LEAF)]):
        root = folder(pairs)
        await store.put_many([LEAF, link, inner, root])
        await refused(files, root.cid, out, UnsafePath, "two entries called 'x'")
    assert list(outside.iterdir()) == []


async def test_names_which_the_file_system_takes_for_one_are_refused(files, store, out, folder, monkeypatch):
    """As on a file system that ignores case: the second name is taken already."""
    root = folder({"a": folder({}), "A": folder({}), "b": LEAF})
    await store.put_many([root, folder({}), LEAF])
    mkdir = os.mkdir
    monkeypatch.setattr(os, "mkdir", lambda name, **options: mkdir(name.lower(), **options))
    assert "same name on this file system" in await refused(files, root.cid, out, UnsafePath)


async def test_a_folder_swapped_for_a_symlink_meanwhile_is_not_followed(files, out, tmp_path, plant):
    outside = tmp_path / "outside"
    outside.mkdir()
    what = {"a": {"x": {f"{number:03}": {"f": b"1"} for number in range(900)}, "z": b"late"}}
    added = await files.add(plant(tmp_path / "in", what))

    def swap(*_):
        [temporary] = out.parent.iterdir()
        if not (temporary / "a").is_symlink() and (temporary / "a").exists():
            (temporary / "a").rename(temporary / "moved")
            (temporary / "a").symlink_to(outside)

    with pytest.raises(TargetUnwritable):
        await files.export(added.cid, out, progress=swap)
    assert list(outside.iterdir()) == []
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 5000])
async def test_a_symlink_to_no_path_is_refused(files, store, out, symlink, target):
    await store.put(symlink(target))
    await refused(files, symlink(target).cid, out, InvalidDag, "which is no path")


async def test_a_symlink_longer_than_the_system_takes_is_refused(files, store, out, symlink):
    await store.put(symlink(b"x" * 4096))
    await refused(files, symlink(b"x" * 4096).cid, out, TargetUnwritable)


async def test_a_name_longer_than_the_file_system_takes_is_refused(files, store, out, folder):
    root = folder({"a": folder({"x" * 300: LEAF}), "b": LEAF})
    await store.put_many([root, folder({"x" * 300: LEAF}), LEAF])
    assert "out/a/xxx" in await refused(files, root.cid, out, TargetUnwritable, "too long")


async def test_what_is_no_file_is_refused(files, store, out, cbor, folder):
    data = cbor({})
    root = folder({"a": LEAF, "data": data})
    await store.put_many([LEAF, data, root])
    await refused(files, root.cid, out, NotAFile, "dag-cbor")
    await refused(files, data.cid, out, NotAFile)


async def test_too_many_and_too_deep_are_refused(files, store, out, folder):
    wide = folder({f"{number}": LEAF for number in range(700)})
    await store.put_many([LEAF, wide])
    with pytest.raises(ExportError, match="more than 100"):
        await files.export(wide.cid, out, max_entries=100)
    deep = folder({})
    for _ in range(257):
        await store.put(deep)
        deep = folder({"d": deep})
    await store.put(deep)
    await refused(files, deep.cid, out, DagTooDeep, "256")
    shallower = (await files.stat(deep.cid, path="d")).cid
    await files.export(shallower, out)


async def test_a_dag_of_few_blocks_and_endless_paths_ends(files, store, out, folder):
    bomb = folder({})
    for _ in range(40):
        await store.put(bomb)
        bomb = folder({"a": bomb, "b": bomb})
    await store.put(bomb)
    with pytest.raises(ExportError, match="more than 2000"):
        await files.export(bomb.cid, out, max_entries=2000)
    assert list(out.parent.iterdir()) == []


async def test_a_missing_or_wrong_block_leaves_nothing(files, store, out, folder, file):
    gone = Block.of(b"gone")
    late = folder({"a": LEAF, "b": folder({"c": gone})})
    wrong = folder({"a": LEAF, "b": file([LEAF, LEAF], sizes=[4, 5])})
    await store.put_many([LEAF, late, folder({"c": gone}), wrong, file([LEAF, LEAF], sizes=[4, 5]), file([gone, LEAF])])
    await refused(files, late.cid, out, BlockNotFound)
    await refused(files, wrong.cid, out, InvalidDag)
    await refused(files, file([gone, LEAF]).cid, out, BlockNotFound)


async def test_permissions_that_were_set_do_not_hinder_cleaning_up(files, store, out, folder, monkeypatch):
    inner = folder({"leaf": LEAF}, mode=0)
    root = folder({"a": inner, "b": LEAF}, mode=0)
    await store.put_many([LEAF, inner, root])

    class Library:
        def __init__(self, *_, **__):
            pass

        def syncfs(self, fd):
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    await refused(files, root.cid, out, TargetUnwritable)


async def test_metadata_that_the_system_refuses_is_an_error(files, store, out, folder, monkeypatch):
    root = folder({"a": folder({}, mtime=unixfs.Mtime(1))})
    await store.put_many([root, folder({}, mtime=unixfs.Mtime(1))])

    def refuse(*_, **__):
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    await refused(files, root.cid, out, TargetUnwritable)


nasty = st.sampled_from(
    ["..", ".", "", "a", "A", "b", "a/b", "/tmp/evil", "\0", "../evil", "../../evil", "x" * 256, "ü"]
)


@st.composite
def hostile(draw):
    """Nested directories with names of all sorts, repeated names, symlinks that lead outside."""
    return draw(
        st.recursive(
            st.sampled_from(["file", "../outside", "..", "/", "outside", "../../where"]),
            lambda inner: st.lists(st.tuples(nasty | st.sampled_from(["a", "b", "c"]), inner), max_size=4),
            max_leaves=10,
        )
    )


@given(what=hostile())
def test_no_directory_however_hostile_leaves_anything_outside_the_target(what, folder, symlink):
    """Either all of it is below the target, or nothing is there; never is anything written anywhere else."""

    async def main(where):
        store = MemoryBlockstore()
        blocks = []

        def make(what):
            if what == "file":
                block = LEAF
            elif isinstance(what, str):
                block = symlink(what.encode())
            else:
                block = folder([(name, make(inner)) for name, inner in what])
            blocks.append(block)
            return block

        root = make(what)
        await store.put_many(blocks)
        try:
            await Files(store).export(root.cid, where / "in" / "out")
        except SessionctxError:
            return False
        return True

    with tempfile.TemporaryDirectory(dir=QUICK) as name:
        where = Path(name)
        (where / "in").mkdir()
        (where / "outside").mkdir()
        (where / "outside" / "mine").write_bytes(b"mine")
        done = trio.run(main, where)
        assert sorted(path.name for path in where.iterdir()) == ["in", "outside"]
        assert [path.name for path in (where / "outside").iterdir()] == ["mine"]
        assert (where / "outside" / "mine").read_bytes() == b"mine"
        assert [path.name for path in (where / "in").iterdir()] == (["out"] if done else [])


# --- cancelling


class CancelAt(trio.abc.Instrument):
    """Cancels a scope before the n-th step of any task."""

    def __init__(self, scope, step):
        self.scope = scope
        self.left = step

    def before_task_step(self, task):
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_cancelled_at_any_step_it_leaves_nothing_or_all(files, tmp_path, plant, tree, kind):
    what = {"a": b"x" * 100, "b": {"c": b"y" * 50, "d": Path("a")}} if kind == "folder" else b"x" * 100
    added = await files.add(plant(tmp_path / "in", what), profile=SMALL)
    for step in range(1, 1000):
        where = tmp_path / str(step)
        where.mkdir()
        with trio.CancelScope() as scope:
            instrument = CancelAt(scope, step)
            trio.lowlevel.add_instrument(instrument)
            try:
                await files.export(added.cid, where / "out")
            finally:
                trio.lowlevel.remove_instrument(instrument)
        if list(where.iterdir()):
            assert tree(where / "out") == what
            if instrument.left > 0:
                break
        else:
            assert scope.cancelled_caught
    assert 10 < step < 999


async def test_cancelled_while_it_waits_for_blocks_it_ends_at_once(slow, autojump_clock, out):
    store = slow(lambda block: 1000 if block == LEAF else 0)
    await store.put(LEAF)
    with trio.move_on_after(5) as scope:
        await Files(store).export(LEAF.cid, out)
    assert scope.cancelled_caught
    assert trio.current_time() == 5
    assert list(out.parent.iterdir()) == []


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_file_stays_open(files, store, out, folder, tmp_path):
    root = folder({"a": folder({"b": LEAF})})
    await store.put_many([root, folder({"b": LEAF})])
    await files.stat(root.cid)
    before = open_files()
    with pytest.raises(BlockNotFound):
        await files.export(root.cid, out)
    await store.put(LEAF)
    await files.export(root.cid, out)
    await files.export(LEAF.cid, tmp_path / "file")
    assert open_files() <= before


def test_all_errors_say_what_is_left():
    assert issubclass(errors.UnsafePath, ExportError)
    assert CID.of(b"leaf") == LEAF.cid

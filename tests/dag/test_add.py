"""Adding files, folders, bytes and streams."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.blocks import DiskBlockstore, MemoryBlockstore, NetworkBlocks, Pin, TieredBlockstore
from sessionctx.dag import Added, Files
from sessionctx.dag.unixfs import V0_2015, Profile
from sessionctx.errors import (
    DagTooDeep,
    SourceChanged,
    SourceUnreadable,
    StoreFull,
    Unaddable,
    Unsupported,
)

SMALL = Profile("small", 1, 16, 3, True, 8, 200, "block")
MIB = 1 << 20
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # many small examples, and syncs


def fits(name):
    return name not in (".", "..") and len(name.encode()) <= 255


names = st.one_of(
    st.sampled_from(
        [" ", "a", "A", ".hidden", "...", "a b", "-rf", "*", "con", "\\", "\n", "é", "é", "名前", "🜚", "ab."]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=90).filter(fits),
)
targets = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60).map(Path)
leaves = st.one_of(st.binary(max_size=60), targets)
trees = st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=6), max_leaves=20)


def without_hidden(what):
    if not isinstance(what, dict):
        return what
    return {name: without_hidden(inner) for name, inner in what.items() if not name.startswith(".")}


def count(what, kind):
    if isinstance(what, dict):
        return (kind is dict) + sum(count(inner, kind) for inner in what.values())
    return int(isinstance(what, kind))


@given(what=trees, hidden=st.booleans(), profile=st.sampled_from([SMALL, V0_2015]))
def test_what_is_added_comes_back(what, hidden, profile, plant, tree):
    """Any tree of files, folders and symlinks, with names of any script, is exported byte for byte as it was."""

    async def main(folder):
        files = Files(MemoryBlockstore())
        added = await files.add(plant(folder / "in", what), hidden=hidden, profile=profile)
        exported = await files.export(added.cid, folder / "out")
        return added, exported

    with tempfile.TemporaryDirectory(dir=QUICK) as name:
        added, exported = trio.run(main, Path(name))
        expected = what if hidden else without_hidden(what)
        assert tree(Path(name) / "out") == expected
        assert sorted(path.name for path in Path(name).iterdir()) == ["in", "out"]
    assert (added.files, added.folders, added.symlinks) == tuple(count(expected, kind) for kind in (bytes, dict, Path))
    assert (exported.files, exported.folders, exported.symlinks) == (added.files, added.folders, added.symlinks)
    assert exported.size == added.size


async def test_a_file_has_one_name_however_it_arrives(store, tmp_path):
    content = random.Random(0).randbytes(3 * MIB + 5)
    path = tmp_path / "file"
    path.write_bytes(content)

    async def stream():
        rest = content
        for size in (0, 1, MIB, 2 * MIB, MIB):
            piece, rest = rest[:size], rest[size:]
            yield piece

    files = Files(store)
    added = await files.add(path)
    assert added == await files.add(str(path)) == await files.add(content) == await files.add(stream())
    assert added.size == len(content)


async def test_the_order_in_a_folder_does_not_matter(tmp_path, plant, store):
    names = [f"{number}" for number in range(50)]
    for number in (1, 2):
        random.Random(number).shuffle(names)
        plant(tmp_path / str(number), {name: name.encode() for name in names})
    one, two = [await Files(store).add(tmp_path / name, profile=SMALL) for name in ("1", "2")]
    assert one == two


async def test_a_symlink_is_added_as_such(tmp_path, store):
    (tmp_path / "link").symlink_to("nowhere/at/all")
    files = Files(store)
    added = await files.add(tmp_path / "link")
    assert added == Added(added.cid, 0, added.dag_size, 0, 0, 1)
    assert (await files.stat(added.cid)).target == "nowhere/at/all"


async def test_a_hidden_folder_is_added_if_it_is_named(tmp_path, plant, store):
    added = await Files(store).add(plant(tmp_path / ".in", {".x": b"", "y": b""}))
    assert (added.folders, added.files) == (1, 1)
    relative = await Files(store).add(f"{tmp_path}/.in/")
    assert relative == added


async def test_progress_tells_what_is_stored(tmp_path, plant):
    class Watching(MemoryBlockstore):
        stored = 0

        async def put_many(self, blocks):
            await super().put_many(blocks)
            self.stored += sum(len(block.data) for block in blocks if block.cid.codec == 0x55)

    store, told = Watching(), []

    def progress(done):
        assert store.stored == done.bytes
        assert done.total is None
        told.append((done.files, done.bytes))

    content = random.Random(0).randbytes(20 * MIB)
    added = await Files(store).add(plant(tmp_path / "in", {"a": content, "b": b"x"}), progress=progress)
    assert told == sorted(told)
    assert len(told) >= 3
    assert told[-1] == (added.files, added.size) == (2, 20 * MIB + 1)
    told.clear()
    store.stored = 0
    await Files(store).add(content + b"!", progress=progress)
    assert told[-1] == (1, 20 * MIB + 1)


async def test_few_bytes_are_in_memory_and_children_are_stored_first(tmp_path, plant):
    class Watching(MemoryBlockstore):
        def __init__(self):
            super().__init__()
            self.most = 0
            self.known = set()

        async def put_many(self, blocks):
            await super().put_many(blocks)
            self.most = max(self.most, sum(len(block.data) for block in blocks))
            for block in blocks:
                assert set(block.links()) <= self.known
                self.known.add(block.cid)

    root = plant(
        tmp_path / "in", {"big": random.Random(0).randbytes(30 * MIB), **{str(n): b"%d" % n for n in range(2000)}}
    )
    store = Watching()
    await Files(store).add(root)
    assert store.most <= 9 * MIB


async def test_the_root_is_told_when_the_store_is_safe(store):
    class Syncing(MemoryBlockstore):
        def __init__(self):
            super().__init__()
            self.events = []

        async def put_many(self, blocks):
            await super().put_many(blocks)
            self.events.append("put")

        async def sync(self):
            await trio.lowlevel.checkpoint()
            self.events.append("sync")

    for source in (b"x", Path(__file__)):
        syncing = Syncing()
        await Files(syncing).add(source)
        assert syncing.events == ["put", "sync"]


async def test_a_store_on_the_disk_takes_it(tmp_path_factory, plant, tree):
    tmp_path = tmp_path_factory.mktemp("disk")
    root = plant(tmp_path / "in", {"a": random.Random(0).randbytes(9 * MIB), "b": {"c": b"x", "d": Path("c")}})
    async with DiskBlockstore.open(tmp_path / "store") as store:
        added = await Files(store).add(root)
    async with DiskBlockstore.open(tmp_path / "store") as store:
        await Files(store).export(added.cid, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(root)


# --- what cannot be added


async def test_an_unknown_profile_is_refused(store):
    with pytest.raises(Unsupported, match="unixfs-v1-2025"):
        await Files(store).add(b"", profile="v9")


async def test_what_is_not_there_is_named(store, tmp_path):
    with pytest.raises(SourceUnreadable, match=r"gone.*No such file"):
        await Files(store).add(tmp_path / "gone")
    with pytest.raises(SourceUnreadable, match="no path"):
        await Files(store).add("a\0b")
    with pytest.raises(SourceUnreadable, match="Input/output error"):
        await Files(store).add("/proc/self/mem")


async def test_sockets_pipes_and_devices_are_named_and_refused(store, tmp_path):
    where = tmp_path / "in"
    where.mkdir()
    os.mkfifo(where / "pipe")
    with pytest.raises(Unaddable, match="in/pipe' is a pipe"):
        await Files(store).add(where)
    with pytest.raises(Unaddable, match="is a device"):
        await Files(store).add("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(Unaddable, match="is a socket"):
            await Files(store).add(tmp_path / "s")


async def test_a_pipe_put_in_the_place_of_a_file_does_not_hang(store, tmp_path, monkeypatch):
    """The folder was read, then its file was replaced."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("sessionctx.dag.unixfs.scan._mode", lambda entry: 0o100644)
    with trio.fail_after(5), pytest.raises(Unaddable, match="pipe"):
        await Files(store).add(tmp_path)
    (tmp_path / "pipe").unlink()
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(SourceUnreadable, match="link"):
        await Files(store).add(tmp_path)
    (tmp_path / "link").unlink()
    (tmp_path / "file").touch()
    monkeypatch.setattr("sessionctx.dag.unixfs.scan._mode", lambda entry: 0o120777)
    with pytest.raises(SourceUnreadable, match="file"):
        await Files(store).add(tmp_path)


async def test_a_file_put_in_the_place_of_a_folder_is_an_error(store, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("sessionctx.dag.unixfs.scan._mode", lambda entry: 0o040755)
    with pytest.raises(SourceUnreadable, match="file' cannot be read: Not a directory"):
        await Files(store).add(tmp_path)


async def test_a_system_that_reads_less_than_asked_is_no_change(store, tmp_path, monkeypatch):
    content = random.Random(0).randbytes(100_000)
    (tmp_path / "file").write_bytes(content)
    read = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 999)))
    added = await Files(store).add(tmp_path / "file")
    monkeypatch.undo()
    assert added == await Files(store).add(content)


async def test_a_name_that_is_no_utf_8_is_refused(store, tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    with pytest.raises(Unaddable, match="not UTF-8"):
        await Files(store).add(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: os.truncate(path, 12 * MIB),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: os.utime(path, ns=(1, 1)),
    ],
)
async def test_a_file_that_changes_while_it_is_read_is_refused(store, tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(random.Random(0).randbytes(40 * MIB))
    left = [change]

    def progress(_):
        if left:
            left.pop()(path)

    with pytest.raises(SourceChanged, match="file' changed"):
        await Files(store).add(path, progress=progress)


async def test_a_file_without_size_that_has_bytes_is_refused(store):
    with pytest.raises(SourceChanged):
        await Files(store).add("/proc/self/status")


async def test_folders_nested_too_deep_are_refused(store, tmp_path):
    path = tmp_path / "in"
    path.mkdir()
    deepest = path
    for _ in range(256):
        deepest /= "d"
    deepest.mkdir(parents=True)
    added = await Files(store).add(path)
    assert added.folders == 257
    (deepest / "d").mkdir()
    with pytest.raises(DagTooDeep, match="256"):
        await Files(store).add(path)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_an_error_of_the_store_comes_out_as_it_is_and_files_are_closed(tmp_path):
    class Full(MemoryBlockstore):
        async def put_many(self, blocks):
            await trio.lowlevel.checkpoint()
            raise StoreFull("no room")

    path = tmp_path / "file"
    path.write_bytes(bytes(20 * MIB))
    before = open_files()
    with pytest.raises(StoreFull):
        await Files(Full()).add(path)
    assert open_files() <= before


async def test_an_error_of_the_stream_comes_out_as_it_is(store):
    async def broken():
        yield b"x" * MIB
        raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead"):
        await Files(store).add(broken())


async def test_adding_can_be_cancelled(tmp_path):
    class Stuck(MemoryBlockstore):
        async def put_many(self, blocks):
            await trio.sleep_forever()

    path = tmp_path / "file"
    path.write_bytes(bytes(64 * MIB))
    with trio.move_on_after(0.05) as scope:
        await Files(Stuck()).add(path)
    assert scope.cancelled_caught


# --- permissions and times


async def test_permissions_and_times_come_back_where_they_are_wanted(store, tmp_path, plant):
    """Of files of any size, of folders, also sharded ones, and (times only) of symlinks."""
    what = {"big": bytes(3 * MIB), "small": b"x", "empty": b"", "link": Path("big"), "sub": {}, "many": {}}
    root = plant(tmp_path / "in", {**what, "many": {f"{number:060}": b"" for number in range(3000)}})
    paths = [root, *(root / name for name in what)]
    for number, path in enumerate(paths):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o640)
        os.utime(path, ns=(0, (number - 1) * 10**18 + 123_456_789), follow_symlinks=False)
    files = Files(store)
    added = await files.add(root, mode=True, mtime=True)
    assert (await files.stat(added.cid, path="many")).sharded
    assert (await files.stat(added.cid, path="small")).mode == 0o640
    await files.export(added.cid, tmp_path / "out")
    for path in paths:
        before, after = path.lstat(), (tmp_path / "out" / path.relative_to(root)).lstat()
        assert after.st_mtime_ns == before.st_mtime_ns
        assert after.st_mode == before.st_mode
    assert added == await files.add(tmp_path / "out", mode=True, mtime=True)


async def test_what_is_not_asked_for_does_not_change_the_name(store, tmp_path, plant):
    root = plant(tmp_path / "in", {"a": b"x", "link": Path("a")})
    files = Files(store)
    plain = await files.add(root)
    (root / "a").chmod(0o600)
    os.utime(root / "a", (1, 1))
    assert plain == await files.add(root)
    only_mode, only_mtime = await files.add(root, mode=True), await files.add(root, mtime=True)
    assert len({plain.cid, only_mode.cid, only_mtime.cid}) == 3
    assert (await files.stat(only_mode.cid, path="a")).mtime is None
    assert (await files.stat(only_mode.cid, path="link")).mode is None
    assert (await files.stat(only_mtime.cid, path="a")).mode is None
    assert (await files.stat(only_mtime.cid, path="a")).mtime == 1


# --- going on


async def test_what_stands_already_is_not_written_again(tmp_path_factory, plant):
    tmp_path = tmp_path_factory.mktemp("again")
    root = plant(tmp_path / "in", {"a": random.Random(0).randbytes(9 * MIB), "b": {"c": b"x"}})
    async with DiskBlockstore.open(tmp_path / "store") as store:
        first = await Files(store).add(root)
        kept = store.statistics().blocks
        assert first == await Files(store).add(root)
        assert store.statistics().blocks == kept
    assert (tmp_path / "store-data").stat().st_size == 9 * MIB


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL here")
def test_after_a_kill_it_goes_on_from_what_stands(tmp_path_factory):
    """The second run writes what the first did not, and nothing twice; the name is that of a run without a kill."""
    tmp_path = tmp_path_factory.mktemp("killed")
    (tmp_path / "in").write_bytes(random.Random(0).randbytes(40 * MIB))
    script = """
import os, signal, sys, trio
from sessionctx.blocks import DiskBlockstore
from sessionctx.dag import Files

def progress(done):
    if done.bytes >= 16 << 20:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with DiskBlockstore.open(sys.argv[2]) as store:
        await Files(store).add(sys.argv[1], progress=progress)

trio.run(main)
"""
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "in", tmp_path / "store"], check=False)
    assert killed.returncode == -signal.SIGKILL

    async def go_on():
        async with DiskBlockstore.open(tmp_path / "store") as store:
            before = store.statistics().bytes
            added = await Files(store).add(tmp_path / "in")
            assert await Files(MemoryBlockstore()).add(tmp_path / "in") == added
            return before, store.statistics().bytes, added

    before, after, added = trio.run(go_on)
    assert 16 * MIB <= before < 40 * MIB
    assert after == added.dag_size
    assert (tmp_path / "store-data").stat().st_size <= added.dag_size + 8 * MIB  # what the kill cut short may lie there


# --- pins


async def test_what_is_added_is_pinned_by_its_name_where_the_store_keeps_pins(tmp_path):
    """Through any stores before the one that keeps them; a collection leaves what was added, and takes the rest."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(bytes(3000))
    async with DiskBlockstore.open(tmp_path / "store") as store:
        for blocks in (store, NetworkBlocks(store), TieredBlockstore([MemoryBlockstore(), NetworkBlocks(store)])):
            files = Files(blocks)
            tree = await files.add(tmp_path / "tree")
            some = await files.add(b"some bytes")
            loose = await files.add(b"something else", pin=False)
            assert await store.pins.list() == [Pin(tree.cid, "tree"), Pin(some.cid, "")]
            await store.gc(grace=0)
            assert [await store.has(added.cid) for added in (tree, some, loose)] == [True, True, False]
            for pin in await store.pins.list():
                await store.pins.remove(pin.cid)


async def test_no_collection_comes_between_the_blocks_and_the_pin(tmp_path):
    """Even one that has no grace, while the last piece is still awaited."""

    async def pieces():
        yield bytes(9 * MIB)
        while not store.statistics().blocks:  # noqa: ASYNC110
            await trio.sleep(0.01)
        collected.append(await store.gc(grace=0, everything=True))
        yield b"end"

    collected = []
    async with DiskBlockstore.open(tmp_path / "store") as store:
        added = await Files(store).add(pieces(), chunker="size-65536")
        assert [each.blocks for each in collected] == [0]
        assert await Files(store).read_bytes(added.cid) == bytes(9 * MIB) + b"end"


async def test_what_fails_is_not_pinned(tmp_path):
    async with DiskBlockstore.open(tmp_path / "store") as store:
        with pytest.raises(SourceUnreadable):
            await Files(store).add(tmp_path / "absent")
        assert await store.pins.list() == []
        assert await store.gc(grace=0, everything=True)

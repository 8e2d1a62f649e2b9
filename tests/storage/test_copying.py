"""What is copied arrives as it was; what fails is told, and nothing leads out of the target."""

from __future__ import annotations

import os
import random
from contextlib import asynccontextmanager

import pytest
import trio

from sessionctx import session
from sessionctx.errors import AccessDenied, CannotDo, InvalidLocation, LimitReached, NoSuchFile, PeerFailed
from sessionctx.storage import Can, Entry, LocalStorage, Location, MemoryStorage, WriteOptions, copy
from sessionctx.storage.transfer import is_same
from sessionctx.storage.window import SMALLEST
from sessionctx.testing.storage import content, listed
from tests.storage.line import Line

TREE = {"a": b"1", "b/c": b"22", "b/d/e": b"333", "é/ f": b"", "big": random.Random(1).randbytes(2_000_000)}


@pytest.fixture(params=["memory", "local", "line"])
async def source(request, tmp_path):
    storage = {
        "memory": MemoryStorage,
        "local": lambda: LocalStorage(tmp_path / "source", sync=False),
        "line": lambda: Line(best_part=SMALLEST),
    }[request.param]()
    for path, data in TREE.items():
        await storage.write(f"from/{path}", data, options=WriteOptions(modified=1e9, mode=0o640))
    return storage


@pytest.fixture(params=["memory", "local"])
def target(request, tmp_path):
    return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "target", sync=False)


def noting(told):
    async def each(outcome):
        told.append(outcome)

    return each


async def files(storage, prefix=""):
    found = await listed(storage, prefix, recursive=True)
    return {path: await content(storage, path) for path, entry in found.items() if entry.kind == "file"}


async def test_a_folder_is_copied_with_all_that_is_below_it(source, target):
    moved, told = [], []
    summary = await copy(
        Location(source, "from"), Location(target, "to"), recursive=True, progress=moved.append, each=noting(told)
    )
    assert (summary.succeeded, summary.failed, summary.skipped) == (5, 0, 0)
    assert summary.bytes == sum(moved) == sum(map(len, TREE.values()))
    assert {outcome.path: outcome.what for outcome in told} == dict.fromkeys(TREE, "copied")
    assert await files(target) == {f"to/{path}": data for path, data in TREE.items()}
    assert {(await target.stat(f"to/{path}")).modified for path in TREE} == {1e9}
    assert {(await target.stat(f"to/{path}")).mode for path in TREE} == {0o640}


async def test_a_file_is_copied(source, target):
    summary = await copy(Location(source, "from/big"), Location(target, "x/y"))
    assert (summary.succeeded, summary.bytes) == (1, len(TREE["big"]))
    assert await files(target) == {"x/y": TREE["big"]}


async def test_what_is_there_already_is_skipped(source, target):
    await copy(Location(source, "from"), Location(target, "to"), recursive=True)
    await source.write("from/a", b"2", options=WriteOptions(modified=1e9 + 10))
    await source.write("from/b/c", b"longer", options=WriteOptions(modified=1e9))
    told = []
    summary = await copy(
        Location(source, "from"), Location(target, "to"), recursive=True, resume=True, each=noting(told)
    )
    assert (summary.succeeded, summary.skipped) == (2, 3)
    assert {outcome.path for outcome in told if outcome.what == "copied"} == {"a", "b/c"}
    assert (await content(target, "to/a"), await content(target, "to/b/c")) == (b"2", b"longer")


async def test_a_dry_run_changes_nothing(source, target):
    if isinstance(target, LocalStorage):
        target.root.mkdir()
    told = []
    summary = await copy(
        Location(source, "from"), Location(target, "to"), recursive=True, dry_run=True, each=noting(told)
    )
    assert (summary.succeeded, summary.bytes) == (5, sum(map(len, TREE.values())))
    assert {outcome.what for outcome in told} == {"planned"}
    assert await listed(target) == {}


async def test_a_folder_is_copied_only_if_that_is_said(source, target):
    with pytest.raises(CannotDo, match="folder"):
        await copy(Location(source, "from"), Location(target, "to"))
    with pytest.raises(NoSuchFile):
        await copy(Location(source, "absent"), Location(target, "to"), recursive=True)


async def test_nothing_is_copied_into_itself(source):
    for to in ["from", "from/b/new", "from/x"]:
        with pytest.raises(CannotDo, match="somewhere else"):
            await copy(Location(source, "from"), Location(source, to), recursive=True)
    with pytest.raises(CannotDo, match="somewhere else"):
        await copy(Location(source), Location(source, "anywhere"), recursive=True)
    await copy(Location(source, "from"), Location(source, "from2"), recursive=True)
    assert await files(source, "from2") == {f"from2/{path}": data for path, data in TREE.items()}


async def test_nothing_is_copied_to_where_nothing_is_written(source):
    target = MemoryStorage(can=Can(write=False))
    with pytest.raises(CannotDo, match="only be read"):
        await copy(Location(source, "from"), Location(target), recursive=True)


def test_locations_are_shown_as_people_write_them():
    assert Location(LocalStorage("/"), "x/y").shown == "file:///x/y"
    assert Location(LocalStorage("/"), "").shown == "file:///"
    assert Location(LocalStorage("/x"), "y").shown == "file:///x/y"
    assert Location(LocalStorage("/x")).below("y").relative("y") == "y"
    assert Location(LocalStorage("/x"), "a").relative("a/b/c") == "b/c"


async def test_within_one_storage_no_bytes_come_to_us(tmp_path):
    storage = Broken(bad={"a": FAILED})
    await storage.write("a", b"x" * 100)
    await copy(Location(storage, "a"), Location(storage, "b"))
    assert storage._files["b"][1] == b"x" * 100


async def test_folders_that_are_empty_are_kept(target):
    source = MemoryStorage()
    await source.mkdir("from/empty")
    await copy(Location(source, "from"), Location(target, "to"), recursive=True)
    assert list(await listed(target, "to")) == ["to/empty"]


@pytest.mark.parametrize(("pipelined", "resume", "parts"), [(0, 0, True), (1, 0, False), (1, 1, True)])
async def test_a_large_file_comes_in_parts_where_that_helps(tmp_path, pipelined, resume, parts):
    source, target = Line(best_part=SMALLEST, pipelined=bool(pipelined)), LocalStorage(tmp_path, sync=False)
    await source.write("big", TREE["big"])
    await copy(Location(source, "big"), Location(target, "big"), resume=bool(resume))
    assert (len(source.asked) > 1) is parts
    assert await content(target, "big") == TREE["big"]


# --- what fails


class Broken(MemoryStorage):
    """Reads of some files fail; its listing holds what is told."""

    def __init__(self, bad=(), more=(), breaks=None):
        super().__init__()
        self.bad, self.more, self.breaks = bad, more, breaks

    @asynccontextmanager
    async def read(self, path, **options):
        if path in self.bad:
            raise self.bad[path]
        async with super().read(path, **options) as reader:
            yield reader

    @asynccontextmanager
    async def list(self, prefix="", **options):
        async with super().list(prefix, **options) as listing:
            yield self._all(listing)

    async def _all(self, listing):
        async for entry in listing:
            yield entry
        for entry in self.more:
            yield entry
        if self.breaks is not None:
            raise self.breaks


async def broken(**how):
    source = Broken(**how)
    for n in range(20):
        await source.write(f"f/{n}", b"x" * n)
    return source


FAILED = PeerFailed("gone", peer="p")


async def test_what_fails_is_told_and_the_rest_goes_on(target):
    source = await broken(bad={"f/3": FAILED, "f/7": AccessDenied("no")})
    summary = await copy(Location(source, "f"), Location(target, "to"), recursive=True)
    assert (summary.succeeded, summary.failed) == (18, 2)
    assert {(outcome.path, outcome.error) for outcome in summary.failures} == {
        ("3", FAILED),
        ("7", source.bad["f/7"]),
    }
    assert set(await files(target)) == {f"to/{n}" for n in range(20) if n not in {3, 7}}


async def test_the_first_error_ends_all_if_that_is_wanted(target):
    source = await broken(bad={"f/3": FAILED})
    with pytest.raises(PeerFailed) as caught:
        await copy(Location(source, "f"), Location(target, "to"), recursive=True, on_error="stop")
    assert caught.value is FAILED


async def test_a_listing_that_breaks_off_is_told_and_what_it_told_is_copied(target):
    source = await broken(breaks=FAILED)
    summary = await copy(Location(source, "f"), Location(target, "to"), recursive=True)
    assert (summary.succeeded, summary.failed) == (20, 1)
    assert summary.failures[0].error is FAILED
    with pytest.raises(PeerFailed):
        await copy(Location(source, "f"), Location(target, "to"), recursive=True, on_error="stop")


async def test_what_cannot_be_looked_at_is_a_failure(target):
    problem = AccessDenied("no")
    source = await broken(more=[Entry(path="f/secret", kind="folder", problem=problem)])
    summary = await copy(Location(source, "f"), Location(target, "to"), recursive=True)
    assert (summary.succeeded, summary.failed) == (20, 1)
    assert summary.failures[0].error is problem


@pytest.mark.parametrize("path", ["f/../../x", "f//x", "f/a/../../../x", "g/x", "/etc/x", "f/\0", "../x", "f"])
async def test_a_name_that_could_lead_out_of_the_target_is_refused(tmp_path, path):
    source = await broken(more=[Entry(path=path)])
    target = LocalStorage(tmp_path / "a/b/c", sync=False)
    summary = await copy(Location(source, "f"), Location(target, "to"), recursive=True)
    assert (summary.succeeded, summary.failed) == (20, 1)
    assert isinstance(summary.failures[0].error, InvalidLocation)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert [each.name for each in (tmp_path / "a/b").iterdir()] == ["c"]


async def test_the_end_of_the_session_ends_a_copy(target):
    source = Line()
    for n in range(20):
        await source.write(f"f/{n}", b"x" * n)
    with session.begin(limits=session.Limits(requests=5)), pytest.raises(LimitReached):
        await copy(Location(source, "f"), Location(target, "to"), recursive=True)


async def test_a_copy_can_be_cancelled(target):
    source = Line(latency=lambda: 0.05)
    for n in range(200):
        await source.write(f"f/{n}", b"x" * n)
    with trio.move_on_after(0.2) as scope:
        await copy(Location(source, "f"), Location(target, "to"), recursive=True)
    assert scope.cancelled_caught
    assert len(await files(target)) < 200
    assert source.now == 0


# --- links, and what is no file


async def test_links_are_skipped_or_followed_to_files(tmp_path, target):
    source = LocalStorage(tmp_path / "source", sync=False)
    await source.write("f/file", b"content")
    for name, to in {"link": "file", "out": tmp_path, "loop": "loop", "folder": "."}.items():
        (tmp_path / "source/f" / name).symlink_to(to)
    os.mkfifo(tmp_path / "source/f/pipe")
    told = []
    summary = await copy(Location(source, "f"), Location(target, "to"), recursive=True, each=noting(told))
    assert (summary.succeeded, summary.skipped, summary.failed) == (1, 5, 0)
    assert {outcome.reason for outcome in told if outcome.path == "link"} == {"a symbolic link"}
    summary = await copy(Location(source, "f"), Location(target, "to"), recursive=True, links="follow")
    assert (summary.succeeded, summary.skipped, summary.failed) == (2, 4, 0)
    assert await files(target) == {"to/file": b"content", "to/link": b"content"}


def test_what_counts_as_the_same():
    one = Entry(path="a", size=5, modified=100.25, version="v")
    assert is_same(one, Entry(path="b", size=5, modified=100.0), times=True)
    assert is_same(one, Entry(path="b", size=5, modified=1.0, version="v"), times=True)
    assert is_same(one, Entry(path="b", size=5, modified=500.0), times=False)
    assert not is_same(one, Entry(path="b", size=5, modified=500.0), times=True)
    assert not is_same(one, Entry(path="b", size=5, modified=50.0), times=False)
    assert not is_same(one, Entry(path="b", size=6, modified=100.25, version="v"), times=True)
    assert not is_same(one, Entry(path="b", size=5), times=True)
    assert not is_same(one, Entry(path="b", kind="folder"), times=True)
    assert not is_same(Entry(path="a"), Entry(path="b"), times=True)


async def test_metadata_goes_along(target):
    source = MemoryStorage()
    options = WriteOptions(content_type="text/x-test", metadata={"colour": "blue"})
    await source.write("a", b"x", options=options)
    other = MemoryStorage()
    await copy(Location(source, "a"), Location(other, "b"))
    found = await other.stat("b")
    assert (found.content_type, dict(found.metadata)) == ("text/x-test", {"colour": "blue"})

"""Whatever order parts come in, and whatever is cut: the file is right, or absent; what was there is not asked for anew."""

from __future__ import annotations

import json
import os
import random
import tempfile

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.errors import CannotDo, FileChanged, FileExists, NoRoom, PeerFailed
from sessionctx.storage import Can, LocalStorage, WriteOptions, download, open_storage
from sessionctx.storage.window import SMALLEST
from sessionctx.testing.proxy import Fault, open_proxy
from sessionctx.testing.storage import content, listed
from tests.profiles import examples
from tests.storage.line import Line
from tests.storage.nginx import nginx

DATA = random.Random(5).randbytes(3 * 1024 * 1024 + 17)


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return LocalStorage(tmp_path / "target", sync=False)


async def filled(line, data=DATA):
    await line.write("file", data)
    return line


def left(target):
    return sorted(each.name for each in target.root.iterdir())


async def test_a_file_is_brought_in_parts(target):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=4))
    came = []
    options = WriteOptions(mode=0o640, modified=1e9)
    entry = await download(line, "file", target, "a/b", options=options, progress=came.append)
    assert (entry.path, entry.size, entry.mode, entry.modified) == ("a/b", len(DATA), 0o640, 1e9)
    assert await content(target, "a/b") == DATA
    assert (await target.stat("a/b")).version == entry.version
    assert line.most == 4
    assert sum(came) == len(DATA)
    assert sum(length for _, length in line.asked) >= len(DATA)
    assert left(target) == ["a"]


@pytest.mark.parametrize("size", [0, 1, SMALLEST, SMALLEST + 1])
async def test_a_file_of_any_size_is_brought(target, size):
    line = await filled(Line(best_part=SMALLEST), DATA[:size])
    await download(line, "file", target, "file")
    assert await content(target, "file") == DATA[:size]


@examples(25)
@given(seed=st.integers(0, 2**32), at_once=st.integers(1, 5), resume=st.booleans())
def test_the_file_is_right_or_absent_however_its_parts_are_late_and_cut(seed, at_once, resume):
    """It never appears before it is whole; with resume, tries end, and little is asked for twice."""
    chance = random.Random(seed)

    async def main():
        with tempfile.TemporaryDirectory() as folder:
            target = LocalStorage(folder, sync=False)
            line = await filled(
                Line(
                    latency=lambda: chance.choice([0, 0, 0.001, 0.003]),
                    cut=lambda: chance.choice([None, None, None, None, None, 300_000, 0]),
                    best_part=SMALLEST,
                    best_in_flight=at_once,
                )
            )
            for _ in range(100):
                try:
                    await download(line, "file", target, "file", resume=resume)
                except PeerFailed:
                    assert await listed(target) == {}
                    assert (left(target) == []) is not resume
                else:
                    break
                if not resume:
                    line.cut = lambda: None
            assert await content(target, "file") == DATA
            assert left(target) == ["file"]
            if resume:
                assert line.sent <= 2 * len(DATA)

    trio.run(main)


async def broken_off(line, target, at=2):
    """Leave a download of which some is there."""
    asked = len(line.asked)
    line.cut = lambda: None if len(line.asked) < asked + at else 0
    with pytest.raises(PeerFailed):
        await download(line, "file", target, "file", resume=True)
    line.cut = lambda: None
    line.sent = 0


@pytest.fixture
async def line():
    return await filled(Line(best_part=SMALLEST, best_in_flight=1, latency=lambda: 0.001))


def note_of(target):
    (note,) = (each for each in target.root.iterdir() if each.name.endswith("-note.part"))
    return note


async def test_what_is_there_is_not_asked_for_anew(line, target):
    await broken_off(line, target)
    there = sum(end - begin for begin, end, _ in json.loads(note_of(target).read_text())["spans"])
    assert there > 0
    line.can = Can(best_part=SMALLEST, best_in_flight=3, if_version=True)
    came = []
    await download(line, "file", target, "file", resume=True, progress=came.append)
    assert len(DATA) - there <= line.sent < len(DATA)
    assert (came[0], sum(came)) == (there, len(DATA))
    assert await content(target, "file") == DATA
    assert left(target) == ["file"]


async def test_what_is_not_what_was_written_is_asked_for_anew(target):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=2))
    await broken_off(line, target)
    (draft,) = (each for each in target.root.iterdir() if not each.name.endswith("-note.part"))
    with draft.open("r+b") as file:
        file.seek(10)
        file.write(b"damaged")
    await download(line, "file", target, "file", resume=True)
    assert await content(target, "file") == DATA


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"format": 1, "spans": [[0, 5]]}', "null"])
async def test_a_note_that_is_none_counts_for_nothing(target, note):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=2))
    await broken_off(line, target)
    note_of(target).write_text(note)
    await download(line, "file", target, "file", resume=True)
    assert line.sent >= len(DATA)
    assert left(target) == ["file"]


async def test_another_version_is_begun_anew(target):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=2))
    await broken_off(line, target)
    await filled(line, DATA[::-1])
    await download(line, "file", target, "file", resume=True)
    assert await content(target, "file") == DATA[::-1]
    assert left(target) == ["file"]


@pytest.mark.parametrize("resume", [True, False])
async def test_a_file_that_changes_meanwhile_is_not_mixed(target, resume):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=2))
    reads = 0

    def latency():
        nonlocal reads
        reads += 1
        if reads == 3:
            line._files["file"] = (line._files["file"][0].__class__(path="file", size=len(DATA), version="new"), DATA)
        return 0

    line.latency = latency
    with pytest.raises(FileChanged):
        await download(line, "file", target, "file", resume=resume)
    assert left(target) == []


@pytest.mark.parametrize("resume", [True, False])
async def test_what_is_cancelled_leaves_nothing_or_what_can_be_gone_on_with(target, resume):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=2, pace=lambda: 0.02))
    with trio.move_on_after(0.15) as scope:
        await download(line, "file", target, "file", resume=resume)
    assert scope.cancelled_caught
    assert await listed(target) == {}
    assert len(left(target)) == (2 if resume else 0)
    line.pace = lambda: 0
    line.sent = 0
    await download(line, "file", target, "file", resume=resume)
    assert await content(target, "file") == DATA
    assert (line.sent < len(DATA)) is resume


async def test_two_do_not_go_on_with_the_same(target):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=2, pace=lambda: 0.01))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: download(line, "file", target, "file", resume=True))
        await trio.sleep(0.05)
        with pytest.raises(FileExists, match="somebody else"):
            await download(line, "file", target, "file", resume=True)
    assert await content(target, "file") == DATA


async def test_a_full_disk_is_told_before_anything_is_asked(target, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    line = await filled(Line())
    with pytest.raises(NoRoom):
        await download(line, "file", target, "file", resume=True)
    assert line.asked == []


async def test_what_is_silent_is_asked_anew_when_there_is_nothing_else_to_do(target, monkeypatch):
    monkeypatch.setattr("sessionctx.storage.downloading._LEAST_LATE", 0.2)
    line = await filled(Line(best_part=SMALLEST, best_in_flight=3))
    line.latency = lambda: 1000 if len(line.asked) == 2 else 0
    with trio.fail_after(10), session.begin() as s:
        await download(line, "file", target, "file")
    assert await content(target, "file") == DATA
    assert s.statistics().cancelled >= 1


async def test_a_file_that_is_shorter_than_told_ends(target):
    line = await filled(Line(best_part=SMALLEST))
    entry = (await line.stat("file")).__class__(path="file", size=len(DATA) + 100)
    with pytest.raises(FileChanged):
        await download(line, "file", target, "file", entry=entry)
    assert left(target) == []
    with pytest.raises(CannotDo):
        await download(line, "file", target, "file", entry=entry.__class__(path="file"))


async def test_the_limits_of_the_session_hold(target):
    line = await filled(Line(best_part=SMALLEST, best_in_flight=8, pace=lambda: 0.001))
    with session.begin(limits=session.Limits(in_flight=2)):
        await download(line, "file", target, "file")
    assert line.most == 2


async def test_over_a_line_that_breaks_from_a_server_of_others(tmp_path, target):
    (tmp_path / "root").mkdir()
    data = DATA * 4
    (tmp_path / "root/file").write_bytes(data)
    with nginx(tmp_path / "root", tmp_path / "work") as port:
        async with open_proxy(port) as proxy, open_storage(f"http://127.0.0.1:{proxy.port}") as source:
            source.can = Can(best_part=SMALLEST, best_in_flight=4, if_version=True)
            proxy.arm(None, Fault("reset", after=100_000), Fault("cut", after=200_000), None, Fault("refuse"))
            await download(source, "file", target, "file")
    assert await content(target, "file") == data
    assert proxy.down < len(data) * 1.3
    assert proxy.open == 0

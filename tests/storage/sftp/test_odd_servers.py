"""Servers that are slow-witted, old, odd or hostile: what they bring is right, or there is a clear error."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import trio

from sessionctx.errors import BadAnswer, CannotDo, FileChanged, FileExists, NoRoom, NoSuchFile, Unreachable
from sessionctx.storage import WriteOptions, open_storage
from sessionctx.testing.storage import content, listed

SIZE = 200_000
DATA = random.Random(3).randbytes(SIZE)


@pytest.fixture
def odd(tmp_path):
    """Opens a storage on an odd server, with a file in it."""
    (tmp_path / "file").write_bytes(DATA)

    def open_odd(*oddities):
        argv = [sys.executable, "-ISE", str(Path(__file__).with_name("odd_server.py")), str(tmp_path), *oddities]
        return open_storage(f"sftp://localhost{tmp_path}", command=argv)

    return open_odd


@pytest.mark.parametrize("oddities", [[], ["shuffled"], ["short"], ["short", "shuffled"]])
async def test_what_comes_in_another_order_or_in_part_is_put_together(odd, oddities):
    async with odd(*oddities) as backend:
        assert await content(backend, "file") == DATA
        async with backend.read("file", offset=70_000, length=50_001) as reader:
            assert b"".join([bytes(piece) async for piece in reader]) == DATA[70_000:120_001]


@pytest.mark.parametrize("oddity", ["empty", "more", "stranger"])
async def test_a_server_that_lies_about_bytes_breaks_the_protocol(odd, oddity):
    async with odd(oddity) as backend:
        with pytest.raises(BadAnswer, match="breaks the protocol"):
            await content(backend, "file")


async def test_a_server_that_tells_no_size_is_no_empty_file(odd):
    async with odd("sizeless") as backend:
        with pytest.raises(BadAnswer, match="size"):
            await content(backend, "file")


async def test_a_file_that_ends_early_has_changed(odd):
    async with odd("ends") as backend:
        with pytest.raises(FileChanged, match="shorter"):
            await content(backend, "file")


@pytest.mark.parametrize(("oddity", "what"), [("garbage", "login shell"), ("new", "version 6")])
async def test_what_is_no_server_of_ours_is_said_at_once(odd, oddity, what):
    with pytest.raises(BadAnswer, match=what):
        async with odd(oddity):
            pass


async def test_only_files_are_opened_a_pipe_would_hold_up_the_server(odd):
    async with odd("pipe") as backend:
        with pytest.raises(NoSuchFile, match="no file"):
            await content(backend, "file")


async def test_a_server_without_extensions_says_so_and_writes(odd):
    async with odd() as backend:
        assert (backend.can.if_absent, backend.can.copy) == (False, False)
        with pytest.raises(CannotDo):
            await backend.write("new", b"x", options=WriteOptions(if_absent=True))
        with pytest.raises(CannotDo):
            await backend.copy("file", "new")
        await backend.write("new", b"x")
        assert await content(backend, "new") == b"x"


async def test_what_cannot_be_replaced_at_once_is_not_replaced(odd, tmp_path):
    """Without posix-rename a file would be gone for a moment: this is refused, and nothing is left."""
    async with odd() as backend:
        with pytest.raises(FileExists, match="cannot be by this server"):
            await backend.write("file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == DATA


async def test_a_full_disk_is_said_to_be_full(odd, tmp_path):
    async with odd("full") as backend:
        with pytest.raises(NoRoom, match="no room for new"):
            await backend.write("new", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


async def test_a_name_that_can_be_no_path_comes_with_a_problem(odd):
    async with odd() as backend:
        found = await listed(backend)
    assert found.pop("plain").problem is None
    assert len(found) == 5
    for path, entry in found.items():
        assert path.isprintable()
        assert path in str(entry.problem)


async def test_a_program_that_is_not_there_is_unreachable(tmp_path):
    with pytest.raises(Unreachable, match="no-such-program"):
        async with open_storage(f"sftp://localhost{tmp_path}", command=["no-such-program"]):
            pass


async def test_a_program_that_ends_at_once_tells_why(tmp_path):
    with pytest.raises(Unreachable, match="no service today"):
        async with open_storage(
            f"sftp://localhost{tmp_path}", command=["/bin/sh", "-c", "echo no service today >&2; exit 3"]
        ):
            pass


async def test_a_program_that_says_nothing_can_be_given_up(tmp_path):
    with trio.move_on_after(0.2) as scope:
        async with open_storage(f"sftp://localhost{tmp_path}", command=["/bin/sleep", "60"]):
            pass
    assert scope.cancelled_caught

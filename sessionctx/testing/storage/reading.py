"""Files are read, whole and in ranges, of one version, and seen by the session."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import random

import pytest
import trio
from trio.testing import assert_checkpoints

from sessionctx import session
from sessionctx.errors import CannotDo, FileChanged, InvalidLocation, NoSuchFile
from sessionctx.peers import statistics
from sessionctx.storage import Backend
from sessionctx.testing.storage.sources import content, everything, listed

BAD_PATHS = ["/abs", "a//b", "a/", "../x", "a/../b", ".", "a/./b", "a\0b", "a\nb", "x" * 5000]
NAMES = ["plain", "with space", "ünï", "100%", "a+b&c=d?e#f", "日本", "quote'\"", "semi;colon", "tilde~", "-dash"]


@pytest.mark.trio
class ReadingContract:
    """Files are read, whole and in ranges, of one version, and seen by the session."""

    @pytest.fixture
    def writer(self, backend: Backend) -> Backend:
        """Give what puts files there; of a backend that only reads, another one at the same place."""
        return backend

    # --- files and ranges

    @pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001])
    async def test_what_is_there_is_read(self, backend: Backend, writer: Backend, size: int) -> None:
        data = random.Random(size).randbytes(size)  # noqa: S311
        await writer.write("folder/file", data)
        found = await backend.stat("folder/file")
        assert (found.path, found.kind, found.size) == ("folder/file", "file", size)
        async with backend.read("folder/file") as reader:
            assert (reader.entry.path, reader.entry.size) == ("folder/file", size)
            assert reader.entry.version == found.version
            assert await everything(reader) == data

    @pytest.mark.parametrize("name", NAMES)
    async def test_a_file_of_any_name_is_read(self, backend: Backend, writer: Backend, name: str) -> None:
        await writer.write(f"{name}/{name}", name.encode())
        assert await content(backend, f"{name}/{name}") == name.encode()

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 10), (0, 1_000_000), (5, None), (999_990, 100), (1_000_000, None), (2_000_000, 5), (7, 0), (0, 0)],
    )
    async def test_a_range_is_what_lies_in_it(
        self, backend: Backend, writer: Backend, offset: int, length: int | None
    ) -> None:
        data = random.Random(2).randbytes(1_000_000)  # noqa: S311
        await writer.write("file", data)
        async with backend.read("file", offset=offset, length=length) as reader:
            assert reader.entry.size == len(data)
            end = None if length is None else offset + length
            assert await everything(reader) == data[offset:end]

    async def test_an_error_of_who_reads_comes_out_as_it_is(self, backend: Backend, writer: Backend) -> None:
        await writer.write("file", b"x" * 100_000)
        with pytest.raises(ZeroDivisionError):
            async with backend.read("file"):
                raise ZeroDivisionError

    # --- what cannot be read

    @pytest.mark.parametrize("path", BAD_PATHS)
    async def test_a_path_that_can_be_none_is_not_looked_for(self, backend: Backend, path: str) -> None:
        with pytest.raises(InvalidLocation):
            await backend.stat(path)
        with pytest.raises(InvalidLocation):
            async with backend.read(path):
                pass

    async def test_what_is_not_there_is_not_found(self, backend: Backend) -> None:
        with pytest.raises(NoSuchFile, match="nowhere") as caught:
            await backend.stat("nowhere/file")
        assert caught.value.path == "nowhere/file"
        with pytest.raises(NoSuchFile, match="nowhere"):
            async with backend.read("nowhere"):
                pass

    async def test_a_read_of_a_version_that_is_gone_is_refused(self, backend: Backend, writer: Backend) -> None:
        await writer.write("file", b"first")
        first = await backend.stat("file")
        async with backend.read("file", version=first.version) as reader:
            assert await everything(reader) == b"first"
        if first.version is None:
            return
        await writer.write("file", b"second!")
        with pytest.raises(FileChanged):
            async with backend.read("file", version=first.version) as reader:
                await everything(reader)

    # --- sessions, and trio

    async def test_a_session_sees_its_requests(self, backend: Backend, writer: Backend) -> None:
        await writer.write("file", b"x" * 100_000)
        with session.begin() as s:
            assert await content(backend, "file") == b"x" * 100_000
            with pytest.raises(NoSuchFile):
                await backend.stat("absent")
        if backend.can.local:
            return
        counted = s.statistics()
        assert counted.requests >= 2
        assert counted.open == counted.in_flight == 0
        assert counted.bytes >= 100_000
        (peer,) = statistics(s)
        assert peer.url == backend.public
        assert (peer.found >= 1, peer.missing) == (True, 1)
        assert peer.in_flight == 0

    async def test_a_limit_of_requests_in_flight_holds(self, backend: Backend, writer: Backend) -> None:
        await writer.write("file", b"x" * 100_000)
        most = 0
        with session.begin(limits=session.Limits(in_flight=2)) as s:

            async def read() -> None:
                nonlocal most
                async with backend.read("file") as reader:
                    async for _ in reader:
                        most = max(most, s.statistics().in_flight)

            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(read)
        assert most <= 2

    async def test_reading_checkpoints(self, backend: Backend, writer: Backend) -> None:
        await writer.write("file", b"x")
        with assert_checkpoints():
            await backend.stat("file")
        with assert_checkpoints():
            await content(backend, "file")


@pytest.mark.trio
class ReadOnlyContract(ReadingContract):
    """The contract of backends that only read. Subclass this, and override the fixtures `backend` and `writer`."""

    async def test_nothing_is_changed(self, backend: Backend, writer: Backend) -> None:
        await writer.write("file", b"x")
        assert not backend.can.write
        for change in (
            backend.write("file", b"y"),
            backend.delete("file"),
            backend.delete_many(["file"]),
            backend.mkdir("folder"),
            backend.rename("file", "other"),
            backend.copy("file", "other"),
        ):
            with assert_checkpoints(), pytest.raises(CannotDo):
                await change
        assert list(await listed(writer)) == ["file"]
        assert await content(backend, "file") == b"x"

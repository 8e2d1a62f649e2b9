"""Files go in and out whole, or not at all."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import itertools
import random

import pytest
import trio

from sessionctx.errors import FileChanged, InvalidLocation
from sessionctx.storage import Backend
from sessionctx.testing.storage.reading import BAD_PATHS, NAMES
from sessionctx.testing.storage.sources import Broken, Pieces, content, listed, nothing_at


@pytest.mark.trio
class FilesContract:
    """Files go in and out whole, or not at all."""

    large: int = 20 * 1024 * 1024 + 7
    """Bytes that take more than one part, and do not end with one."""

    # --- whole files

    @pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_001])
    async def test_what_was_written_is_read(self, backend: Backend, size: int) -> None:
        data = random.Random(size).randbytes(size)  # noqa: S311
        wrote = await backend.write("file", data)
        assert (wrote.path, wrote.kind, wrote.size) == ("file", "file", size)
        assert await content(backend, "file") == data
        found = await backend.stat("file")
        assert (found.path, found.kind, found.size) == ("file", "file", size)
        assert found.version == wrote.version

    async def test_a_large_file_goes_in_and_out_in_pieces_of_any_size(self, backend: Backend) -> None:
        data = random.Random(1).randbytes(self.large)  # noqa: S311
        cuts = [0, 0, 1, 3, 70_000, 5_000_000, 5_000_001, self.large]
        pieces = [data[a:b] for a, b in itertools.pairwise(cuts)]
        wrote = await backend.write("large", Pieces(pieces))
        assert wrote.size == self.large
        async with backend.read("large") as reader:
            assert reader.entry.size == self.large
            at = 0
            async for piece in reader:
                assert piece == data[at : at + len(piece)]
                assert len(piece) > 0
                at += len(piece)
        assert at == self.large

    @pytest.mark.parametrize("hint", [0, 5, 11, 40_000_000])
    async def test_a_wrong_hint_does_no_harm(self, backend: Backend, hint: int) -> None:
        await backend.write("file", Pieces([b"hello ", b"world"]), size_hint=hint)
        assert await content(backend, "file") == b"hello world"

    @pytest.mark.parametrize("name", NAMES)
    async def test_names_are_kept(self, backend: Backend, name: str) -> None:
        await backend.write(f"{name}/{name}", name.encode())
        assert await content(backend, f"{name}/{name}") == name.encode()
        assert f"{name}/{name}" in await listed(backend, name)

    async def test_a_file_is_replaced_whole(self, backend: Backend) -> None:
        first = await backend.write("file", b"a longer first one")
        second = await backend.write("file", b"short")
        assert await content(backend, "file") == b"short"
        assert first.version is None or first.version != second.version

    async def test_what_is_read_while_it_is_replaced_is_of_one_version(self, backend: Backend) -> None:
        await backend.write("file", bytes(self.large))
        came = bytearray()
        try:
            async with backend.read("file") as reader:
                came += await anext(aiter(reader))
                await backend.write("file", b"\1" * self.large)
                async for piece in reader:
                    came += piece
        except FileChanged:
            assert not any(came)
        else:
            assert came == bytes([came[0]]) * self.large
        assert await content(backend, "file") == b"\1" * self.large

    @pytest.mark.parametrize("path", BAD_PATHS)
    async def test_a_path_that_can_be_none_is_refused(self, backend: Backend, path: str) -> None:
        with pytest.raises(InvalidLocation):
            await backend.write(path, b"x")

    # --- whole or not at all

    async def test_a_source_that_breaks_leaves_nothing(self, backend: Backend) -> None:
        with pytest.raises(Broken):
            await backend.write("new/file", Pieces([b"x" * 100_000] * 3, Broken()))
        assert await nothing_at(backend, "new/file")
        assert [entry for entry in (await listed(backend, recursive=True)).values() if entry.kind == "file"] == []

    async def test_a_large_source_that_breaks_leaves_what_was_there(self, backend: Backend) -> None:
        await backend.write("file", b"before")
        with pytest.raises(Broken):
            await backend.write("file", Pieces([bytes(1_000_000)] * (self.large // 1_000_000), Broken()))
        assert await content(backend, "file") == b"before"
        assert list(await listed(backend, recursive=True)) == ["file"]

    async def test_a_cancelled_write_leaves_nothing(self, backend: Backend) -> None:
        with trio.move_on_after(1) as scope:
            await backend.write("file", Pieces([bytes(1_000_000)] * (self.large // 1_000_000), hang=True))
        assert scope.cancelled_caught
        assert await listed(backend, recursive=True) == {}

    async def test_many_write_at_once(self, backend: Backend) -> None:
        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(backend.write, f"f{n % 5}/{n}", bytes([n]) * 1000 * n)
        for n in range(20):
            assert await content(backend, f"f{n % 5}/{n}") == bytes([n]) * 1000 * n

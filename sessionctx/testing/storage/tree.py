"""Files are listed, deleted and moved."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import pytest

from sessionctx.errors import CannotDo, FileExists, NoSuchFile
from sessionctx.storage import Backend
from sessionctx.testing.storage.sources import content, listed, nothing_at


@pytest.mark.trio
class TreeContract:
    """Files are listed, deleted and moved."""

    # --- folders and listings

    async def test_a_listing_shows_files_and_folders_of_one_folder(self, backend: Backend) -> None:
        for path in ["a", "b/c", "b/d/e", "b/d/f", "bb/g"]:
            await backend.write(path, path.encode())
        top = await listed(backend)
        assert {path: entry.kind for path, entry in top.items()} == {"a": "file", "b": "folder", "bb": "folder"}
        assert top["a"].size == 1
        inner = await listed(backend, "b")
        assert {path: entry.kind for path, entry in inner.items()} == {"b/c": "file", "b/d": "folder"}

    async def test_a_recursive_listing_shows_all_files_below(self, backend: Backend) -> None:
        paths = {"a", "b/c", "b/d/e", "b/d/f", "bb/g"}
        for path in paths:
            await backend.write(path, path.encode())
        everywhere = await listed(backend, recursive=True)
        assert {path for path, entry in everywhere.items() if entry.kind == "file"} == paths
        below = await listed(backend, "b", recursive=True)
        assert {path for path, entry in below.items() if entry.kind == "file"} == {"b/c", "b/d/e", "b/d/f"}

    async def test_a_listing_goes_on_after_a_path_where_that_is_promised(self, backend: Backend) -> None:
        paths = ["a", "a-b", "a/b", "a0", "b/c", "b/d", "é"]
        if not backend.can.sorted:
            pytest.skip("it promises no order")
        for path in paths[1:]:
            await backend.write(path, b"x")
        for n, path in enumerate(paths):
            async with backend.list(recursive=True, after=path) as listing:
                assert [entry.path async for entry in listing if entry.kind == "file"] == paths[n + 1 :]

    async def test_a_listing_can_be_left_early(self, backend: Backend) -> None:
        for n in range(30):
            await backend.write(f"{n:03}", b"x")
        async with backend.list(recursive=True) as listing:
            async for _ in listing:
                break
        assert len(await listed(backend)) == 30

    async def test_folders(self, backend: Backend) -> None:
        await backend.mkdir("x/y")
        await backend.mkdir("x/y")
        if not backend.can.folders:
            assert await listed(backend) == {}
            return
        assert (await backend.stat("x/y")).kind == "folder"
        assert list(await listed(backend, "x")) == ["x/y"]
        await backend.write("file", b"x")
        with pytest.raises(FileExists):
            await backend.mkdir("file")
        with pytest.raises(NoSuchFile):
            async with backend.read("x"):
                pass
        with pytest.raises(FileExists):
            await backend.delete("x")
        await backend.delete("x/y")
        await backend.delete("x")
        assert list(await listed(backend)) == ["file"]

    # --- delete, rename, copy

    async def test_delete_deletes_and_does_not_mind_what_is_gone(self, backend: Backend) -> None:
        await backend.write("a/b", b"x")
        await backend.write("a/c", b"x")
        await backend.delete("a/b")
        await backend.delete("a/b")
        assert await nothing_at(backend, "a/b")
        assert await content(backend, "a/c") == b"x"

    async def test_many_are_deleted(self, backend: Backend) -> None:
        for n in range(25):
            await backend.write(f"d/{n}", b"x")
        failed = await backend.delete_many([f"d/{n}" for n in range(24)] + ["d/absent"])
        assert failed == {}
        assert {p for p, e in (await listed(backend, recursive=True)).items() if e.kind == "file"} == {"d/24"}

    async def test_rename_moves_and_replaces(self, backend: Backend) -> None:
        await backend.write("old", b"content")
        await backend.write("new/name", b"in the way")
        if not backend.can.rename:
            with pytest.raises(CannotDo):
                await backend.rename("old", "new/name")
            return
        await backend.rename("old", "new/name")
        assert await nothing_at(backend, "old")
        assert await content(backend, "new/name") == b"content"
        with pytest.raises(NoSuchFile):
            await backend.rename("old", "other")

    async def test_copy_copies(self, backend: Backend) -> None:
        await backend.write("one", b"content")
        if not backend.can.copy:
            with pytest.raises(CannotDo):
                await backend.copy("one", "two/three")
            return
        copied = await backend.copy("one", "two/three")
        assert copied.size == 7
        assert await content(backend, "one") == await content(backend, "two/three") == b"content"

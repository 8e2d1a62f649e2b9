"""Conditions hold, and what goes with a file is kept where that is promised."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import pytest
import trio

from sessionctx.errors import CannotDo, FileChanged, FileExists
from sessionctx.storage import Backend, WriteOptions
from sessionctx.testing.storage.sources import content


@pytest.mark.trio
class ConditionsContract:
    """Conditions hold, and what goes with a file is kept where that is promised."""

    # --- conditions

    async def test_if_absent_writes_only_where_nothing_is(self, backend: Backend) -> None:
        options = WriteOptions(if_absent=True)
        if not backend.can.if_absent:
            with pytest.raises(CannotDo):
                await backend.write("file", b"x", options=options)
            return
        await backend.write("file", b"first", options=options)
        with pytest.raises(FileExists):
            await backend.write("file", b"second", options=options)
        assert await content(backend, "file") == b"first"

    async def test_of_many_that_write_if_absent_one_succeeds(self, backend: Backend) -> None:
        if not backend.can.if_absent:
            pytest.skip("it cannot")
        won: list[int] = []

        async def write(n: int) -> None:
            try:
                await backend.write("file", bytes([n]) * 1000, options=WriteOptions(if_absent=True))
            except FileExists:
                return
            won.append(n)

        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(write, n)
        assert [bytes([n]) * 1000 for n in won] == [await content(backend, "file")]

    async def test_if_version_writes_only_over_that(self, backend: Backend) -> None:
        first = await backend.write("file", b"first")
        if not backend.can.if_version:
            with pytest.raises(CannotDo):
                await backend.write("file", b"x", options=WriteOptions(if_version="some"))
            return
        await backend.write("file", b"second!", options=WriteOptions(if_version=first.version))
        with pytest.raises(FileChanged):
            await backend.write("file", b"third", options=WriteOptions(if_version=first.version))
        assert await content(backend, "file") == b"second!"

    async def test_times_and_modes_are_kept_where_that_is_promised(self, backend: Backend) -> None:
        await backend.write("file", b"x", options=WriteOptions(modified=1_000_000_000.0, mode=0o640))
        found = await backend.stat("file")
        if backend.can.times:
            assert found.modified == 1_000_000_000.0
        if backend.can.modes:
            assert found.mode == 0o640

    async def test_metadata_is_kept_where_that_is_promised(self, backend: Backend) -> None:
        options = WriteOptions(content_type="text/x-test", metadata={"colour": "blue"})
        await backend.write("file", b"x", options=options)
        if backend.can.metadata:
            found = await backend.stat("file")
            assert (found.content_type, dict(found.metadata)) == ("text/x-test", {"colour": "blue"})

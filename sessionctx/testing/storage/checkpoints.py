"""Trio sees every operation."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import pytest
from trio.testing import assert_checkpoints

from sessionctx.storage import Backend
from sessionctx.testing.storage.sources import listed


@pytest.mark.trio
class CheckpointsContract:
    """Trio sees every operation."""

    async def test_every_operation_checkpoints(self, backend: Backend) -> None:
        with assert_checkpoints():
            await backend.write("file", b"x")
        with assert_checkpoints():
            await backend.stat("file")
        with assert_checkpoints():
            await backend.mkdir("folder")
        with assert_checkpoints():
            await backend.delete("file")
        with assert_checkpoints():
            assert await backend.delete_many(["absent"]) == {}
        with assert_checkpoints():
            await listed(backend)

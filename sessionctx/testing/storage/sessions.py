"""A session sees what is asked, and trio sees every operation."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import pytest
import trio
from trio.testing import assert_checkpoints

from sessionctx import session
from sessionctx.errors import NoSuchFile
from sessionctx.peers import statistics
from sessionctx.storage import Backend
from sessionctx.testing.storage.sources import content, listed


@pytest.mark.trio
class SessionsContract:
    """A session sees what is asked, and trio sees every operation."""

    # --- sessions, and trio

    async def test_a_session_sees_its_requests(self, backend: Backend) -> None:
        await backend.write("file", b"x" * 100_000)
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

    async def test_a_limit_of_requests_in_flight_holds(self, backend: Backend) -> None:
        await backend.write("file", b"x" * 100_000)
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

"""Law 13: every public operation joins the caller's session, or has one for its own length; and works on trio only."""

from __future__ import annotations

import asyncio
import inspect

import pytest
import trio

from sessionctx import session
from sessionctx.errors import NotInTrio, SessionctxError, SessionLeakWarning


class Store:
    """Something with a public operation."""

    @session.operation
    async def get(self, name: str, *, seen: list) -> str:
        """Get it."""
        seen.append(session.current())
        await trio.lowlevel.checkpoint()
        return name.upper()

    @session.operation
    async def get_both(self, a: str, b: str, *, seen: list) -> str:
        return await self.get(a, seen=seen) + await self.get(b, seen=seen)

    @session.operation
    async def fail(self):
        await trio.lowlevel.checkpoint()
        raise KeyError


async def test_alone_it_has_a_session_for_its_own_length():
    seen = []
    assert await Store().get("x", seen=seen) == "X"
    assert await Store().get("y", seen=seen) == "Y"
    assert seen[0] is not seen[1]
    assert all(s.ended for s in seen)
    assert session.current(None) is None


async def test_inside_it_joins():
    seen = []
    with session.begin() as s:
        for name in "abc":
            await Store().get(name, seen=seen)
        assert not s.ended
    assert seen == [s, s, s]


async def test_nested_operations_share_the_outermost_ones_session():
    seen = []
    assert await Store().get_both("a", "b", seen=seen) == "AB"
    assert seen[0] is seen[1]


async def test_an_error_passes_and_ends_it():
    with pytest.raises(KeyError):
        await Store().fail()
    assert session.current(None) is None


async def test_under_leave_it_has_its_own():
    seen = []
    with session.begin() as s, session.leave():
        await Store().get("x", seen=seen)
    assert seen[0] is not s


async def test_what_it_is_called_and_takes_is_kept():
    assert Store.get.__name__ == "get"
    assert Store.get.__doc__ == "Get it."
    assert list(inspect.signature(Store.get).parameters) == ["self", "name", "seen"]
    assert inspect.iscoroutinefunction(Store.get)
    await trio.lowlevel.checkpoint()


async def test_the_leak_warning_points_at_the_callers_line(nursery):
    async def child():
        await trio.lowlevel.checkpoint()
        with pytest.warns(SessionLeakWarning) as caught:
            await Store().get("x", seen=[])
        assert caught[0].filename == __file__

    with session.begin():
        nursery.start_soon(child)
    await trio.testing.wait_all_tasks_blocked()


# --- other loops


def test_under_asyncio_it_says_so_in_one_sentence():
    with pytest.raises(NotInTrio) as caught:
        asyncio.run(Store().get("x", seen=[]))
    text = str(caught.value)
    assert "Store.get" in text
    assert "asyncio" in text
    assert "trio.run" in text
    assert "\n" not in text
    assert isinstance(caught.value, SessionctxError)
    assert isinstance(caught.value, RuntimeError)


def test_outside_any_loop_it_says_so_too():
    coroutine = Store().get("x", seen=[])
    with pytest.raises(NotInTrio, match="trio") as caught:
        coroutine.send(None)
    assert "asyncio" not in str(caught.value)


async def test_in_a_worker_thread_it_says_so_too():
    coroutine = Store().get("x", seen=[])
    with pytest.raises(NotInTrio, match="trio"):
        await trio.to_thread.run_sync(coroutine.send, None)


def test_async_with_under_asyncio_says_so():
    async def main():
        async with session.begin():
            pytest.fail("entered")

    with pytest.raises(NotInTrio, match="asyncio"):
        asyncio.run(main())


def test_require_trio_names_what_was_called():
    with pytest.raises(NotInTrio, match=r"Node\.open"):
        session.require_trio("Node.open")


async def test_require_trio_is_silent_in_a_task():
    assert session.require_trio("anything") is None
    await trio.lowlevel.checkpoint()

"""The contract of transports: the tests that we run against our own, for those that others write.

::

    class TestMyTransport(TransportContract):
        @asynccontextmanager
        async def peer(self, blocks, trouble=None):
            async with my_server(blocks, trouble) as url:
                yield MyTransport(url)

Passing it is what "is a `sessionctx.transports.Transport`" means. It needs pytest, and starts its own trio runs: with
`run = staticmethod(simulate)` in the class, they are on the clock of `sessionctx.testing.network`, and none waits.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial, wraps
from typing import ClassVar, Concatenate, Final, Literal, ParamSpec, TypeAlias

import attrs
import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from sessionctx.content import CID, MAX_BLOCK, Block
from sessionctx.errors import BadAnswer, Busy, CarError, NotHere, PeerError, PeerFailed, Stalled, Unreachable
from sessionctx.testing import samples
from sessionctx.transports import Can, CarAnswer, Transport

__all__ = ["AFTER", "Told", "TransportContract", "Trouble"]

AFTER: Final = 50_000
"""Bytes of each body that come before the trouble does, if it comes in the middle of an answer."""

Trouble: TypeAlias = Literal["away", "failing", "busy", "silent", "stalling", "cut", "endless"]
"""What a peer is told to do: not to be there, to fail, to send everybody away for a while, to take requests and say
nothing; to fall silent within each body, or to end there; or to send much more than a block in each body."""

_ENDS: Final[dict[Trouble, type[PeerError]]] = {
    "away": Unreachable,
    "failing": PeerFailed,
    "busy": Busy,
    "silent": Stalled,
    "stalling": Stalled,
    "cut": PeerFailed,
    "endless": BadAnswer,
}
_FILE: Final = samples.file(200 * 1024, chunk=20 * 1024)
_LARGE: Final = samples.blocks(40, 2 * AFTER)
_PATIENCE: Final = 300.0
"""Seconds; what takes longer, hangs."""

P = ParamSpec("P")
_Test: TypeAlias = "Callable[Concatenate[TransportContract, P], Awaitable[None]]"


@attrs.define(eq=False)
class Told:
    """A `Progress` that keeps what it is told."""

    on_bytes: Callable[[], object] = lambda: None
    """Called at each of the bytes."""
    sizes: list[int] = attrs.field(factory=list[int], init=False)
    """The numbers of bytes that came, in order."""

    @property
    def total(self) -> int:
        """All bytes that came."""
        return sum(self.sizes)

    def sent(self) -> None:
        """Do nothing: not every request has to wait."""

    def came(self, count: int) -> None:
        """Note that *count* bytes have come."""
        self.sizes.append(count)
        self.on_bytes()


def _in_a_run(test: _Test[P]) -> Callable[Concatenate[TransportContract, P], None]:
    @wraps(test)
    def run(self: TransportContract, /, *args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            with trio.fail_after(_PATIENCE):
                await test(self, *args, **kwargs)

        self.run(main)

    return run


class TransportContract:
    """Subclass this, and override `peer`."""

    run: ClassVar[Callable[..., object]] = staticmethod(trio.run)
    """What runs each test."""
    cars: ClassVar[bool] = True
    """Whether the peers send CARs."""
    secret: ClassVar[str] = ""
    """The password in the addresses of the peers, if your addresses may hold one: it must not show."""

    def peer(self, blocks: Iterable[Block], trouble: Trouble | None = None) -> AbstractAsyncContextManager[Transport]:
        """Lend a transport to a peer that has *blocks* and that *trouble*. To be overridden.

        Call :func:`pytest.skip` for a trouble that cannot be made, or cannot befall yours.
        """
        raise NotImplementedError("a transport's tests override the method 'peer'")

    # --- who it is

    @_in_a_run
    async def test_it_says_who_it_is_and_what_it_can(self) -> None:
        async with self.peer([]) as transport:
            for text in (transport.url, transport.public, transport.endpoint):
                assert isinstance(text, str)
                assert text
            assert isinstance(transport.can, Can)
            assert transport.can.car == self.cars
            assert transport.can.best_in_flight >= 1
            assert self._hides_its_secret(transport.public, transport.endpoint, repr(transport))

    # --- blocks

    @pytest.mark.parametrize("size", [0, 1, 4096, 262144, MAX_BLOCK], ids=str)
    @_in_a_run
    async def test_blocks_of_each_size_come_whole(self, size: int) -> None:
        block = Block.of((b"0123456789abcdef" * (size // 16 + 1))[:size])
        async with self.peer([block]) as transport:
            assert await transport.block(block.cid) == block.data

    @_in_a_run
    async def test_what_it_does_not_have_is_not_here(self) -> None:
        async with self.peer(_LARGE[:1]) as transport:
            with pytest.raises(NotHere) as caught:
                await transport.block(_LARGE[1].cid)
            assert self._blames(caught.value, transport)

    @pytest.mark.parametrize("trouble", list(_ENDS))
    @_in_a_run
    async def test_a_trouble_is_an_error_that_says_whose_it_is(self, trouble: Trouble) -> None:
        told = Told()
        async with self.peer(_LARGE[:1], trouble) as transport:
            for progress in (None, told):
                with pytest.raises(_ENDS[trouble]) as caught:
                    await transport.block(_LARGE[0].cid, progress=progress)
                assert self._blames(caught.value, transport)
        assert told.total <= (MAX_BLOCK if trouble == "endless" else AFTER)

    @_in_a_run
    async def test_progress_is_told_with_the_bytes_that_came(self) -> None:
        async with self.peer(_LARGE[:1]) as transport:
            told = Told()
            await transport.block(_LARGE[0].cid, progress=told)
            assert min(told.sizes) > 0
            assert told.total == len(_LARGE[0].data)

    @_in_a_run
    async def test_asking_is_a_checkpoint(self) -> None:
        async with self.peer(_LARGE[:1]) as transport:
            with assert_checkpoints():
                await transport.block(_LARGE[0].cid)
            with assert_checkpoints(), pytest.raises(NotHere):
                await transport.block(_LARGE[1].cid)

    @_in_a_run
    async def test_tasks_at_the_same_time_do_not_disturb_each_other(self) -> None:
        async with self.peer(_LARGE) as transport:
            await _all_come(transport)

    @pytest.mark.parametrize("when", ["at once", "while it waits", "at its first bytes"])
    @_in_a_run
    async def test_whoever_gives_up_takes_nothing_from_others(self, when: str) -> None:
        """However many requests are cancelled, as many others are served at once, with the right bytes."""
        async with self.peer(_LARGE) as transport:
            with trio.CancelScope() as scope:
                if when == "at once":
                    scope.cancel()
                told = Told(scope.cancel if when == "at its first bytes" else lambda: None)
                async with trio.open_nursery() as nursery:
                    for block in _LARGE:
                        nursery.start_soon(partial(transport.block, block.cid, progress=told))
                    if when == "while it waits":
                        await wait_all_tasks_blocked()
                        scope.cancel()
            await _all_come(transport)

    # --- CARs

    @_in_a_run
    async def test_a_car_brings_the_whole_dag(self) -> None:
        async with self._with_cars(_FILE.blocks) as transport:
            told = Told()
            async with transport.car(_FILE.root, progress=told) as answer:
                assert answer.order in ("dfs", "unk")
                assert answer.dups in (True, False, None)
                found = [pair async for pair in answer]
                assert answer.roots is not None
                with pytest.raises(StopAsyncIteration):
                    await anext(answer)
            assert dict(found) == {block.cid: block.data for block in _FILE.blocks}
            assert min(told.sizes) > 0
            assert told.total >= _FILE.size

    @_in_a_run
    async def test_a_car_of_one_block_is_no_more_than_that(self) -> None:
        async with self._with_cars(_FILE.blocks) as transport, transport.car(_FILE.root, scope="block") as answer:
            assert [cid async for cid, _ in answer] == [_FILE.root]

    @_in_a_run
    async def test_of_what_it_does_not_have_there_is_no_car(self) -> None:
        async with self._with_cars(_LARGE[:1]) as transport:
            with pytest.raises(NotHere) as caught:
                async with transport.car(_FILE.root):
                    raise AssertionError("it was entered")
            assert self._blames(caught.value, transport)

    @pytest.mark.parametrize("trouble", ["stalling", "cut"])
    @_in_a_run
    async def test_what_came_of_a_car_before_its_trouble_is_good(self, trouble: Trouble) -> None:
        found: list[tuple[CID, bytes]] = []
        async with self._with_cars(_FILE.blocks, trouble) as transport, transport.car(_FILE.root) as answer:
            with pytest.raises((CarError, Stalled, PeerFailed)) as caught:
                await _read(answer, found)
            assert isinstance(caught.value, Stalled) == (trouble == "stalling")
            assert transport.public in str(caught.value)
            assert self._hides_its_secret(_text(caught.value))
            with pytest.raises(StopAsyncIteration):
                await anext(answer)
        assert 0 < len(found) < len(_FILE.blocks)
        assert found == [(cid, _FILE.below(cid)[0].data) for cid, _ in found]

    @_in_a_run
    async def test_each_block_of_a_car_is_a_checkpoint_and_none_is_lost_there(self) -> None:
        """After a wait that was cancelled it goes on, or raises; it does not seem to be over."""
        found: list[tuple[CID, bytes]] = []
        async with self._with_cars(_FILE.blocks) as transport, transport.car(_FILE.root) as answer:
            with suppress(CarError, PeerError):
                while len(found) < len(_FILE.blocks):
                    with trio.CancelScope() as scope:
                        scope.cancel()
                        await anext(answer)
                    assert scope.cancelled_caught
                    with assert_checkpoints():
                        found.append(await anext(answer))
        assert found == [(cid, _FILE.below(cid)[0].data) for cid, _ in found]

    @_in_a_run
    async def test_a_car_can_be_left_early(self) -> None:
        async with self._with_cars([*_FILE.blocks, *_LARGE]) as transport:
            for _ in _LARGE:
                async with transport.car(_FILE.root) as answer:
                    await anext(answer)
            await _all_come(transport)

    # ---

    def _with_cars(
        self, blocks: Iterable[Block], trouble: Trouble | None = None
    ) -> AbstractAsyncContextManager[Transport]:
        if not self.cars:
            pytest.skip("its peers send no CARs")
        return self.peer(blocks, trouble)

    def _blames(self, error: PeerError, transport: Transport) -> bool:
        """Whether it says whose error it is, to programs and to people, and no more than that."""
        assert error.peer == transport.public
        assert transport.public in str(error)
        return self._hides_its_secret(_text(error), repr(error))

    def _hides_its_secret(self, *texts: str) -> bool:
        return not self.secret or not any(self.secret in text for text in texts)


async def _read(answer: CarAnswer, into: list[tuple[CID, bytes]]) -> None:
    async for pair in answer:
        into.append(pair)  # noqa: PERF401 - those before an error count


async def _all_come(transport: Transport) -> None:
    """Ask for many blocks at once."""

    async def ask(block: Block) -> None:
        assert await transport.block(block.cid) == block.data

    async with trio.open_nursery() as nursery:
        for block in _LARGE:
            nursery.start_soon(ask, block)


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))

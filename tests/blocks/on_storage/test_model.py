"""Several nodes over one storage, which breaks between any two changes: against a set of names."""

from __future__ import annotations

import functools
import time
from contextlib import AsyncExitStack
from unittest import mock

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.blocks import StorageBlockstore
from sessionctx.blocks.on_storage import forms
from sessionctx.content import Block
from sessionctx.errors import BlockNotFound, StoreError
from sessionctx.storage import MemoryStorage
from tests.blocks.on_storage.faulty import Faulty

BLOCKS = [Block.of(bytes([n]) * (10 + n % 3 * 400)) for n in range(6)]
NAMES = {block.cid: block for block in BLOCKS}
HOUR = 3600.0

nodes = st.integers(0, 1)
blocks = st.sampled_from(BLOCKS)
STEPS = st.one_of(
    st.tuples(st.just("put"), nodes, blocks),
    st.tuples(st.just("put"), nodes, blocks),
    st.tuples(st.just("delete"), nodes, blocks),
    st.tuples(st.just("sync"), nodes),
    st.tuples(st.just("sync"), nodes),
    st.tuples(st.just("get"), nodes, blocks),
    st.tuples(st.just("gc"), nodes),
    st.tuples(st.just("crash"), nodes),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 700.0, HOUR])),
    st.tuples(st.just("break"), nodes, st.integers(0, 4), st.booleans()),
    st.tuples(st.just("race")),
    st.tuples(st.just("race")),
    st.tuples(st.just("collect_in_a_race"), nodes),
)


def with_(kept: frozenset, batch: dict) -> frozenset:
    """What is kept after a batch."""
    return (kept | {cid for cid, there in batch.items() if there}) - {cid for cid, there in batch.items() if not there}


def orders(kept: frozenset, one: list, other: list) -> set[frozenset]:
    """What can be kept after the batches of two, in any order between them."""
    if not one and not other:
        return {kept}
    first = orders(with_(kept, one[0]), one[1:], other) if one else set()
    return first | (orders(with_(kept, other[0]), one, other[1:]) if other else set())


@attrs.define
class Machine:
    """The nodes, and what they should show."""

    stack: AsyncExitStack
    now: float
    storage: MemoryStorage = attrs.field(factory=MemoryStorage)
    kept: frozenset = frozenset()
    lines: list = attrs.field(factory=list)
    stores: list = attrs.field(factory=list)
    waiting: list = attrs.field(factory=list)
    """Of each node, what was put (True) and deleted since it last synced, in batches: a failed sync ends one."""

    async def begin(self) -> None:
        for _ in range(2):
            self.lines.append(Faulty(self.storage))
            self.stores.append(await self.open(self.lines[-1]))
            self.waiting.append([{}])

    async def open(self, storage) -> StorageBlockstore:
        opening = StorageBlockstore.open(storage, "at/this", refresh=0.0, large=500)
        return await self.stack.enter_async_context(opening)

    def after(self, node: int, batches: int) -> frozenset:
        """What would be kept if so many batches of this node were written now."""
        return functools.reduce(with_, self.waiting[node][:batches], self.kept)

    async def look(self) -> frozenset:
        """What a node shows that was not there before."""
        async with StorageBlockstore.open(self.storage, "at/this") as store:
            found = await store.has_many(NAMES)
            for cid in found:
                assert await store.get(cid) == NAMES[cid]
            return frozenset(found)

    async def put(self, node: int, block: Block) -> None:
        await self._take(node, self.stores[node].put(block), block, there=True)

    async def delete(self, node: int, block: Block) -> None:
        await self._take(node, self.stores[node].delete(block.cid), block, there=False)

    async def _take(self, node: int, doing, block: Block, *, there: bool) -> None:
        full = len(self.waiting[node]) > 2  # so that it writes before it takes any more
        try:
            await doing
        except StoreError:
            await self.failed(node)
        else:
            if full:
                self.kept, self.waiting[node] = self.after(node, len(self.waiting[node]) - 1), self.waiting[node][-1:]
            batch = self.waiting[node][-1]
            batch.pop(block.cid, None)
            batch[block.cid] = there

    async def sync(self, node: int) -> None:
        try:
            await self.stores[node].sync()
        except StoreError:
            if self.waiting[node][-1]:
                self.waiting[node].append({})
            await self.failed(node)
        else:
            self.kept, self.waiting[node] = self.after(node, len(self.waiting[node])), [{}]

    async def failed(self, node: int) -> None:
        """Nothing is shown by halves: so many batches were written, whole, and in order."""
        seen = await self.look()
        assert seen in {self.after(node, count) for count in range(len(self.waiting[node]) + 1)}
        self.kept = seen

    async def get(self, node: int, block: Block) -> None:
        """What a node did, it sees; and what all should see, it finds. What was deleted elsewhere it may see longer."""
        mine = {cid: there for batch in self.waiting[node] for cid, there in batch.items()}
        there = mine.get(block.cid, block.cid in self.kept)
        try:
            assert await self.stores[node].get(block.cid) == block
            assert there or block.cid not in mine
        except BlockNotFound:
            assert not there

    async def gc(self, node: int) -> None:
        await self.sync(node)
        if self.waiting[node] != [{}]:
            return
        try:
            await self.stores[node].gc(grace=HOUR)
        except StoreError:
            await self.failed(node)

    async def race(self) -> None:
        """Both sync at once: it is as if the batches of both had been written one by one."""
        if any(line.fails_in is not None for line in self.lines):
            return
        async with trio.open_nursery() as nursery:
            for store in self.stores:
                nursery.start_soon(store.sync)
        seen = await self.look()
        assert seen in orders(self.kept, self.waiting[0], self.waiting[1])
        self.kept, self.waiting = seen, [[{}], [{}]]

    async def collect_in_a_race(self, node: int) -> None:
        """One collects garbage while the other syncs."""
        if self.waiting[node] != [{}] or any(line.fails_in is not None for line in self.lines):
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(self.stores[node].gc, grace=HOUR))
            nursery.start_soon(self.sync, 1 - node)

    async def crash(self, node: int) -> None:
        self.lines[node].fails_in = None
        self.stores[node] = await self.open(self.lines[node])
        self.waiting[node] = [{}]

    async def step(self, what: str, *args) -> None:
        if what == "pass":
            self.now += args[0]
        elif what == "break":
            line = self.lines[args[0]]
            line.fails_in, line.done = args[1:]
        else:
            await getattr(self, what)(*args)


async def play(steps) -> None:
    machine = Machine(None, time.time())
    with mock.patch("time.time", lambda: machine.now):  # noqa: PT008  # it moves
        try:
            async with AsyncExitStack() as machine.stack:
                await machine.begin()
                for step in steps:
                    await machine.step(*step)
                assert await machine.look() == machine.kept
                raise InterruptedError  # leave without syncing
        except InterruptedError:
            pass


@given(steps=st.lists(STEPS, max_size=30))
def test_nothing_that_was_acknowledged_is_lost_and_nothing_is_shown_by_halves(steps):
    """However two nodes put, delete, collect, fail and crash, all nodes see what was synced, in one order."""
    trio.run(play, steps)


@given(steps=st.lists(STEPS, max_size=30))
def test_so_it_is_with_pages_of_two_rows(steps):
    """The base is read page by page, and shard by shard."""
    with mock.patch.multiple(forms, PAGE_ROWS=2, PAGE=96, SHARD_PAGES=2):
        trio.run(play, steps)

"""Many operations: one outcome for each, whatever the service does; read lazily, in order where asked, bounded."""

from __future__ import annotations

import itertools

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from sessionctx.errors import InvalidObject, OutcomeUnknown, PeerFailed, Unreachable
from sessionctx.objects import Delete, Get, Head, Metadata, Put
from sessionctx.objects import many as module
from sessionctx.objects.many import many
from sessionctx.objects.operations import writes
from sessionctx.objects.outcome import Object
from sessionctx.objects.schedule import Item


class Service:
    """Objects in a dict; each request takes a while, and does what its *fates* say to the operations in it."""

    def __init__(self, *, seconds=1.0, fates=None, shuffle=None):
        self.objects = {}
        self.seconds, self.fates, self.shuffle = seconds, fates or {}, shuffle
        self.requests, self.now, self.most, self.prepared = [], 0, 0, 0

    async def prepare(self, index, operation):
        self.prepared += 1
        if operation.key == "bad":
            raise InvalidObject("bad")
        size = len(operation.body) if isinstance(operation, Put) else 0
        return Item(index, operation.key, writes(operation), size if size < 100 else None)

    async def batch(self, operations, answers):
        await self._request(list(operations.items()), answers)

    async def alone(self, index, operation, answers):
        assert isinstance(operation, Put)
        await self._request([(index, operation)], answers)

    async def _request(self, operations, answers):
        self.requests.append([index for index, _ in operations])
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(self.seconds if isinstance(self.seconds, int | float) else next(self.seconds))
            if self.shuffle is not None:
                self.shuffle(operations)
            for index, operation in operations:
                fate = self.fates.get(index)
                if fate == "cut":
                    raise PeerFailed("cut")
                if fate == "unreachable":
                    raise Unreachable("nobody there")
                if fate == "silent":
                    continue
                if fate == "twice":
                    await answers.answer(index, self._do(operation))
                await answers.answer(index, "second" if fate == "twice" else self._do(operation))
        finally:
            self.now -= 1

    def _do(self, operation):
        match operation:
            case Put(key=key, body=body):
                self.objects[key] = body
                return key or "made"
            case Get(key=key):
                return Object(key, Metadata(), self.objects[key]) if key in self.objects else None
            case Head(key=key):
                return Metadata(size=len(self.objects[key])) if key in self.objects else None
            case Delete(key=key):
                self.objects.pop(key, None)
                return None


async def results_of(service, operations, **options):
    async with many(service, operations, **options) as results:
        return [result async for result in results]


OPERATIONS = st.lists(
    st.one_of(
        st.builds(Put, st.sampled_from([b"x", b"y" * 60, b"z" * 200]), st.sampled_from(["", "a", "b", "bad"])),
        st.builds(Get, st.sampled_from(["a", "b"])),
        st.builds(Head, st.sampled_from(["a", "b"])),
        st.builds(Delete, st.sampled_from(["a", "b"])),
    ),
    max_size=30,
)
FATES = st.dictionaries(st.integers(0, 30), st.sampled_from(["cut", "silent", "twice", "unreachable"]), max_size=6)


@given(
    operations=OPERATIONS,
    fates=FATES,
    concurrency=st.integers(1, 4),
    ordered=st.booleans(),
    look_ahead=st.integers(1, 40),
    durations=st.lists(st.integers(0, 3), min_size=1),
    as_stream=st.booleans(),
    held=st.sampled_from([1, 64, 10**9]),
    random=st.randoms(use_true_random=False),
)
def test_M11_exactly_one_result_for_each_operation_and_as_if_one_after_the_other(
    operations, fates, concurrency, ordered, look_ahead, durations, as_stream, held, random
):
    """Whatever the service does, in whatever order it answers; and those that were answered saw what came before."""
    service = Service(seconds=itertools.cycle(durations), fates=fates, shuffle=random.shuffle)

    async def main():
        source = Stream(operations) if as_stream else iter(operations)
        return await results_of(service, source, concurrency=concurrency, ordered=ordered, look_ahead=look_ahead)

    before, module.MOST_HELD = module.MOST_HELD, held
    try:
        results = trio.run(main, clock=MockClock(autojump_threshold=0))
    finally:
        module.MOST_HELD = before
    assert sorted(result.index for result in results) == list(range(len(operations)))
    assert all(result.operation is operations[result.index] for result in results)
    if ordered:
        assert [result.index for result in results] == list(range(len(operations)))
    for result in results:
        bad = result.operation.key == "bad"
        assert isinstance(result.error, InvalidObject) == bad
        if isinstance(result.error, OutcomeUnknown):
            assert writes(result.operation)
    if not fates:
        assert [(r.index, r.value) for r in sorted(results, key=lambda r: r.index) if r.error is None] == model(
            operations
        )


def model(operations):
    """What the operations come to one after the other."""
    service = Service()
    return [(n, service._do(operation)) for n, operation in enumerate(operations) if operation.key != "bad"]


class Stream:
    """An input that waits now and then."""

    def __init__(self, operations):
        self.left = iter(operations)

    def __aiter__(self):
        return self

    async def __anext__(self):
        await trio.sleep(0.003)
        for operation in self.left:
            return operation
        raise StopAsyncIteration


@pytest.mark.parametrize("ordered", [False, True])
async def test_M1_requests_overlap(autojump_clock, ordered):
    service = Service()
    puts = [Put(b"x" * 200, str(n)) for n in range(9)]
    assert len(await results_of(service, puts, concurrency=3, ordered=ordered)) == 9
    assert service.most == 3
    assert trio.current_time() == pytest.approx(3.0, abs=0.1)


async def test_small_ones_share_requests(autojump_clock):
    service = Service()
    await results_of(service, [Put(b"x", str(n)) for n in range(2500)])
    assert [len(request) for request in service.requests] == [1000, 1000, 500]


async def test_N6_an_endless_input_is_read_as_far_as_it_is_needed(autojump_clock):
    service = Service()
    read = itertools.count()
    endless = (Put(b"x", str(next(read))) for _ in itertools.count())
    async with many(service, endless, look_ahead=50) as results:
        taken = [await anext(results) for _ in range(120)]
    assert len(taken) == 120
    assert next(read) <= 120 + 50 + 1
    assert service.now == 0


async def test_a_slow_input_does_not_hold_up_what_is_there(autojump_clock):
    service = Service(seconds=0.1)

    async def slow():
        yield Put(b"x", "a")
        await trio.sleep(60)
        yield Put(b"x", "b")

    async with many(service, slow()) as results:
        first = await anext(results)
        assert trio.current_time() < 1
        assert (await anext(results)).index == 1
    assert first.index == 0


async def test_N2_what_cannot_be_sent_fails_alone_before_anything_is_sent(autojump_clock):
    service = Service()
    results = await results_of(service, [Put(b"x", "a"), Put(b"x", "bad"), Put(b"x", "b")], ordered=True)
    assert [type(result.error) for result in results] == [type(None), InvalidObject, type(None)]
    assert service.requests == [[0, 2]]


async def test_N4_N7_a_reply_that_breaks_off_keeps_what_came_and_says_what_is_unknown(autojump_clock):
    service = Service(fates={2: "cut"})
    service.objects["k"] = b"kept"
    operations = [Put(b"x", "a"), Get("k"), Put(b"y", "b"), Get("k"), Delete("c"), Put(b"z" * 200, "alone")]
    results = await results_of(service, operations, ordered=True)
    assert [type(result.error) for result in results] == [
        type(None),
        type(None),
        OutcomeUnknown,
        PeerFailed,
        OutcomeUnknown,
        type(None),
    ]
    assert results[1].get().body == b"kept"
    with pytest.raises(OutcomeUnknown, match="the write of b was sent"):
        results[2].get()


async def test_what_was_never_sent_is_not_unknown(autojump_clock):
    results = await results_of(Service(fates={0: "unreachable"}), [Put(b"x", "a")])
    assert isinstance(results[0].error, Unreachable)


async def test_an_input_that_raises_does_so_after_the_results_of_what_came_before(autojump_clock):
    def broken():
        yield Put(b"x", "a")
        raise ZeroDivisionError

    got = []
    async with many(Service(), broken()) as results:
        with pytest.raises(ZeroDivisionError):
            async for result in results:
                got.append(result.index)
    assert got == [0]


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5])
async def test_leaving_early_ends_all_that_is_under_way(autojump_clock, after):
    service = Service()
    with trio.move_on_after(after):
        async with many(service, (Put(b"x" * 200, str(n)) for n in itertools.count()), concurrency=4) as results:
            async for _ in results:
                pass
    assert service.now == 0


async def test_content_that_nobody_takes_stops_at_a_bound(autojump_clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_HELD", 1000)
    service = Service(seconds=0.1)
    service.objects = {str(n): b"x" * 90 for n in range(200)}
    async with many(service, [Get(str(n)) for n in range(200)], look_ahead=150) as results:
        await trio.sleep(10)
        run = results._run
        assert 1000 <= run._held < 1000 + 90 * (run.concurrency + 1)
        assert sum([1 async for _ in results]) == 200


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"concurrency": -1}, {"look_ahead": 0}])
async def test_M19_no_concurrency_is_an_error_and_no_default(options):
    with pytest.raises(ValueError, match="at least 1"):
        async with many(Service(), [], **options):
            pytest.fail("it began")

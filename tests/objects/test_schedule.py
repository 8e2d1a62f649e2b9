"""What goes out together, and what waits: held against the plainest reading of the rules."""

from __future__ import annotations

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.objects.schedule import MOST_BODY, Item, Schedule, zstd_bound

KEYS = st.sampled_from(["", "a", "b", "c"])
ITEMS = st.lists(st.tuples(KEYS, st.booleans(), st.sampled_from([0, 1, 40, 60, None])), max_size=40)


def items(drawn):
    return [Item(n, key, writes, size) for n, (key, writes, size) in enumerate(drawn)]


def conflict(one, other):
    return bool(one.key) and one.key == other.key and (one.writes or other.writes)


@given(drawn=ITEMS, data=st.data(), concurrency=st.integers(1, 4), look_ahead=st.integers(1, 50))
def test_each_goes_out_once_within_limits_and_never_beside_one_it_conflicts_with(drawn, data, concurrency, look_ahead):
    """However requests end, of two conflicting operations the later goes out when the earlier is done."""
    schedule, coming, flying, done = Schedule(parts=5, total=100), items(drawn), [], []
    left = list(coming)
    while left or len(schedule):
        while left and len(schedule) < look_ahead:
            schedule.add(left.pop(0))
        while len(flying) < concurrency and (request := schedule.take()):
            assert request.items
            assert len(request.items) <= 5
            assert request.alone == (request.items[0].size is None) == (len(request.items) == 1 and request.alone)
            assert sum(item.size or 0 for item in request.items) <= 100
            for n, item in enumerate(request.items):
                others = [other for several in flying for other in several.items] + list(request.items[:n])
                assert not any(conflict(item, other) for other in others)
                assert all(other in done for other in coming[: item.index] if conflict(item, other))
            flying.append(request)
        assert flying, "something is to be done, and nothing goes out"
        finished = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
        for item in finished.items:
            schedule.done(item.index)
            done.append(item)
    assert sorted(done, key=lambda item: item.index) == coming
    assert len(schedule) == 0
    assert not schedule._lanes


def test_the_oldest_goes_first_and_as_many_as_fit_go_with_it():
    schedule = Schedule(parts=3, total=100)
    for n, size in enumerate([10, None, 20, 80, 1]):
        schedule.add(Item(n, str(n), True, size))
    taken = [[item.index for item in request.items] for request in iter(schedule.take, None)]
    assert taken == [[0, 2], [1], [3, 4]]


def test_readers_of_one_key_go_together():
    schedule = Schedule()
    for n, writes in enumerate([False, False, True, False]):
        schedule.add(Item(n, "k", writes, 0))
    assert [item.index for item in schedule.take().items] == [0, 1]
    assert schedule.take() is None
    schedule.done(0)
    assert schedule.take() is None
    schedule.done(1)
    assert [item.index for item in schedule.take().items] == [2]


def test_M12_the_bound_of_zstd_decides_what_fits_a_batch():
    assert zstd_bound(1_044_496) == MOST_BODY
    assert zstd_bound(1_044_497) > MOST_BODY


@given(st.binary(max_size=3000), st.integers(0, 60))
def test_zstd_keeps_within_its_bound(data, times):
    body = data * times
    assert len(zstandard.ZstdCompressor().compress(body)) <= zstd_bound(len(body)) + 18  # the frame's own header

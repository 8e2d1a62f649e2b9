"""Whatever order parts come in, and whatever is cut: each byte is asked for once, and all of them come."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from sessionctx.storage.window import LARGEST, SMALLEST, Shape, Window, shape


@given(
    size=st.integers(0, 60),
    part=st.integers(1, 12),
    at_once=st.integers(1, 5),
    here=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=4),
    seed=st.integers(0, 2**32),
)
def test_each_byte_comes_once_however_parts_come_and_break(size, part, at_once, here, seed):
    """What is here, what is under way and what is not asked for are apart, and make up the file."""
    chance = random.Random(seed)
    spans = [(min(b, size), min(b + n, size)) for b, n in here]
    window = Window.over(size, spans, smallest=3)
    got = bytearray(size)
    for begin, end in spans:
        got[begin:end] = b"x" * (end - begin)
    at_first = got.count(0)
    asked_for = came = now = 0
    while not window.complete:
        now += 1
        taken = window.take(Shape(part, at_once), now)
        if taken is not None:
            assert len(window.under_way) <= at_once
            assert 0 <= taken.begin < taken.end <= size
            assert not any(got[taken.begin : taken.end])
            asked_for += 1
        under_way = sorted((p.at, p.end) for p in window.under_way)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(under_way))
        assert window.left == got.count(0)
        if not window.under_way:
            continue
        moved = chance.choice(window.under_way)
        count = chance.randint(0, moved.left)
        at = moved.at
        own = window.came(moved, count, now)
        assert not any(got[at : at + own])
        got[at : at + own] = b"x" * own
        came += own
        if not moved.left or (asked_for < 60 and chance.randrange(6) == 0):
            window.ended(moved)
    assert bytes(got) == b"x" * size
    assert came == at_first


def test_what_is_left_is_shared_when_there_is_room():
    window = Window(80, 10)
    first = window.take(Shape(1000, 1), 0.0)
    while (second := window.take(Shape(1000, 2), 1.0)) is not None:
        window.came(second, second.left, 2.0)
        window.ended(second)
    assert first.left < 20  # nobody waits for it to bring more than is worth a request
    assert window.came(first, 80, 3.0) == first.end - first.begin
    window.ended(first)
    assert window.complete


def test_the_slowest_is_relieved():
    window = Window.over(100, [(40, 50)], smallest=60)
    fast, slow = window.take(Shape(1000, 2), 0.0), window.take(Shape(1000, 2), 0.0)
    assert [(part.begin, part.end) for part in (fast, slow)] == [(0, 40), (50, 100)]
    window.smallest = 5
    window.came(fast, 30, 1.0)
    window.came(slow, 2, 1.0)
    assert window.take(Shape(1000, 2), 1.0) is None
    third = window.take(Shape(1000, 3), 1.0)
    assert (slow.end, third.begin, third.end) == (76, 76, 100)


def test_parts_become_smaller_towards_the_end():
    window, sizes = Window(1000, 1), []
    while not window.complete:
        part = window.take(Shape(50, 4), 0.0)
        sizes.append(part.left)
        window.came(part, part.left, 0.0)
        window.ended(part)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 50
    assert sizes[-1] == 1


def test_who_is_silent_is_noticed():
    window = Window(100, 1)
    one, two = (window.take(Shape(10, 2), 0.0) for _ in range(2))
    window.came(one, 5, 3.0)
    assert window.late(5.0, 4.0) is None
    assert window.late(3.0, 4.0) is two
    assert Window(0).late(0.0, 1.0) is None


@given(
    latency=st.none() | st.floats(0, 30),
    rate=st.none() | st.floats(1, 1e10),
    best_part=st.integers(SMALLEST, LARGEST),
    most=st.integers(1, 64),
    memory=st.none() | st.integers(0, 2**32),
)
def test_shapes_are_within_bounds(latency, rate, best_part, most, memory):
    found = shape(latency, rate, best_part=best_part, most=most, memory=memory)
    assert 1 <= found.at_once <= most
    assert 1 <= found.part <= LARGEST
    if memory:
        assert found.part * found.at_once <= max(memory, 1)


def test_a_long_fast_line_gets_large_parts_and_many():
    near = shape(0.001, 1e8, best_part=8 << 20, most=8)
    far = shape(0.2, 1e9, best_part=8 << 20, most=8)
    assert far.part > near.part
    assert near.at_once == far.at_once == 8
    assert far.part * far.at_once > 0.2 * 1e9
    assert shape(None, 1e8, best_part=8 << 20, most=8) == Shape(8 << 20, 8)

"""The buffer, against the bytes themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionctx.dag.buffer import Buffer


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=8), begin=st.integers(0, 9), data=st.data()
)
def test_what_was_added_is_read_until_it_is_forgotten(pieces, begin, data):
    """Any part of what is held reads as the same part of the bytes; behind the cursor that is little."""
    content = bytes(begin) + b"".join(pieces)
    buffer = Buffer(begin)
    at = begin
    for piece in pieces:
        buffer.add(buffer.stop, piece)
        at = data.draw(st.integers(at, buffer.stop))
        buffer.forget(at)
        assert buffer.start <= at <= buffer.stop
        assert at - buffer.start <= 2 * len(max(pieces, key=len))
        start = data.draw(st.integers(buffer.start, buffer.stop))
        stop = data.draw(st.integers(start, buffer.stop))
        assert buffer.read(start, stop) == content[start:stop]
        if start < buffer.stop:
            end = buffer.end_of_piece(start)
            assert start < end <= buffer.stop
            assert buffer.read(start, end) in b"".join(pieces)


def test_a_piece_read_whole_is_not_copied():
    piece = bytes(100)
    buffer = Buffer(7)
    buffer.add(5, piece)
    assert buffer.start == 5
    assert buffer.read(5, 105) is piece
    assert buffer.end_of_piece(7) == 105

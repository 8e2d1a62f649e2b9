"""Byte ranges: one grammar for all who read or write them, and what they mean of a file of some size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import ByteRange
from sessionctx.errors import DecodeError

numbers = st.integers(-(10**18) + 1, 10**18 - 1)


@given(first=numbers, last=st.none() | numbers)
def test_what_is_written_is_read_again(first, last):
    span = ByteRange(first, last)
    if last is not None and (first < 0) == (last < 0) and first > last:
        with pytest.raises(DecodeError, match="ends before it begins"):
            ByteRange.parse(str(span))
    else:
        assert ByteRange.parse(str(span)) == span


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        ":",
        "1:",
        ":1",
        "a:b",
        "*:5",
        "1:2:3",
        "1_0:20",
        "+1:20",
        " 1:2",
        "1:2 ",
        "1:2\n",
        "1.0:2",
        "٣:٤",
        "0:" + "9" * 19,
    ],
)
def test_what_is_none_is_refused(text):
    with pytest.raises(DecodeError, match="is no byte range: write from:to"):
        ByteRange.parse(text)


@given(first=st.integers(-15, 15), last=st.none() | st.integers(-15, 15), size=st.integers(0, 12))
def test_it_means_the_bytes_that_one_would_count(first, last, size):
    """Negative numbers count from the end; what is outside of the file is not there."""
    begins = first if first >= 0 else first + size
    ends = size - 1 if last is None else last if last >= 0 else last + size
    start, stop = ByteRange(first, last).within(size)
    assert list(range(start, stop)) == [at for at in range(size) if begins <= at <= ends]

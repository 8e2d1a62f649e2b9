"""Numbers of 7 bits a byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import varint
from sessionctx.errors import DecodeError
from tests.content.strategies import numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (255, "ff01"), (300, "ac02"), (16384, "808001")],
)
def test_the_examples_of_the_specification(number, text):
    assert varint.encode(number) == bytes.fromhex(text)
    assert varint.decode(bytes.fromhex(text)) == (number, len(text) // 2)


def test_the_largest_number():
    assert varint.decode(varint.encode(2**63 - 1)) == (2**63 - 1, 9)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_number_that_does_not_fit_is_an_error(number):
    with pytest.raises(ValueError, match=str(number)):
        varint.encode(number)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off"),
        (b"\x80", "cut off"),
        (b"\xff" * 8, "cut off"),
        (b"\xff" * 9, "longer than 9 bytes"),
        (b"\xff" * 1_000_000, "longer than 9 bytes"),
        (b"\x80\x00", "longer than it has to be"),
        (b"\x81\x80\x00", "longer than it has to be"),
    ],
)
def test_what_is_no_varint_is_an_error_that_says_where(data, why):
    with pytest.raises(DecodeError, match=f"byte 3 is {why}"):
        varint.decode(b"abc" + data, 3)


@given(numbers, st.binary(max_size=4), st.binary(max_size=4))
def test_a_number_comes_back_wherever_it_stands(number, before, after):
    """What encode writes, decode reads: at any offset, with anything behind it."""
    data = before + varint.encode(number) + after
    assert varint.decode(data, len(before)) == (number, len(data) - len(after))
    assert varint.decode(memoryview(data), len(before)) == (number, len(data) - len(after))


@given(st.binary(max_size=12))
def test_each_number_has_one_form(data):
    """Whatever decodes is what encode would have written: no number has two names."""
    try:
        number, end = varint.decode(data)
    except DecodeError:
        return
    assert varint.encode(number) == data[:end]

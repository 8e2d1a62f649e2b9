"""Text forms of bytes."""

from __future__ import annotations

import contextlib
import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import multibase
from sessionctx.errors import DecodeError, Unsupported


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        (_, value), *rest = csv.reader(file, skipinitialspace=True)
    return value.encode().decode("unicode_escape").encode("latin-1"), rest


@pytest.mark.parametrize("name", ["basic", "leading_zero", "two_leading_zeros"])
def test_the_vectors_both_ways(fixtures, name):
    value, lines = rows(fixtures("multibase") / "tests" / f"{name}.csv")
    assert len(lines) >= 22
    for base, text in lines:
        assert multibase.decode(text) == value, base
        assert multibase.encode(base, value) == text, base


def test_the_vectors_of_either_case(fixtures):
    value, lines = rows(fixtures("multibase") / "tests" / "case_insensitivity.csv")
    assert len(lines) == 12
    for base, text in lines:
        assert multibase.decode(text) == value, base


def test_every_final_base_of_the_registry_is_here_by_its_letter(fixtures):
    with (fixtures("multibase") / "multibase.csv").open(encoding="utf-8", newline="") as file:
        registry = list(csv.DictReader(file, skipinitialspace=True))
    final = {row["encoding"]: row["character"] for row in registry if row["status"] in {"final", "default"}}
    assert len(final) == 8
    for name, letter in final.items():
        assert multibase.encode(name, b"x").startswith(letter)


@given(st.sampled_from(multibase.NAMES), st.binary(max_size=64))
def test_bytes_come_back_from_every_base(name, data):
    """Every base keeps every byte, leading zeros too."""
    assert multibase.decode(multibase.encode(name, data)) == data


@given(st.sampled_from(multibase.NAMES), st.data())
def test_each_byte_string_has_one_text(name, data):
    """In one base and case, whatever decodes is what encode would have written: no bytes have two names."""
    letter = multibase.encode(name, b"")
    digits = "".join(sorted(set("".join(multibase.encode(name, bytes((n, n // 2))) for n in range(256)))))
    text = letter + data.draw(st.text(digits, max_size=12))
    try:
        value = multibase.decode(text)
    except DecodeError:
        return
    assert multibase.encode(name, value) == text


@given(st.text(max_size=20))
def test_any_text_decodes_or_is_an_error_of_ours(text):
    """No text makes the decoder fail otherwise than it says."""
    with contextlib.suppress(DecodeError, Unsupported):
        assert isinstance(multibase.decode(text), bytes)


@pytest.mark.parametrize("text", ["", "x", "!abc", "1abc", "Q", "/a", "ü"])
def test_an_unknown_first_letter_is_unsupported(text):
    with pytest.raises(Unsupported, match="first letter"):
        multibase.decode(text)


def test_an_unknown_name_is_unsupported_and_lists_the_known_ones():
    with pytest.raises(Unsupported, match=r"'base99'.*base32"):
        multibase.encode("base99", b"x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bab1", "'1' at position 4"),
        ("zab0", "'0' at position 4"),
        ("f0_1", "'_' at position 3"),
        ("f0 1", "' ' at position 3"),
        ("f+1", r"'\+' at position 2"),
        ("9\u0661", "'\u0661' at position 2"),  # a digit, and int() would take it
        ("z?", r"'\?' at position 2"),
        ("mé", "'é' at position 2"),
        ("🚀x", "'x' at position 2"),
        ("f1", "inside a byte"),
        ("bab", "inside a byte"),
        ("bb", "inside a byte"),
        ("baaa", "inside a byte"),
        ("mAB", "inside a byte"),
        ("cme", "padding"),
        ("cme=====", "padding"),
        ("cme=======", "padding"),
        ("MeQ=", "padding"),
    ],
)
def test_a_wrong_text_says_what_is_wrong(text, why):
    with pytest.raises(DecodeError, match=why):
        multibase.decode(text)


def test_long_texts_and_values_are_refused_before_work():
    with pytest.raises(DecodeError, match="limit"):
        multibase.decode("z" + "2" * 10_000_000)
    with pytest.raises(Unsupported, match="too many"):
        multibase.encode("base58btc", bytes(10_000_000))
    assert multibase.decode(multibase.encode("base2", b"\xff" * 511)) == b"\xff" * 511

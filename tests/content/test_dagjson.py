"""JSON with bytes and links."""

from __future__ import annotations

import json
import shutil
import subprocess
from decimal import Decimal
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionctx.content import CID, MAX_BLOCK, dagcbor, dagjson
from sessionctx.content.data import parts_of
from sessionctx.errors import BlockTooLarge, DecodeError
from tests.content.strategies import values

LINK = CID.of(b"x")
TEXT = str(LINK)


def holdable(value) -> bool:
    """Whether dag-json can hold it: all but maps that would read as a link or bytes."""
    parts = [part for part in parts_of(value) if isinstance(part, dict)]
    return not any("/" in part and min(part) == "/" and not harmless(part["/"]) for part in parts)


def harmless(inner) -> bool:
    if isinstance(inner, dict):
        return not (inner and min(inner) == "bytes" and isinstance(inner["bytes"], str))
    return not isinstance(inner, str)


@given(values)
def test_a_value_comes_back_or_cannot_be_held(value):
    if not holdable(value):
        with pytest.raises(ValueError, match="begins with '/'"):
            dagjson.encode(value)
        return
    data = dagjson.encode(value)
    assert dagjson.decode(data) == value
    assert dagcbor.encode(dagjson.decode(data)) == dagcbor.encode(value)  # ints and floats are told apart
    assert dagjson.decode(data, strict=False) == value


@given(values.filter(holdable))
def test_the_text_is_json_without_spaces_with_sorted_keys(value):
    data = dagjson.encode(value)
    plain = json.loads(data, parse_float=Decimal)
    assert json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=float)
    assert b" " not in dagjson.encode({"a": [1, {"b": None}]})
    assert dagjson.encode(dict(reversed(value.items())) if isinstance(value, dict) else value) == data


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
@example("{" * 100_000)
@example("[" * 2_000_000)
@example('{"a":' * 600 + "1" + "}" * 600)
@example("[[" + '"]"' * 9)
@example('"\\ud800"')
@example("9" * 5000)
@example("1e999")
@example("NaN")
def test_whatever_comes_is_read_or_refused(text):
    for strict in (True, False):
        try:
            value = dagjson.decode(text.encode(), strict=strict)
        except (DecodeError, BlockTooLarge):
            continue
        if strict:
            assert dagjson.encode(value) == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        f'{{"/":"{TEXT}","a":1}}',
        '{"/":{"bytes":"AQID","a":1}}',
        '{"/":{"bytes":"AQID"},"a":1}',
        '{"/":"no CID"}',
        '{"/":{"bytes":"AQI="}}',
        '{"/":{"bytes":"AQJ"}}',
        '{"/":{"bytes":"A"}}',
        '{"/":{"bytes":"AQ*D"}}',
        '{"a":1,"a":2}',
        "[1,]",
        "01",
        "1 2",
        "'a'",
        '"\\ud800"',
        "18446744073709551616",
        "-18446744073709551617",
        "NaN",
        "-Infinity",
        "1e400",
        "",
        '"\n"',
        "[" * 513 + "]" * 513,
    ],
)
def test_what_is_never_allowed(text):
    for strict in (True, False):
        with pytest.raises(DecodeError):
            dagjson.decode(text.encode(), strict=strict)
    with pytest.raises(DecodeError, match="UTF-8"):
        dagjson.decode(b'"\xff"')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' { "b" : 1 , "a" : 2 } ', {"b": 1, "a": 2}),
        ("1.0e2", 100.0),
        ("-0", 0),
        ("-0.0", 0.0),
        ('"\\u0041"', "A"),
        (f'{{"a":1,"/":"{TEXT}"}}', {"a": 1, "/": TEXT}),
    ],
)
def test_what_others_may_write_is_read_unless_it_has_to_be_strict(text, value):
    assert dagjson.decode(text.encode(), strict=False) == value
    with pytest.raises(DecodeError):
        dagjson.decode(text.encode())


@pytest.mark.parametrize("text", ['{"/":1}', '{"/":{}}', '{"/":{"bytes":1}}', '{"/":{"a":"b"}}', '{"!":1,"/":"a"}'])
def test_maps_with_a_slash_that_cannot_be_mistaken(text):
    assert dagjson.encode(dagjson.decode(text.encode())) == text.encode()
    assert isinstance(dagjson.decode(text.encode()), dict)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (LINK, f'{{"/":"{TEXT}"}}'),
        (b"\xa1", '{"/":{"bytes":"oQ"}}'),
        (b"", '{"/":{"bytes":""}}'),
        ({"é": 1, "z": 2, "𐅑": 3, "\uffff": 4}, '{"z":2,"é":1,"\uffff":4,"𐅑":3}'),
        ('\x00\x1f\x7f"\\/', '"\\u0000\\u001f\x7f\\"\\\\/"'),
    ],
)
def test_forms(value, text):
    assert dagjson.encode(value) == text.encode()
    assert dagjson.decode(text.encode()) == value


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "0.0"),
        (100.5, "100.5"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (1e16, "10000000000000000.0"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000.0"),
        (5e-324, "5e-324"),
        (-8.940696716308594e-8, "-8.940696716308594e-8"),
    ],
)
def test_floats(number, text):
    assert dagjson.encode(number) == text.encode()
    assert dagjson.decode(text.encode()) == number


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here to say how ECMAScript writes numbers")
def test_floats_are_written_as_ecmascript_does():
    numbers = [
        sign * digits * 10.0**power for sign in (1, -1) for digits in (1, 1.25, 9.87654321) for power in range(-30, 30)
    ]
    script = f"for (const x of {json.dumps(numbers)}) console.log(String(x))"
    said = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout.split()
    assert [dagjson.encode(number).decode().removesuffix(".0") for number in numbers] == said


@pytest.mark.parametrize("value", [{1: 2}, (1,), object(), {"a": {2}}])
def test_what_it_cannot_hold(value):
    with pytest.raises(TypeError):
        dagjson.encode(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1 << 64, -(1 << 64) - 1, "\ud800", {"\ud800": 1}])
def test_values_it_cannot_hold(value):
    with pytest.raises(ValueError, match=r"."):
        dagjson.encode(value)


def test_what_loops_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(ValueError, match="deeper"):
        dagjson.encode(loop)


def test_what_is_too_large_is_refused():
    with pytest.raises(BlockTooLarge):
        dagjson.encode("é" * (MAX_BLOCK // 2))
    with pytest.raises(BlockTooLarge):
        dagjson.encode([b"x" * 1024] * 4096)
    with pytest.raises(BlockTooLarge):
        dagjson.decode(b" " * (MAX_BLOCK + 1))


def test_plain_json_knows_no_links():
    text = f'{{"/": "{TEXT}"}}'.encode()
    assert dagjson.parse(text) == {"/": TEXT}
    assert dagjson.encode({"/": TEXT}, links=False) == text.replace(b" ", b"")
    for value in (LINK, b"x"):
        with pytest.raises(TypeError, match="dag-json has"):
            dagjson.encode([value], links=False)


@pytest.mark.parametrize(
    "text", ["[" * 1_000_000, "[]," * 600_000, '{"a":' * 300_000, '"' + "\\\\" * 900_000, '"' * 1_000_001]
)
def test_hostile_text_takes_no_time(text):
    began = process_time()
    with pytest.raises(DecodeError):
        dagjson.decode(text.encode(), strict=False)
    assert process_time() - began < 2

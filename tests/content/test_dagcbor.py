"""JSON-like data with bytes and links."""

from __future__ import annotations

import json
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID, DAG_CBOR, MAX_BLOCK, dagcbor
from sessionctx.content.data import links
from sessionctx.errors import BlockTooLarge, DecodeError
from tests.content.strategies import cids, values

LINK = CID.of(b"x")


def test_the_vectors(fixtures):
    paths = list((fixtures("codec-fixtures") / "fixtures").glob("*/*.dag-cbor"))
    assert len(paths) == 128
    for path in paths:
        data = path.read_bytes()
        assert dagcbor.encode(dagcbor.decode(data)) == data, path.parent.name
        assert str(CID.of(data, codec=DAG_CBOR)) == path.stem, path.parent.name


def test_the_vectors_that_must_fail(fixtures):
    path = fixtures("codec-fixtures") / "negative-fixtures" / "dag-cbor" / "decode" / "duplicate-keys.json"
    for each in json.loads(path.read_text()):
        with pytest.raises(DecodeError):
            dagcbor.decode(bytes.fromhex(each["hex"]))


def dasl_cases(folder):
    return [
        each
        for path in sorted((folder / "cbor").glob("*.json"))
        for each in json.loads(path.read_text())
        if {"basic", "dag-cbor"} & set(each["tags"])
    ]


def test_the_cases_of_strict_decoding(fixtures):
    found = dasl_cases(fixtures("dasl-testing"))
    assert len(found) == 85
    for each in found:
        data = bytes.fromhex(each["data"])
        if each["type"] == "roundtrip":
            assert dagcbor.encode(dagcbor.decode(data)) == data, each["name"]
        elif each["type"] == "invalid_in":
            with pytest.raises(DecodeError):
                pytest.fail(f"{each['name']}: {dagcbor.decode(data)!r}")
        else:  # what an encoder must never write: no value leads to it
            with pytest.raises(DecodeError):
                dagcbor.decode(data)


@given(values)
def test_a_value_comes_back(value):
    """What encode writes, decode reads; to write it again gives the same bytes; the links are those inside."""
    data = dagcbor.encode(value)
    assert dagcbor.decode(data) == value
    assert dagcbor.encode(dagcbor.decode(data)) == data


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_decode_error(data):
    """Nothing else comes out; and each value has one form, so whatever is read is written as it was."""
    try:
        value = dagcbor.decode(data)
    except DecodeError:
        return
    assert dagcbor.encode(value) == data


@given(values, st.data())
def test_a_damaged_value_is_another_one_or_a_decode_error(value, data):
    """However a byte is changed, dropped or put in, nothing but DecodeError comes of it."""
    raw = bytearray(dagcbor.encode(value))
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=1))
    try:
        found = dagcbor.decode(bytes(raw))
    except DecodeError:
        return
    assert dagcbor.encode(found) == bytes(raw)


@given(st.lists(cids(), max_size=5))
def test_links_are_found_wherever_they_are(names):
    """Each link is found once for each time it stands there, however deep."""
    value = names[0] if len(names) == 1 else []
    for name in names if len(names) != 1 else ():
        value = [value, {"a": name, "b": [1, "x", b"y", None]}]
    assert sorted(links(dagcbor.decode(dagcbor.encode(value)))) == sorted(names)


def test_links_come_in_the_order_in_which_they_are_written():
    """So that a CAR goes depth first through data, too."""
    first, second, third, fourth = (CID.of(bytes([number])) for number in range(4))
    value = {"a": {"b": [first, {"c": second}]}, "d": third, "e": [[fourth]], "f": first}
    assert links(dagcbor.decode(dagcbor.encode(value))) == [first, second, third, fourth, first]


def test_bytes_that_look_like_a_cid_stay_bytes():
    value = {"bytes": bytes(LINK), "link": LINK, "hash": LINK.multihash}
    found = dagcbor.decode(dagcbor.encode(value))
    assert found == value
    assert isinstance(found["bytes"], bytes)
    assert links(found) == [LINK]


@pytest.mark.parametrize(
    "inside",
    ["00", "000155", "0002550000", "00" + bytes(LINK).hex() + "00", "", bytes(LINK).hex(), "01" + bytes(LINK).hex()],
)
def test_a_link_must_hold_a_cid(inside):
    raw = bytes.fromhex(inside)
    data = b"\xd8\x2a" + (bytes((0x40 + len(raw),)) if len(raw) < 24 else b"\x58" + bytes((len(raw),))) + raw
    with pytest.raises(DecodeError, match="dag-cbor"):
        dagcbor.decode(data)


def test_there_is_one_zero():
    """-0.0 equals 0.0, so it has no form of its own: it is written as 0.0, and not read."""
    token = b"\xfb\x80" + bytes(7)
    for value in (-0.0, [-0.0], {"a": [1.5, {"b": -0.0}], "c": token, "d": -1.5}):
        data = dagcbor.encode(value)
        assert dagcbor.decode(data) == value
        assert (token in data) == (value not in (0.0, [0.0]))
    for data in (token, b"\x81" + token):
        with pytest.raises(DecodeError, match=r"-0\.0"):
            dagcbor.decode(data)


def test_writing_changes_nothing_of_the_value():
    value = [-0.0, {"a": -0.0}]
    dagcbor.encode(value)
    assert repr(value) == "[-0.0, {'a': -0.0}]"


# --- bounds


def nested(depth):
    return b"\x81" * (depth - 1) + b"\x80"


def test_depth_is_bounded_both_ways():
    value = dagcbor.decode(nested(512))
    assert dagcbor.encode(value) == nested(512)
    with pytest.raises(DecodeError, match="deeper than 512"):
        dagcbor.decode(nested(513))
    with pytest.raises(ValueError, match="deeper than 512"):
        dagcbor.encode([value])


def test_depth_is_counted_among_many_lists():
    many = b"\x9a" + (1000).to_bytes(4, "big") + b"\x80" * 999
    assert dagcbor.decode(b"\x99" + (1000).to_bytes(2, "big") + b"\x80" * 999 + nested(511))
    with pytest.raises(DecodeError):
        dagcbor.decode(many + nested(10))  # its length is in four bytes where two do
    with pytest.raises(DecodeError, match="deeper than 512"):
        dagcbor.decode(b"\x99" + (1000).to_bytes(2, "big") + b"\x80" * 999 + nested(512))


def test_a_block_full_of_depth_is_refused_without_a_crash():
    for head in (b"\x81", b"\xa1\x60"):
        with pytest.raises(DecodeError, match="deeper than 512"):
            dagcbor.decode(head * (MAX_BLOCK // 4) + b"\x80")


@pytest.mark.parametrize("depth", [9, 200, 300_000])
@pytest.mark.parametrize("size", [60_000, MAX_BLOCK])
def test_lists_that_lie_about_their_length_are_refused_before_room_is_made(size, depth):
    """Each list claims what is left of the block: together they would want the square of its size."""
    data = bytearray()
    while len(data) < min(5 * depth, size - 5):
        left = size - len(data) - 5
        data += b"\x9a" + left.to_bytes(4, "big") if left > 65535 else b"\x99" + left.to_bytes(2, "big")
    data += bytes(size - len(data))
    start = process_time()
    with pytest.raises(DecodeError):
        dagcbor.decode(bytes(data))
    assert process_time() - start < 2


@pytest.mark.parametrize(
    "data", ["8300", "83830000 0000", "a1 6161 83 00", "84a2 6161 00 6162 00", "8201 8201 8201 82"]
)
def test_no_more_is_claimed_than_there_is_by_all_lists_and_maps_together(data):
    """It is noticed where it is claimed, and not when the data ends."""
    with pytest.raises(DecodeError, match="claimed"):
        dagcbor.decode(bytes.fromhex(data))


def test_a_large_value_is_looked_through_first():
    """Nothing that is good is refused for its size."""
    value = {"lists": [[n, str(n), bytes(n % 50), {"link": LINK, "none": None}] for n in range(3000)]}
    value |= {"noise": b"\x99" * 300, "numbers": [2**n for n in range(64)], "long": list(range(70_000))}
    data = dagcbor.encode(value)
    assert dagcbor.decode(data) == value
    assert dagcbor.decode(dagcbor.encode(b"\x9a\x00\x01" * 100_000)) == b"\x9a\x00\x01" * 100_000
    for cut in (0, 1, 1000, len(data) - 1):
        with pytest.raises(DecodeError):
            dagcbor.decode(data[:cut])


def test_size_is_bounded_both_ways():
    with pytest.raises(BlockTooLarge):
        dagcbor.decode(bytes(MAX_BLOCK + 1))
    with pytest.raises(BlockTooLarge):
        dagcbor.encode(bytes(MAX_BLOCK))


def test_loops_and_heaps_cannot_be_written():
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="deeper than 512"):
        dagcbor.encode(loop)
    heap = [0] * 1000
    for _ in range(40):
        heap = [heap] * 1000
    with pytest.raises(BlockTooLarge):
        dagcbor.encode(heap)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ((1, 2), TypeError),
        ({1: 2}, TypeError),
        ({"a": {1, 2}}, TypeError),
        (bytearray(b"x"), TypeError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (2**64, ValueError),
        (-(2**64) - 1, ValueError),
        ("\ud800", ValueError),
    ],
)
def test_what_dag_cbor_cannot_hold_is_an_error(value, error):
    with pytest.raises(error):
        dagcbor.encode([value])

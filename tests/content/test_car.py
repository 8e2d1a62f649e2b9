"""Blocks one behind the other."""

from __future__ import annotations

import json
import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID, MAX_BLOCK, CarDecoder, car, dagcbor, varint, verify
from sessionctx.errors import CarError, CarTruncated
from tests.content.strategies import cars

A, B = CID.of(b"a"), CID.of(b"b")
HEADER = car.encode_header([A])


def read(data, size=65536):
    """All sections; raises what the decoder raises."""
    decoder, found = CarDecoder(), []
    for at in range(0, len(data), size):
        found += decoder.feed(data[at : at + size])
    decoder.finish()
    return decoder.roots, found


def read_what_is_good(data, size=65536):
    """The sections before the first fault, and the fault."""
    decoder, found = CarDecoder(), []
    try:
        for at in range(0, len(data), size):
            found += decoder.feed(data[at : at + size])
        decoder.finish()
    except CarError as error:
        return found, error
    return found, None


def check(sections):
    for cid, data in sections:
        verify(cid, data)


# --- vectors


@pytest.mark.parametrize("size", [1, 7, 1000, 65536, 10**9])
def test_the_basic_vector_to_the_offset(fixtures, size):
    folder = fixtures("ipld-specs") / "transport" / "car" / "fixture" / "carv1-basic"
    data, expected = (folder / "carv1-basic.car").read_bytes(), json.loads((folder / "carv1-basic.json").read_text())
    roots, found = read(data, size)
    assert [str(root) for root in roots] == [root["/"] for root in expected["header"]["roots"]]
    assert len(found) == len(expected["blocks"]) == 8
    for (cid, block), entry in zip(found, expected["blocks"], strict=True):
        verify(cid, block)
        assert str(cid) == entry["cid"]["/"]
        assert data[entry["blockOffset"] :][: entry["blockLength"]] == block
        assert data[entry["offset"] :][: entry["length"]] == car.encode_section(cid, block)
    assert car.encode_header(roots) + b"".join(car.encode_section(*section) for section in found) == data


def test_a_version_within_version_2_is_1(fixtures):
    data = (fixtures("go-car") / "v2/testdata/sample-unixfs-v2.car").read_bytes()
    with pytest.raises(CarError, match="this is version 2"):
        read(data[:51] + data[:11] + data[51:])


def test_the_blocks_of_all_codec_vectors(fixtures):
    _, found = read((fixtures("codec-fixtures") / "fixtures.car").read_bytes())
    assert len(found) > 200
    check(found)


@pytest.mark.parametrize(
    ("name", "blocks", "identities"),
    [
        ("v2/testdata/sample-v1.car", 1049, 6),
        ("v2/testdata/sample-v1-noidentity.car", 1043, 0),
        ("cmd/car/testdata/inputs/simple-unixfs.car", None, 0),
        ("cmd/car/testdata/inputs/simple-unixfs-missing-blocks.car", None, 0),
        ("cmd/car/testdata/inputs/wikipedia-cryptographic-hash-function.car", None, 0),
    ],
)
def test_good_samples(fixtures, name, blocks, identities):
    data = (fixtures("go-car") / name).read_bytes()
    roots, found = read(data)
    check(found)
    assert len(roots) == 1
    assert blocks is None or len(found) == blocks
    assert sum(cid.is_identity for cid, _ in found) == identities
    assert car.encode_header(roots) + b"".join(car.encode_section(*section) for section in found) == data


@pytest.mark.parametrize(
    ("name", "why", "good"),
    [
        ("v2/testdata/sample-v1-tailing-corrupt-section.car", None, 1048),
        ("v2/testdata/sample-v1-with-zero-len-section.car", "section of 0 bytes", None),
        ("v2/testdata/sample-v1-with-zero-len-section2.car", "section of 0 bytes", None),
        ("v2/testdata/sample-corrupt-pragma.car", None, 0),
        ("v2/testdata/sample-rootless-v42.car", "this is version 42", 0),
        ("v2/testdata/sample-v2-corrupt-data-and-index.car", "the index begins within the data, at byte 478545", 0),
        ("cmd/car/testdata/inputs/badheaderlength.car", "a header of .* bytes", 0),
        ("cmd/car/testdata/inputs/badsectionlength.car", "a section of .* bytes", 0),
    ],
)
@pytest.mark.parametrize("size", [100, 10**9])
def test_bad_samples(fixtures, name, why, good, size):
    found, error = read_what_is_good((fixtures("go-car") / name).read_bytes(), size)
    assert isinstance(error, CarError)
    assert why is None or re.search(why, str(error))
    assert good is None or len(found) == good
    check(found)


def test_what_a_fuzzer_found(fixtures):
    paths = [path for path in fixtures("go-car").glob("**/fuzz/*/*") if path.is_file()]
    assert len(paths) == 6
    for path in paths:
        quoted = re.search(rb'\[\]byte\("(.*)"\)', path.read_bytes(), re.DOTALL)[1]
        data = quoted.decode("unicode_escape").encode("latin-1")  # Go's escapes are Python's
        for size in (1, 10**9):
            found, _ = read_what_is_good(data, size)
            assert sum(len(block) for _, block in found) <= len(data)


# --- properties


@given(cars(), st.integers(1, 100))
def test_a_car_comes_back_however_it_is_cut(made, size):
    """Roots and sections are the same for one big feed and for any small ones."""
    data, roots, sections = made
    assert read(data, size) == read(data, 10**9) == (tuple(roots), sections)


@given(cars(), st.data())
def test_a_cut_car_gives_its_beginning(made, data):
    """A CAR cut anywhere gives the sections before the cut and, unless it is cut between two, says so."""
    raw, roots, sections = made
    at = data.draw(st.integers(0, len(raw)))
    found, error = read_what_is_good(raw[:at], data.draw(st.sampled_from([1, 10, 10**9])))
    assert found == sections[: len(found)]
    whole = car.encode_header(roots) + b"".join(car.encode_section(*section) for section in found)
    assert isinstance(error, CarTruncated) == (whole != raw[:at])
    assert error is None or type(error) is CarTruncated


@given(cars(), st.data())
def test_a_damaged_car_gives_its_beginning(made, data):
    """Whatever is changed, dropped or put in: the sections before it are untouched, and at most CarError comes."""
    raw, roots, sections = made
    at = data.draw(st.integers(0, len(raw)))
    damaged = raw[:at] + data.draw(st.binary(max_size=12)) + raw[at + data.draw(st.integers(0, 12)) :]
    found, _ = read_what_is_good(damaged, data.draw(st.sampled_from([1, 10, 10**9])))
    end, before = len(car.encode_header(roots)), 0
    for section in sections:
        end += len(car.encode_section(*section))
        before += end <= at
    assert found[:before] == sections[:before]


@given(st.binary(max_size=80) | st.binary(max_size=80).map(HEADER.__add__), st.integers(1, 90))
def test_any_bytes_are_a_car_or_a_car_error(data, size):
    """Nothing else comes out."""
    found, _ = read_what_is_good(data, size)
    assert sum(len(block) for _, block in found) <= len(data)


# --- the life of a decoder


def test_roots_appear_with_the_header():
    decoder = CarDecoder()
    assert decoder.feed(HEADER[:-1]) == []
    assert decoder.roots is None
    assert decoder.feed(HEADER[-1:]) == []
    assert decoder.roots == (A,)
    decoder.finish()


def test_no_roots_and_empty_blocks_are_fine():
    empty = CID.of(b"")
    assert read(car.encode_header([]) + car.encode_section(empty, b"")) == ((), [(empty, b"")])


def test_a_prefix_saves_a_copy():
    assert car.encode_prefix(A, 5) + b"hello" == car.encode_section(A, b"hello")


def test_what_came_before_a_fault_is_not_lost():
    """The sections of the same chunk come first; then every call raises."""
    decoder = CarDecoder()
    assert decoder.feed(HEADER + car.encode_section(A, b"a") + b"\x00") == [(A, b"a")]
    for call in (lambda: decoder.feed(b""), lambda: decoder.feed(car.encode_section(B, b"b")), decoder.finish):
        with pytest.raises(CarError, match="a section of 0 bytes at byte 97"):
            call()


def test_an_error_comes_at_once_where_nothing_came_before():
    decoder = CarDecoder()
    decoder.feed(HEADER)
    with pytest.raises(CarError):
        decoder.feed(b"\x00")
    with pytest.raises(CarError):
        decoder.finish()


@pytest.mark.parametrize("size", [0, 1, 20, len(HEADER) - 1])
def test_an_end_within_the_header(size):
    with pytest.raises(CarTruncated, match=f"within its header, after {size} bytes"):
        read(HEADER[:size])


def test_an_end_within_a_section():
    with pytest.raises(CarTruncated, match="within a section: 20 bytes of it are there, at byte 59"):
        read(HEADER + car.encode_section(A, b"a")[:20])


def test_text_behind_a_cut_car_is_no_section():
    """Some gateways write an error message where the rest should be."""
    found, error = read_what_is_good(HEADER + car.encode_section(A, b"a") + b"\n\nerror: context deadline exceeded\n")
    assert found == [(A, b"a")]
    assert isinstance(error, CarError)


# --- bad input


def framed(body):
    return varint.encode(len(body)) + body


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00", "a header of 0 bytes"),
        (b"\xff" * 9, "no length at byte 0"),
        (b"\x81\x00", "no length at byte 0"),
        (varint.encode(65537), "a header of 65537 bytes at byte 0; it should have 1 to 65536"),
        (varint.encode(2**62), "a header of"),
        (b"<!DOCTYPE html><html>" + b" " * 60, "this is no CAR"),
        (b"{}" + b" " * 200, "this is no CAR"),
        (framed(b"\xff"), "this is no CAR"),
        (framed(dagcbor.encode([1])), "this is no CAR"),
        (framed(dagcbor.encode({"roots": [A]})), "no map with a version"),
        (framed(dagcbor.encode({"roots": [A], "version": "1"})), "no map with a version"),
        (framed(dagcbor.encode({"roots": [A], "version": True})), "no map with a version"),
        (framed(dagcbor.encode({"version": 1})), "list of CIDs"),
        (framed(dagcbor.encode({"roots": A, "version": 1})), "list of CIDs"),
        (framed(dagcbor.encode({"roots": [A, "x"], "version": 1})), "list of CIDs"),
        (framed(dagcbor.encode({"roots": [A], "version": 1, "x": 1})), "nothing else"),
        (framed(dagcbor.encode({"roots": [A], "version": 3})), "version 3"),
        (HEADER + b"\x00", "a section of 0 bytes at byte 59; it should have 1 to 2097408"),
        (HEADER + varint.encode(MAX_BLOCK + 257), "a section of 2097409 bytes"),
        (HEADER + varint.encode(2**62), "a section of"),
        (HEADER + b"\xff" * 9, "no length at byte 59"),
        (HEADER + b"\x01\x00", "section at byte 59 does not begin with a CID"),
        (HEADER + framed(b"hello world"), "does not begin with a CID"),
        (HEADER + framed(bytes(A)[:-1]) + bytes(100), "does not begin with a CID: the CID is cut off"),
    ],
)
@pytest.mark.parametrize("size", [1, 10**9])
def test_what_is_no_car_says_why(data, why, size):
    found, error = read_what_is_good(data, size)
    assert found == []
    assert type(error) is CarError
    assert re.search(why, str(error))


def test_lengths_are_checked_before_anything_is_kept():
    """The fault is noticed by the length alone, however much was promised."""
    decoder = CarDecoder()
    decoder.feed(HEADER)
    with pytest.raises(CarError, match="a section of 1099511627776 bytes"):
        decoder.feed(varint.encode(2**40))


def test_a_section_may_be_as_large_as_a_block():
    data = bytes(MAX_BLOCK)
    assert read(HEADER + car.encode_section(A, data)) == ((A,), [(A, data)])


def test_tiny_feeds_cost_no_more_than_their_number():
    """Byte by byte, four times the bytes take about four times the time, not sixteen."""

    def cost(size):
        data = HEADER + car.encode_section(A, bytes(size))
        start = process_time()
        read(data, 1)
        return process_time() - start

    assert min(cost(100_000) for _ in range(3)) < 10 * min(cost(25_000) for _ in range(3))

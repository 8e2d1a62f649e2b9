"""The envelope of version 2, and the index in it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import IDENTITY, CarDecoder, car, carindex, carv2, multihash
from sessionctx.errors import CarError, CarTruncated
from tests.content.strategies import cids, sections


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(data, size=10**9):
    decoder, found = CarDecoder(), []
    for piece in pieces(data, size):
        found += decoder.feed(piece)
    decoder.finish()
    return decoder.roots, found


def wrapped(inner, padding=b"", index=b""):
    start = carv2.BEGINNING + len(padding)
    header = carv2.Header(start, len(inner), start + len(inner) if index else 0)
    return carv2.encode_beginning(header) + padding + inner + index


@given(sections, st.binary(max_size=70), st.binary(max_size=70), st.integers(1, 90))
def test_what_is_in_the_envelope_is_read_and_nothing_else(blocks, padding, index, size):
    inner = car.encode_header([]) + b"".join(car.encode_section(*block) for block in blocks)
    data = wrapped(inner, padding, index)
    assert read(data, size) == read(data) == ((), blocks) == read(inner)


@given(sections, st.integers(1, 90), st.data())
def test_a_cut_is_noticed_wherever_it_is(blocks, size, draw):
    inner = car.encode_header([]) + b"".join(car.encode_section(*block) for block in blocks)
    data = wrapped(inner, b"pad")
    cut = draw.draw(st.integers(0, len(data) - 1))
    with pytest.raises(CarTruncated):
        read(data[:cut], size)


def test_the_basic_vector(fixtures):
    folder = fixtures("ipld-specs") / "transport" / "car" / "fixture" / "carv2-basic"
    data, said = (folder / "carv2-basic.car").read_bytes(), json.loads((folder / "carv2-basic.json").read_text())
    header = carv2.decode_header(data[11:51])
    expected = said["header"]
    assert (header.data_offset, header.data_size) == (expected["dataOffset"], expected["dataSize"])
    assert header.index_offset == expected["indexOffset"]
    roots, found = read(data, 7)
    assert [str(root) for root in roots] == [root["/"] for root in expected["roots"]]
    for (cid, block), entry in zip(found, said["blocks"], strict=True):
        assert str(cid) == entry["cid"]["/"]
        assert data[entry["blockOffset"] :][: entry["blockLength"]] == block


@pytest.mark.parametrize("header", [(50, 9, 0), (51, 0, 0), (51, 9, 59), (2**64 - 1, 9, 60)])
def test_headers_that_contradict_themselves(header):
    with pytest.raises(CarError, match="version 2"):
        read(carv2.encode_beginning(carv2.Header(*header)) + b"x" * 99)


def test_one_that_is_fully_indexed_is_read_like_any_other():
    header = carv2.Header(51, 9, 60)
    data = carv2.encode_beginning(header)[11:]
    assert carv2.decode_header(data) == carv2.decode_header(b"\x80" + data[1:]) == header


# --- the index


@given(st.lists(st.tuples(cids(), st.integers(0, 2**40)), max_size=30), cids())
def test_what_is_in_an_index_is_found_in_it(entries, other):
    names = [(cid.multihash, at) for cid, at in entries]
    index = carindex.Index(carindex.encode(names))
    kept = [(name, at) for name, at in names if multihash.split(name)[0] != IDENTITY]
    assert len(index) == len(kept)
    for name, _ in names:
        assert sorted(index.find(name)) == sorted(at for each, at in kept if each == name)
    if other.multihash not in dict(names):
        assert list(index.find(other.multihash)) == []


def test_the_indexes_of_go_are_read_and_ours_is_the_same(fixtures):
    folder = fixtures("go-car") / "v2" / "testdata"
    data = (folder / "sample-wrapped-v2.car").read_bytes()
    header = carv2.decode_header(data[11:51])
    inner = data[header.data_offset : header.data_offset + header.data_size]
    at, found = len(car.encode_header(read(data)[0])), {}
    for cid, block in read(data)[1]:
        found.setdefault(cid.multihash, []).append(at)
        at += len(car.encode_section(cid, block))
    assert at == len(inner)
    listed = [(name, at) for name, places in found.items() for at in places]
    theirs = (folder / "sample-multihash-index-sorted.carindex").read_bytes()
    for raw in (data[header.index_offset :], theirs, carindex.encode(listed)):
        index = carindex.Index(raw)
        for name, places in found.items():
            if multihash.split(name)[0] != IDENTITY:
                assert set(places) <= set(index.find(name))


@given(st.binary(max_size=80))
def test_any_bytes_are_an_index_or_not(data):
    for kind in (b"", b"\x80\x08", b"\x81\x08"):
        try:
            index = carindex.Index(kind + data)
        except CarError:
            continue
        for name in (multihash.wrap(0x12, bytes(32)), multihash.wrap(0x11, bytes(4))):
            assert all(at >= 0 for at in index.find(name))


def test_an_index_that_claims_too_much():
    for raw in (
        b"\x80\x08\xff\xff\xff\x7f",
        b"\x80\x08\x01\x00\x00\x00\x28\x00\x00\x00" + b"\xff" * 8,
        b"\x82\x08",
        b"",
    ):
        with pytest.raises(CarError, match="index"):
            carindex.Index(raw)

"""All codecs side by side: the same data in each of them has the names that others give it."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given

from sessionctx.content import (
    CBOR,
    CID,
    DAG_CBOR,
    DAG_JSON,
    DAG_PB,
    JSON,
    LIBP2P_KEY,
    RAW,
    dagpb,
    decode,
    encode,
    links,
)
from sessionctx.content.pbform import form_of, node_of
from sessionctx.errors import DecodeError, Unsupported
from tests.content.strategies import nodes, values

CODECS = {"dag-pb": DAG_PB, "dag-cbor": DAG_CBOR, "dag-json": DAG_JSON}
LINK = CID.of(b"x")


def test_each_vector_in_each_codec_has_its_name(fixtures):
    """Decode each file of a vector, encode it in the codec of each other: that gives the other's bytes and CID."""
    pairs = 0
    folders = (path for path in (fixtures("codec-fixtures") / "fixtures").iterdir() if path.is_dir())
    for folder in folders:
        files = {path.suffix[1:]: path for path in folder.iterdir() if path.suffix[1:] in CODECS}
        for (source, path), (target, expected) in product(files.items(), files.items()):
            for strict in (True, False):
                data = encode(CODECS[target], decode(CODECS[source], path.read_bytes(), strict=strict))
                assert data == expected.read_bytes(), (folder.name, source, target)
                assert CID.of(data, codec=CODECS[target]) == CID.parse(expected.stem), (folder.name, source, target)
            pairs += 1
    assert pairs == 597


def refusals(folder, kind):
    """Each entry of the negative vectors with its codec."""
    for path in sorted((folder / "negative-fixtures").glob(f"*/{kind}/*.json")):
        for each in json.loads(path.read_text()):
            yield CODECS[path.parent.parent.name], each


def test_what_must_not_be_read(fixtures):
    found = list(refusals(fixtures("codec-fixtures"), "decode"))
    assert len(found) == 11
    for (codec, each), strict in product(found, (True, False)):
        with pytest.raises(DecodeError):
            pytest.fail(f"{each['name']}: {decode(codec, bytes.fromhex(each['hex']), strict=strict)!r}")


def test_what_must_not_be_written(fixtures):
    found = list(refusals(fixtures("codec-fixtures"), "encode"))
    assert len(found) == 78
    for codec, each in found:
        value = decode(DAG_JSON, json.dumps(each["dag-json"]).encode())
        with pytest.raises((TypeError, ValueError)):
            pytest.fail(f"{each['name']}: {encode(codec, value)!r}")


@given(nodes)
def test_a_node_of_dag_pb_comes_back_from_its_form(node):
    kept = dagpb.decode(dagpb.encode(node))  # with its links in order
    assert node_of(form_of(kept)) == kept
    for codec in (DAG_CBOR, DAG_JSON):
        assert node_of(decode(codec, encode(codec, form_of(kept)), strict=True)) == kept


@given(values)
def test_all_codecs_find_the_same_links(value):
    found = links(DAG_CBOR, encode(DAG_CBOR, value))
    try:
        data = encode(DAG_JSON, value)
    except ValueError:
        return
    assert sorted(links(DAG_JSON, data), key=bytes) == sorted(found, key=bytes)


def test_what_is_written_carelessly_still_has_its_links():
    assert links(DAG_JSON, f' {{"b": {{"/": "{LINK}"}}, "a": 1}}'.encode()) == [LINK]
    careless = b"\xa2\x61b\x18\x01\x61a" + encode(DAG_CBOR, LINK)  # keys out of order, and 1 in two bytes
    assert links(DAG_CBOR, careless) == [LINK]
    assert decode(DAG_CBOR, careless) == {"b": 1, "a": LINK}
    with pytest.raises(DecodeError):
        decode(DAG_CBOR, careless, strict=True)


def test_plain_codecs_have_no_links():
    assert links(RAW, b"x") == links(JSON, f'{{"/":"{LINK}"}}'.encode()) == links(CBOR, encode(CBOR, [1])) == []
    assert decode(JSON, b'{"/": "x"}') == {"/": "x"}
    assert encode(JSON, {"/": "x"}) == b'{"/":"x"}'
    assert decode(CBOR, b"\xf9\x3c\x00") == 1.0
    assert decode(RAW, b"x") == encode(RAW, b"x") == b"x"
    with pytest.raises(TypeError):
        encode(RAW, "x")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x18\x01", 1),
        (b"\x58\x01a", b"a"),
        (b"\xf9\x3c\x00", 1.0),
        (b"\xfa\x3f\x80\x00\x00", 1.0),
        (b"\xfb\x80\x00\x00\x00\x00\x00\x00\x00", -0.0),
        (b"\xf7", None),
        (b"\xa2\x61b\x01\x61a\x02", {"b": 1, "a": 2}),
    ],
)
def test_dag_cbor_of_the_careless(data, value):
    assert decode(DAG_CBOR, data) == value
    with pytest.raises(DecodeError):
        decode(DAG_CBOR, data, strict=True)


@pytest.mark.parametrize(
    "data", [b"\xa2\x61a\x01\x61a\x02", b"\x9f\xff", b"\xc1\x01", b"\xa1\x01\x01", b"\xf8\x20", b"\x01\x01"]
)
def test_dag_cbor_that_nobody_can_read(data):
    for strict in (True, False):
        with pytest.raises(DecodeError):
            decode(DAG_CBOR, data, strict=strict)


def test_codecs_that_are_not_known():
    for codec, call in product((LIBP2P_KEY, 0x78), (decode, encode, links)):
        with pytest.raises(Unsupported, match="cannot be read here"):
            call(codec, b"")

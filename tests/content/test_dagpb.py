"""Nodes of links and bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID, DAG_CBOR, DAG_PB, PBLink, PBNode, dagcbor, dagpb
from sessionctx.errors import DecodeError
from tests.content.strategies import nodes

A, B = CID.of(b"a"), CID.of(b"b")
HASH = b"\x0a\x24" + bytes(A)
LINK = b"\x12\x26" + HASH


def blocks(folder, codec):
    return {path.parent.name: path for path in (folder / "fixtures").glob(f"*/*.{codec}")}


def as_data(node):
    """The node as the IPLD data model has it, to compare with the same fixture in dag-cbor."""
    keys = {"cid": "Hash", "name": "Name", "tsize": "Tsize"}
    links = [
        {key: getattr(link, name) for name, key in keys.items() if getattr(link, name) is not None}
        for link in node.links
    ]
    return {"Links": links} | ({} if node.data is None else {"Data": node.data})


def test_the_vectors(fixtures):
    folder = fixtures("codec-fixtures")
    found, same = blocks(folder, "dag-pb"), blocks(folder, "dag-cbor")
    assert len(found) == 17
    for name, path in found.items():
        data = path.read_bytes()
        assert str(CID.of(data, codec=DAG_PB)) == path.stem, name
        node = dagpb.decode(data)
        assert dagpb.encode(node) == data, name
        cbor = dagcbor.encode(as_data(node))
        assert cbor == same[name].read_bytes(), name
        assert str(CID.of(cbor, codec=DAG_CBOR)) == same[name].stem, name


def test_the_vectors_that_must_fail(fixtures):
    path = fixtures("codec-fixtures") / "negative-fixtures" / "dag-pb" / "decode" / "edges.json"
    found = json.loads(path.read_text())
    assert len(found) == 9
    for each in found:
        with pytest.raises(DecodeError):
            dagpb.decode(bytes.fromhex(each["hex"]))


def test_absent_is_not_empty():
    assert dagpb.decode(b"") == PBNode()
    assert dagpb.decode(b"\x0a\x00") == PBNode(data=b"")
    assert dagpb.decode(LINK) == PBNode((PBLink(A),))
    assert dagpb.decode(b"\x12\x28" + HASH + b"\x12\x00") == PBNode((PBLink(A, ""),))
    assert dagpb.decode(b"\x12\x28" + HASH + b"\x18\x00") == PBNode((PBLink(A, None, 0),))
    assert dagpb.encode(PBNode()) == b""


def test_data_may_stand_on_either_side_when_read():
    both = PBNode((PBLink(A), PBLink(A)), b"x")
    assert dagpb.decode(LINK + LINK + b"\x0a\x01x") == both
    assert dagpb.decode(b"\x0a\x01x" + LINK + LINK) == both
    assert dagpb.encode(both) == LINK + LINK + b"\x0a\x01x"


def test_links_are_sorted_by_the_bytes_of_their_names_when_written():
    # U+FF5E sorts before U+1F600 in UTF-8 and by code point, and behind it in UTF-16
    names = ["b", None, "a", "\U0001f600", "\uff5e", "", "B"]
    node = PBNode(tuple(PBLink(CID.of(bytes((n,))), name, n) for n, name in enumerate(names)))
    written = dagpb.decode(dagpb.encode(node)).links
    assert [link.name for link in written] == [None, "", "B", "a", "b", "\uff5e", "\U0001f600"]


def test_links_keep_the_order_in_which_they_are_read():
    data = b"".join(b"\x12\x29" + HASH + b"\x12\x01" + name for name in (b"b", b"a", b"c", b"a"))
    assert [link.name for link in dagpb.decode(data).links] == ["b", "a", "c", "a"]


def test_links_that_end_alike_and_links_that_do_not():
    tails = [("a", 1), ("a", 1), ("a", 2), ("b", 2), (None, 2), (None, None), ("", None), ("a", 1)]
    node = PBNode(tuple(PBLink(CID.of(bytes((n,))), *tail) for n, tail in enumerate(tails)))
    assert sorted(dagpb.decode(dagpb.encode(node)).links, key=str) == sorted(node.links, key=str)


def test_long_lengths():
    long = CID.of(bytes(125), hash=0)  # a CID of 129 bytes: its length takes two
    node = PBNode((PBLink(long, "n" * 300, 2**63 - 1),), bytes(100_000))
    assert dagpb.decode(dagpb.encode(node)) == node


@given(nodes)
def test_a_node_comes_back(node):
    """What encode writes, decode reads, the links in their written order; and to write it again changes nothing."""
    data = dagpb.encode(node)
    found = dagpb.decode(data)
    assert found.data == node.data
    assert list(found.links) == sorted(node.links, key=lambda link: (link.name or "").encode())
    assert dagpb.encode(found) == data


@given(st.binary(max_size=120))
def test_any_bytes_are_a_node_or_a_decode_error(data):
    """Nothing else comes out, and a node that was read can be written."""
    try:
        node = dagpb.decode(data)
    except DecodeError:
        return
    assert dagpb.decode(dagpb.encode(node)).data == node.data


@given(nodes, st.data())
def test_a_damaged_node_is_a_node_or_a_decode_error(node, data):
    """However a byte is changed, dropped or put in, nothing but DecodeError comes of it."""
    raw = bytearray(dagpb.encode(node))
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=1))
    try:
        found = dagpb.decode(bytes(raw))
    except DecodeError:
        return
    assert isinstance(found, PBNode)


@given(nodes, st.data())
def test_a_cut_is_noticed_unless_it_falls_between_fields(node, data):
    """What is left of a node decodes only to the beginning of it."""
    raw = dagpb.encode(node)
    try:
        found = dagpb.decode(raw[: data.draw(st.integers(0, len(raw)))])
    except DecodeError:
        return
    whole = dagpb.decode(raw)
    assert found.links == whole.links[: len(found.links)]
    assert found.data in {None, whole.data}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "cut off"),
        (b"\x0a\x05abcd", "cut off"),
        (b"\x0a\xff\xff\xff\xff\x0f", "cut off"),
        (b"\x0a\x81\x00x", "longer than it has to be"),
        (b"\x0a\x01x\x0a\x01y", "repeated"),
        (LINK + b"\x0a\x00" + LINK, "between Links"),
        (b"\x1a\x01x", "field 3 of wire type 2"),
        (b"\x08\x01", "field 1 of wire type 0"),
        (b"\x12\x00", "does not begin with its Hash"),
        (b"\x12\x02\x12\x00", "does not begin with its Hash"),
        (b"\x12\x02\x0a\x00", "Hash of a link is no CID"),
        (b"\x12\x04\x0a\x02\x01\x55", "Hash of a link is no CID"),
        (b"\x12\x02\x0a\x05", "a field of 5 bytes is cut off"),
        (b"\x12\x01\x0a", "cut off"),
        (b"\x12\x27" + HASH + b"\x12", "cut off"),
        (b"\x12\x28" + HASH + b"\x12\x01", "cut off"),
        (b"\x12\x27" + HASH + b"\x18", "cut off"),
        (b"\x12\x29" + HASH + b"\x12\x01\xff", "is not UTF-8"),
        (b"\x12\x4c" + HASH + HASH, "field 1 of wire type 2 .* in a link"),
        (b"\x12\x2a" + HASH + b"\x12\x00\x12\x00", "field 2 of wire type 2 .* in a link"),
        (b"\x12\x2a" + HASH + b"\x18\x00\x18\x00", "field 3 of wire type 0 .* in a link"),
        (b"\x12\x2a" + HASH + b"\x18\x00\x12\x00", "field 2 of wire type 2 .* in a link"),
        (b"\x12\x28" + HASH + b"\x20\x00", "field 4 of wire type 0 .* in a link"),
        (b"\x12\x29" + HASH + b"\x18\x80\x00", "longer than it has to be"),
    ],
)
def test_what_the_specification_forbids_is_refused(data, why):
    with pytest.raises(DecodeError, match=why):
        dagpb.decode(data)


def test_what_cannot_be_written_is_a_value_error():
    with pytest.raises(ValueError, match="-1"):
        dagpb.encode(PBNode((PBLink(A, "x", -1),)))
    with pytest.raises(ValueError, match="surrogates"):
        dagpb.encode(PBNode((PBLink(A, "\ud800"),)))


def test_nodes_can_be_keys():
    assert len({PBNode((PBLink(A, "x", 1),), b"d"), PBNode((PBLink(A, "x", 1),), b"d"), PBNode((PBLink(B),))}) == 2

"""What a node says about a file or directory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID, DAG_PB, PBLink, PBNode, dagpb, unixfs
from sessionctx.content.unixfs import Data, Mtime, Type
from sessionctx.errors import DecodeError, InvalidDag
from tests.content.strategies import unixfs_data

LEAF = CID.of(b"leaf")


def test_the_empty_directory_that_everyone_knows():
    data = unixfs.encode(Data(Type.DIRECTORY))
    assert data == b"\x08\x01"
    block = dagpb.encode(PBNode(data=data))
    assert str(CID.of(block, codec=DAG_PB, version=0)) == "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"


def test_the_empty_file_that_everyone_knows():
    data = unixfs.encode(Data(Type.FILE, filesize=0))
    assert data == b"\x08\x02\x18\x00"
    block = dagpb.encode(PBNode(data=data))
    assert str(CID.of(block, codec=DAG_PB, version=0)) == "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0802", Data(Type.FILE)),
        ("080212026869" + "1802", Data(Type.FILE, b"hi", 2)),
        ("08041203612f62", Data(Type.SYMLINK, b"a/b")),
        ("0805120180" + "2822" + "308002", Data(Type.HAMT_SHARD, b"\x80", hash_type=0x22, fanout=256)),
        ("080238a403", Data(Type.FILE, mode=0o644)),
        ("0802" + "420608b9a5cae105", Data(Type.FILE, mtime=Mtime(1546818233))),
        ("0802" + "420b08b9a5cae1051502000000", Data(Type.FILE, mtime=Mtime(1546818233, 2))),
        ("0802" + "420b08ffffffffffffffffff01", Data(Type.FILE, mtime=Mtime(-1))),
        ("0802" + "2001200120ac0220ac022003", Data(Type.FILE, blocksizes=(1, 1, 300, 300, 3))),
    ],
)
def test_each_field(text, value):
    data = bytes.fromhex(text)
    assert unixfs.decode(data) == value
    assert unixfs.encode(value) == data


def test_fields_may_stand_in_any_order():
    data = bytes.fromhex("420608b9a5cae105" + "38ed8302" + "1803" + "0802")
    assert unixfs.decode(data) == Data(Type.FILE, filesize=3, mode=0o100755, mtime=Mtime(1546818233))


def test_blocksizes_may_be_packed_and_mixed():
    sizes = "2204" + "01ac0203"
    assert unixfs.decode(bytes.fromhex("0802" + sizes)).blocksizes == (1, 300, 3)
    assert unixfs.decode(bytes.fromhex("0802" + "2007" + sizes + "2007")).blocksizes == (7, 1, 300, 3, 7)


def test_unknown_fields_are_skipped_and_known_bits_are_kept():
    unknown = "4801" + "5203aaaaaa" + "59" + "00" * 8 + "65" + "00" * 4
    assert unixfs.decode(bytes.fromhex(unknown + "0802" + unknown)) == Data(Type.FILE)
    assert unixfs.decode(bytes.fromhex("0802" + "4205" + "0801" + "1a01aa")).mtime == Mtime(1)
    mode = 0xFFFF_F000 | 0o755
    assert unixfs.decode(unixfs.encode(Data(Type.FILE, mode=mode))).mode == mode


def test_no_nanoseconds_are_not_written():
    """The specification wants a fraction of 0 to be left out; old data may have it."""
    assert unixfs.encode(Data(Type.FILE, mtime=Mtime(1, 0))) == bytes.fromhex("080242020801")
    assert unixfs.decode(bytes.fromhex("08024207" + "0801" + "1500000000")).mtime == Mtime(1, 0)


@given(unixfs_data)
def test_the_fields_come_back(data):
    """What encode writes, decode reads; and writing it again gives the same bytes."""
    raw = unixfs.encode(data)
    assert unixfs.decode(raw) == data
    assert unixfs.encode(unixfs.decode(raw)) == raw


@given(
    st.binary(max_size=60) | unixfs_data.flatmap(lambda data: st.binary(max_size=9).map(unixfs.encode(data).__add__))
)
def test_any_bytes_are_unixfs_or_a_decode_error(raw):
    """Nothing else comes out, and what was read can be written and read again."""
    try:
        data = unixfs.decode(raw)
    except DecodeError as error:
        assert str(error).startswith("unixfs: ")
        return
    assert unixfs.decode(unixfs.encode(data)) == data


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no type None"),
        ("0806", "no type 6"),
        ("08ffffffffffffffffff01", "no type"),
        ("08", "cut off"),
        ("0802" + "12", "cut off"),
        ("0802" + "1205aa", "5 bytes at byte 4 is cut off"),
        ("0802" + "2202aa", "cut off"),
        ("0802" + "2201aa", "cut off"),
        ("0802" + "18" + "ff" * 9 + "02", "over 64 bits"),
        ("0802" + "18" + "80" * 10 + "01", "over 64 bits"),
        ("08020802", "field 1 is repeated"),
        ("0802" + "18011802", "field 3 is repeated"),
        ("0802" + "1001", "field 2 .* wire type 0"),
        ("0802" + "1a0101", "field 3 .* wire type 2"),
        ("0802" + "2500000000", "field 4 .* wire type 5"),
        ("0802" + "0001", "field 0"),
        ("0802" + "13", "no wire type 3"),
        ("0802" + "4200", "seconds are missing"),
        ("0802" + "42051500000000", "seconds are missing"),
        ("0802" + "4207" + "0801" + "1500ca9a3b", "nanoseconds make more than one"),
        ("0802" + "4204" + "08010801", "field 1 is repeated"),
        ("0802" + "4204" + "08011001", "field 2 .* wire type 0"),
        ("0802" + "4203" + "080115", "cut off"),
        ("0802" + "420208", "cut off"),
        ("0802" + "4201" + "08", "mtime: .* cut off"),
    ],
)
def test_what_is_not_unixfs_is_refused(text, why):
    with pytest.raises(DecodeError, match=why):
        unixfs.decode(bytes.fromhex(text))


@pytest.mark.parametrize(
    "data",
    [
        Data(Type.FILE, filesize=-1),
        Data(Type.FILE, filesize=2**64),
        Data(Type.FILE, blocksizes=(-1,)),
        Data(Type.FILE, mtime=Mtime(2**63)),
        Data(Type.FILE, mtime=Mtime(-(2**63) - 1)),
        Data(Type.FILE, mtime=Mtime(0, 10**9)),
        Data(Type.FILE, mtime=Mtime(0, -1)),
    ],
)
def test_numbers_out_of_range_cannot_be_written(data):
    with pytest.raises(ValueError, match=r"64 bits|out of range"):
        unixfs.encode(data)


# --- a file node that agrees with itself


def links(*names):
    return PBNode(tuple(PBLink(LEAF, name) for name in names))


@pytest.mark.parametrize(
    ("data", "node", "size"),
    [
        (Data(Type.FILE), links(), 0),
        (Data(Type.FILE, b"abc", 3), links(), 3),
        (Data(Type.RAW, b"abc", 3), links(), 3),
        (Data(Type.FILE, None, 7, (3, 4)), links(None, ""), 7),
        (Data(Type.FILE, b"ab", 9, (3, 4)), links("", ""), 9),
    ],
)
def test_the_size_of_a_file(data, node, size):
    assert unixfs.check_file(data, node) == size


@pytest.mark.parametrize(
    ("data", "node", "why"),
    [
        (Data(Type.DIRECTORY), links(), "type DIRECTORY"),
        (Data(Type.SYMLINK, b"a"), links(), "type SYMLINK"),
        (Data(Type.FILE, None, 3, (3,)), links(), "0 links but 1 block sizes"),
        (Data(Type.FILE, None, 0), links(None), "1 links but 0 block sizes"),
        (Data(Type.FILE, None, 3, (3,)), links("x"), "link with a name"),
        (Data(Type.FILE, None, 4, (3,)), links(None), "4 bytes, but its parts add up to 3"),
        (Data(Type.FILE, b"abc"), links(), "0 bytes, but its parts add up to 3"),
        (Data(Type.FILE, None, 0, (2**63, 2**63)), links(None, None), "add up to 18446744073709551616"),
    ],
)
def test_a_file_that_contradicts_itself(data, node, why):
    with pytest.raises(InvalidDag, match=why):
        unixfs.check_file(data, node)

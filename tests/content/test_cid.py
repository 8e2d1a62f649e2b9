"""The name of bytes."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID, codes, multibase, multihash
from sessionctx.errors import InvalidCID, Unsupported
from tests.content.strategies import cids

V0 = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
V1 = "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"  # the same name
HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
SHA256_HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


# --- what is in it


def test_the_parts_of_version_1():
    cid = CID.parse(HELLO)
    assert (cid.version, cid.codec, cid.hash_code) == (1, codes.RAW, codes.SHA2_256)
    assert cid.digest.hex() == SHA256_HELLO
    assert cid.multihash.hex() == "1220" + SHA256_HELLO
    assert bytes(cid).hex() == "01551220" + SHA256_HELLO
    assert not cid.is_identity
    assert (str(cid), repr(cid)) == (HELLO, f"CID('{HELLO}')")


def test_the_parts_of_version_0():
    cid = CID.parse(V0)
    assert (cid.version, cid.codec, cid.hash_code) == (0, codes.DAG_PB, codes.SHA2_256)
    assert bytes(cid) == cid.multihash
    assert len(cid.digest) == 32
    assert (str(cid), repr(cid)) == (V0, f"CID('{V0}')")


def test_both_versions_of_one_name():
    v0, v1 = CID.parse(V0), CID.parse(V1)
    assert v0.to_v1() == v1
    assert v1.to_v0() == v0
    assert v0.to_v0() is v0
    assert v1.to_v1() is v1
    assert v0.multihash == v1.multihash
    assert v0 != v1  # a name is its bytes


def test_large_codec_and_hash_numbers():
    cid = CID.new(1, 0x300001, multihash.wrap(0x1012, b"0123"))
    assert (cid.codec, cid.hash_code, cid.digest) == (0x300001, 0x1012, b"0123")
    assert cid.multihash == multihash.wrap(0x1012, b"0123")
    assert CID.of(b"x", codec=codes.DAG_JSON).codec == codes.DAG_JSON


def test_data_is_named():
    assert str(CID.of(b"hello")) == HELLO
    assert str(CID.of(b"", codec=codes.DAG_PB, version=0)) == V0
    identity = CID.of(b"abc", hash=codes.IDENTITY)
    assert identity.is_identity
    assert identity.digest == b"abc"
    assert str(CID.of(b"", hash=codes.IDENTITY)) == "bafkqaaa"
    with pytest.raises(Unsupported, match="at most 128"):
        CID.of(bytes(129), hash=codes.IDENTITY)
    with pytest.raises(Unsupported, match="0xd5"):
        CID.of(b"", hash=0xD5)


def test_version_0_names_nothing_but_dag_pb_by_sha2_256():
    for cid in (CID.of(b""), CID.of(b"", codec=codes.DAG_PB, hash=codes.SHA2_512)):
        with pytest.raises(InvalidCID, match="version 0"):
            cid.to_v0()
    with pytest.raises(InvalidCID, match="version 0"):
        CID.of(b"", version=0)
    with pytest.raises(InvalidCID, match="version 2"):
        CID.new(2, codes.RAW, b"\x00\x00")


def test_every_base():
    cid = CID.parse(HELLO)
    for base in multibase.NAMES:
        assert CID.parse(cid.encode(base)) == cid
    assert CID.parse(V0).encode("base58btc") == V0
    with pytest.raises(InvalidCID, match=r"no base36 form; use to_v1"):
        CID.parse(V0).encode("base36")
    with pytest.raises(Unsupported, match="base99"):
        cid.encode("base99")


def test_either_case_of_base32():
    for text in (HELLO, HELLO.upper(), "b" + HELLO[1:].upper()):
        assert (CID.parse(text), str(CID.parse(text))) == (CID.parse(HELLO), HELLO)


# --- how it behaves


def test_it_can_be_a_key_and_be_sorted():
    names = [CID.of(bytes((n,))) for n in range(5)]
    again = [CID.from_bytes(memoryview(bytes(name))) for name in names]
    assert {*names, *again} == set(names)
    assert hash(names[0]) == hash(again[0])
    assert sorted(names) == sorted(names, key=bytes)
    assert min(names) <= max(names)
    assert names[0] != bytes(names[0])
    assert names[0] != str(names[0])
    with pytest.raises(TypeError):
        min([names[0], bytes(names[1])])


def test_it_cannot_be_changed():
    cid = CID.parse(HELLO)
    for name in ("version", "codec", "multihash", "digest", "anything"):
        with pytest.raises(AttributeError):
            setattr(cid, name, 1)


def test_it_is_not_made_by_calling_the_class():
    with pytest.raises(TypeError, match=r"CID\.parse"):
        CID(HELLO)


@pytest.mark.parametrize("text", [V0, V1, HELLO])
def test_it_can_be_pickled_and_copied(text):
    cid = CID.parse(text)
    for other in (pickle.loads(pickle.dumps(cid)), copy.copy(cid), copy.deepcopy(cid)):
        assert other == cid
        assert str(other) == text


# --- properties


@given(cids())
def test_every_form_leads_back(cid):
    """A CID comes back from its bytes, its text, its parts and any base."""
    assert CID.from_bytes(bytes(cid)) == cid
    assert CID.parse(str(cid)) == cid
    assert CID.new(cid.version, cid.codec, cid.multihash) == cid
    assert CID.new(1, cid.codec, multihash.wrap(cid.hash_code, cid.digest)) == cid.to_v1()
    assert CID.parse(cid.to_v1().encode("base36")) == cid.to_v1()


@given(cids(), st.binary(max_size=5), st.binary(max_size=5))
def test_it_can_be_read_from_the_middle_of_bytes(cid, before, after):
    """read() finds the end of a CID by itself, wherever it stands."""
    data = before + bytes(cid) + after
    assert CID.read(data, len(before)) == (cid, len(before) + len(bytes(cid)))
    assert CID.read(memoryview(data), len(before)) == (cid, len(before) + len(bytes(cid)))


@given(st.binary(max_size=60) | cids().flatmap(lambda cid: st.binary(max_size=4).map(lambda more: bytes(cid) + more)))
def test_any_bytes_are_a_cid_or_invalid(data):
    """from_bytes takes all of the bytes or none; no two byte strings are one CID."""
    try:
        cid = CID.from_bytes(data)
    except InvalidCID:
        return
    assert bytes(cid) == data
    assert bytes(CID.new(cid.version, cid.codec, cid.multihash)) == data


@given(cids(), st.data())
def test_no_part_of_a_cid_is_one(cid, data):
    """Cutting a CID short is always noticed."""
    raw = bytes(cid)
    with pytest.raises(InvalidCID):
        CID.from_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.text(max_size=70) | st.from_regex(r"(Qm|z|b|k|f)[0-9a-zA-Z]{0,60}", fullmatch=True))
def test_any_text_is_a_cid_or_invalid(text):
    """parse raises InvalidCID or gives a CID that has this text in some base, and whose own text is always the same."""
    try:
        cid = CID.parse(text)
    except InvalidCID as error:
        assert "is no CID" in str(error)
    else:
        assert CID.parse(str(cid)) == cid
        assert str(cid) == str(CID.from_bytes(bytes(cid)))


# --- what is none


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off"),
        (b"\x01", "cut off"),
        (b"\x00\x55\x00\x00", "no CID version 0"),
        (b"\x02\x55\x00\x00", "no CID version 2"),
        (b"\x12\x14" + bytes(20), "no CID version 18"),
        (b"\x12\x20" + bytes(31), "33 of 34"),
        (b"\x12\x20" + bytes(33), "1 bytes follow"),
        (b"\x01\x55\x12\x20" + bytes(31), "35 of 36"),
        (b"\x01\x55\x12\x20" + bytes(33), "1 bytes follow"),
        (b"\x01\x55\x12\x21" + bytes(32), "32 of 33"),
        (b"\x81\x00\x55\x12\x20" + bytes(32), "longer than it has to be"),
        (b"\x01\xd5\x00\x12\x20" + bytes(32), "longer than it has to be"),
        (b"\x01\x55\x92\x00\x20" + bytes(32), "longer than it has to be"),
        (b"\x01\x55\x12\xa0\x00" + bytes(32), "longer than it has to be"),
        (b"\x01\x55\x00\x81\x01" + bytes(129), "129 bytes is over the limit"),
        (b"\x01" + b"\xff" * 20, "longer than 9 bytes"),
    ],
)
def test_bytes_that_are_none_say_why(data, why):
    with pytest.raises(InvalidCID, match=why):
        CID.from_bytes(data)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (f" {HELLO}", "space or line break at position 1"),
        (f"{HELLO}\n", "space or line break at position 60"),
        (f"{HELLO[:20]} {HELLO[20:]}", "space or line break at position 21"),
        (f"/ipfs/{HELLO}", "a path; give the CID alone"),
        (f"ipfs://{HELLO}", "a URL; give the CID alone"),
        (f"https://gateway.example/ipfs/{HELLO}", "a URL"),
        (f"{HELLO}/readme.txt", "a path begins at position 60"),
        (f"{V0}/readme.txt", "a path begins at position 47"),
        ("/ipns/en.wikipedia-on-ipfs.org", "IPNS path"),
        ("ipns://example.org", "IPNS URL"),
        ("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", "IPNS key or peer ID"),
        ("k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel3r", "IPNS key"),
        (V0.replace("V", "0", 1), "'0' at position 13; base58 leaves out 0, O, I and l"),
        (V0.replace("V", "O", 1), "'O' at position 13"),
        (V0.replace("V", "I", 1), "'I' at position 13"),
        (V0.replace("V", "l", 1), "'l' at position 13"),
        (V0.replace("V", "-", 1), "'-' at position 13"),
        (V0[:-1], "46 characters, this one has 45"),
        (V0 + "n", "46 characters, this one has 47"),
        ("Qm" + "z" * 44, "follow the CID|no CID version|34"),
        (f"z{V0}", "without a first letter"),
        (multibase.encode("base32", bytes(CID.parse(V0))), "without a first letter"),
        (HELLO[:-1], "inside a byte"),
        (HELLO[:-2], "cut off: 35 of 36"),
        (HELLO[:30] + "1" + HELLO[31:], "'1' at position 31"),
        (HELLO + "aaaaaaaa", "5 bytes follow"),
        ("1" + HELLO, "first letter '1'"),
        ("'" + HELLO + "'", "first letter"),
        ("b", "cut off"),
        ("bafkqaaaa", "1 bytes follow"),
        ("ünïcödé", "first letter 'ü'"),
    ],
)
def test_text_that_is_none_says_why(text, why):
    with pytest.raises(InvalidCID, match=why) as caught:
        CID.parse(text)
    assert repr(text)[:30] in str(caught.value)


def test_bytes_are_no_text():
    with pytest.raises(InvalidCID, match="from text, not from bytes"):
        CID.parse(HELLO.encode())


def test_an_absurd_text_is_refused_before_work_and_shown_in_part():
    with pytest.raises(InvalidCID, match=r"\(10000000 characters\)") as caught:
        CID.parse("z" + "2" * 9_999_999)
    assert len(str(caught.value)) < 250


def test_the_longest_cid_can_be_parsed():
    cid = CID.new(1, 2**63 - 1, multihash.wrap(2**63 - 1, bytes(128)))
    for base in multibase.NAMES:
        assert CID.parse(cid.encode(base)) == cid


def test_data_may_link_to_an_ipns_key_though_nobody_can_fetch_one():
    """Reading bytes is lenient where pasting text is not: a name in somebody's data is not the reader's mistake."""
    key = CID.of(b"key", codec=codes.LIBP2P_KEY, hash=codes.IDENTITY)
    assert CID.from_bytes(bytes(key)) == key
    with pytest.raises(InvalidCID, match="names a publisher"):
        CID.parse(str(key))

"""Self-describing digests."""

from __future__ import annotations

import csv
import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import codes, multihash
from sessionctx.errors import DecodeError, MissingExtra, Unsupported
from tests.content.strategies import numbers

FIXTURE_NAMES = {"sha3": codes.SHA3_512}  # the vectors call it so


def cases(folder):
    with (folder / "test_cases.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            code = FIXTURE_NAMES.get(row["algorithm"]) or codes.code_of(row["algorithm"])
            yield code, int(row["bits"]) // 8, row["input"].encode(), bytes.fromhex(row["multihash"])


def test_the_vectors(fixtures):
    found = list(cases(fixtures("multihash")))
    assert len(found) == 260
    for code, size, data, expected in found:
        assert multihash.wrap(code, multihash.digest(code, data)[:size]) == expected
        assert multihash.split(expected) == (code, expected[2:])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (codes.SHA1, hashlib.sha1(b"abc", usedforsecurity=False).digest()),
        (codes.SHA2_256, hashlib.sha256(b"abc").digest()),
        (codes.SHA2_384, hashlib.sha384(b"abc").digest()),
        (codes.SHA2_512, hashlib.sha512(b"abc").digest()),
        (codes.SHA3_224, hashlib.sha3_224(b"abc").digest()),
        (codes.SHA3_256, hashlib.sha3_256(b"abc").digest()),
        (codes.SHA3_384, hashlib.sha3_384(b"abc").digest()),
        (codes.BLAKE2B_256, hashlib.blake2b(b"abc", digest_size=32).digest()),
        (0xB240, hashlib.blake2b(b"abc").digest()),
        (0xB201, hashlib.blake2b(b"abc", digest_size=1).digest()),
        (0xB260, hashlib.blake2s(b"abc").digest()),
        (codes.IDENTITY, b"abc"),
    ],
)
def test_each_function_is_what_its_name_says(code, expected):
    assert multihash.digest(code, b"abc") == expected
    function = multihash.hasher(code)
    function.update(b"a")
    function.update(memoryview(b"bc"))
    assert function.digest() == expected
    assert function.digest_size >= len(expected)


def test_blake3():
    pytest.importorskip("blake3")
    known = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert multihash.digest(codes.BLAKE3, b"").hex() == known


def test_blake3_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "blake3", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sessionctx\[blake3\]'"):
        multihash.digest(codes.BLAKE3, b"")


@pytest.mark.parametrize("code", [0xD5, 0x22, 0xB200, 0xB261, 2**62])  # md5, murmur3, and what is nothing
def test_a_function_that_is_not_known_is_unsupported(code):
    with pytest.raises(Unsupported, match=hex(code)):
        multihash.hasher(code)


def test_every_function_with_a_name_can_be_used():
    pytest.importorskip("blake3")
    for code in [*codes.BLAKE2B, *codes.BLAKE2S, codes.SHA2_384, codes.BLAKE3, codes.IDENTITY]:
        assert multihash.digest(code, b"x")
        assert not codes.hash_name(code).startswith("0x")


@given(numbers, st.binary(max_size=multihash.MAX_DIGEST))
def test_what_is_wrapped_can_be_split(code, digest):
    """Function and digest come back, whatever they are."""
    assert multihash.split(multihash.wrap(code, digest)) == (code, digest)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_multihash_or_an_error_of_ours(data):
    """Whatever splits is what wrap would have made."""
    try:
        code, digest = multihash.split(data)
    except DecodeError:
        return
    assert multihash.wrap(code, digest) == data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off"),
        (b"\x12", "cut off"),
        (b"\x12\x20" + bytes(31), "cut off: 31 of 32"),
        (b"\x12\x20" + bytes(33), "1 bytes follow"),
        (b"\x12\x81\x01" + bytes(129), "129 bytes is over the limit of 128"),
        (b"\x12\xff\xff\xff\xff\x0f", "over the limit"),
        (b"\x92\x00\x20" + bytes(32), "longer than it has to be"),
    ],
)
def test_what_is_no_multihash_says_why(data, why):
    with pytest.raises(DecodeError, match=why):
        multihash.split(data)


def test_a_digest_that_is_too_long_cannot_be_wrapped():
    with pytest.raises(Unsupported, match="at most 128 bytes of identity, not 129"):
        multihash.wrap(codes.IDENTITY, bytes(129))

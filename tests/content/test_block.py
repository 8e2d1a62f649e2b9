"""Blocks, and the check that bytes match their name."""

from __future__ import annotations

import copy
import csv
import pickle
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import (
    CID,
    DAG_CBOR,
    DAG_PB,
    IDENTITY,
    LIBP2P_KEY,
    MAX_BLOCK,
    Block,
    PBLink,
    PBNode,
    Verifier,
    codes,
    dagcbor,
    dagpb,
    links,
    multihash,
    verify,
)
from sessionctx.errors import BlockTooLarge, DecodeError, HashMismatch, InvalidCID, Unsupported
from tests.content.strategies import hash_codes

HELLO = CID.of(b"hello")


def named(digest, code=codes.SHA2_256, codec=codes.RAW):
    return CID.new(1, codec, multihash.wrap(code, digest))


# --- verify


@given(st.binary(max_size=200), hash_codes | st.just(IDENTITY), st.data())
def test_bytes_match_their_name_and_nothing_else_does(data, code, draw):
    """Whole or in any pieces, the right bytes pass, and bytes with any change do not."""
    data = data[:128]
    cid = CID.of(data, hash=code)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=4)))
    verify(cid, data)
    verifier = Verifier(cid)
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        verifier.update(memoryview(data)[start:end])
    verifier.finish()

    wrong = draw.draw(st.binary(max_size=200).filter(lambda other: other != data))
    with pytest.raises(HashMismatch):
        verify(cid, wrong)
    verifier = Verifier(cid)
    verifier.update(wrong)
    with pytest.raises(HashMismatch):
        verifier.finish()


def test_one_changed_bit_is_noticed():
    data = bytes(1000)
    for bit in (0, 4000, 7999):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(
            HashMismatch, match=r"1000 bytes are not what bafk\w+ names: their sha2-256 is [0-9a-f]{64}"
        ):
            verify(CID.of(data), bytes(wrong))


def test_the_vectors(fixtures):
    with (fixtures("multihash") / "test_cases.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            cid = CID.from_bytes(b"\x01\x55" + bytes.fromhex(row["multihash"]))
            if int(row["bits"]) >= 160:
                verify(cid, row["input"].encode())
                with pytest.raises(HashMismatch):
                    verify(cid, row["input"].encode() + b"x")
            else:
                with pytest.raises(Unsupported, match="10 bytes; under 20"):
                    verify(cid, row["input"].encode())


def test_a_digest_of_20_bytes_is_trusted_and_one_of_19_is_not():
    digest = sha256(b"hello").digest()
    verify(named(digest[:20]), b"hello")
    with pytest.raises(HashMismatch):
        verify(named(digest[:20]), b"hellp")
    for size in (0, 1, 19):
        with pytest.raises(Unsupported, match="could forge"):
            verify(named(digest[:size]), b"hello")
        with pytest.raises(Unsupported, match="could forge"):
            Block(named(digest[:size]), b"hello")
    with pytest.raises(Unsupported, match="could forge"):
        Block.of(b"hello", hash=codes.code_of("blake2b-152"))
    assert Block.of(b"hello", hash=codes.code_of("blake2b-160"))


def test_a_digest_that_its_function_never_makes_blames_nobody():
    with pytest.raises(Unsupported, match="33 bytes of sha2-256, which makes no more than 32"):
        verify(named(sha256(b"hello").digest() + b"\0"), b"hello")


def test_identity_holds_any_small_data_however_short():
    for data in (b"", b"a", bytes(128)):
        verify(CID.of(data, hash=IDENTITY), data)
    for wrong in (b"", b"ab", bytes(1000)):
        with pytest.raises(HashMismatch):
            verify(CID.of(b"a", hash=IDENTITY), wrong)


def test_an_unknown_function_is_unsupported():
    with pytest.raises(Unsupported, match="0xd5"):
        verify(named(bytes(32), 0xD5), b"")
    with pytest.raises(Unsupported, match="0xd5"):
        Verifier(named(bytes(32), 0xD5))


def test_blake3():
    pytest.importorskip("blake3")
    block = Block.of(b"hello", hash=codes.BLAKE3)
    verify(block.cid, memoryview(b"hello"))
    with pytest.raises(HashMismatch, match="blake3"):
        verify(block.cid, b"hellp")


def test_a_block_may_have_2_mib_and_not_a_byte_more():
    data = bytes(MAX_BLOCK)
    assert Block.of(data).cid == Block(CID.of(data), data).cid
    more = bytes(MAX_BLOCK + 1)
    for attempt in (lambda: verify(CID.of(more), more), lambda: Block.of(more), lambda: Block(HELLO, more)):
        with pytest.raises(BlockTooLarge):
            attempt()


def test_a_verifier_stops_at_2_mib_without_waiting_for_the_end():
    verifier = Verifier(HELLO)
    verifier.update(bytes(MAX_BLOCK))
    with pytest.raises(BlockTooLarge, match="blocks are not larger"):
        verifier.update(b"x")


# --- blocks


def test_a_block_is_its_name_and_bytes():
    block = Block.of(b"hello")
    assert (block.cid, block.data, len(block)) == (HELLO, b"hello", 5)
    assert block == Block(HELLO, b"hello") == Block.vouched(HELLO, b"hello")
    assert hash(block) == hash(Block(HELLO, b"hello"))
    assert block != Block.of(b"hellp")
    assert block != Block.of(b"hello", codec=DAG_PB)
    assert block != b"hello"
    assert repr(block) == f"Block('{HELLO}', 5 bytes)"
    with pytest.raises(HashMismatch):
        Block(HELLO, b"hellp")


def test_a_block_takes_functions_versions_and_codecs():
    block = Block.of(b"", codec=DAG_PB, version=0)
    assert str(block.cid).startswith("Qm")
    assert Block.of(b"x", hash=codes.BLAKE2B_256).cid.hash_code == codes.BLAKE2B_256
    with pytest.raises(InvalidCID):
        Block.of(b"", version=0)


def test_a_block_cannot_be_changed():
    buffer = bytearray(b"hello")
    block = Block(HELLO, buffer)
    buffer[0] = 0
    assert block.data == b"hello"
    with pytest.raises(AttributeError, match="cannot be changed"):
        block.data = b"hellp"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del block.cid


def test_a_block_can_be_copied_and_is_verified_when_unpickled():
    block = Block.of(b"hello")
    assert copy.deepcopy(block) == pickle.loads(pickle.dumps(block)) == block
    with pytest.raises(HashMismatch):
        pickle.loads(pickle.dumps(block).replace(b"hello", b"hellp"))


# --- links


def test_links_by_codec():
    node = dagpb.encode(PBNode((PBLink(HELLO, "a"), PBLink(HELLO, "b"))))
    value = dagcbor.encode({"a": [HELLO], "b": 1})
    assert Block.of(b"anything").links() == []
    assert Block.of(node, codec=DAG_PB).links() == links(DAG_PB, node) == [HELLO, HELLO]
    assert Block.of(value, codec=DAG_CBOR).links() == links(DAG_CBOR, value) == [HELLO]


def test_links_of_bytes_that_break_their_codec():
    for codec in (DAG_PB, DAG_CBOR):
        with pytest.raises(DecodeError):
            Block.of(b"\xff", codec=codec).links()


def test_links_of_an_unknown_codec():
    with pytest.raises(Unsupported, match="git-raw"):
        links(0x78, b"{}")
    with pytest.raises(Unsupported, match=r"libp2p-key .* publisher"):
        links(LIBP2P_KEY, b"")

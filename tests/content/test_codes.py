"""Numbers and their names."""

from __future__ import annotations

import pytest

from sessionctx.content import code_name, code_of, codes, hash_name


def test_names_and_numbers_belong_together():
    assert code_name(codes.DAG_PB) == "dag-pb"
    assert hash_name(codes.SHA2_256) == "sha2-256"
    assert hash_name(0xB220) == "blake2b-256"
    assert hash_name(0xB260) == "blake2s-256"
    for name in ("raw", "dag-pb", "dag-cbor", "dag-json", "libp2p-key"):
        assert code_name(code_of(name)) == name
    for name in ("identity", "sha1", "sha2-256", "sha2-512", "blake3", "blake2b-512"):
        assert hash_name(code_of(name)) == name


def test_what_has_no_name_is_shown_as_a_number():
    assert code_name(0x300000) == "0x300000"
    assert hash_name(0xD5) == "0xd5"
    with pytest.raises(KeyError, match="no-such-codec"):
        code_of("no-such-codec")

"""Every parser of this floor against what others wrote, damaged: it reads it, or says what is wrong, and does no more.

Whatever is read strictly is what our own encoder writes, so nothing has two forms.
"""

from __future__ import annotations

import contextlib
import random
from functools import cache
from pathlib import Path
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionctx.content import (
    CBOR,
    CID,
    DAG_CBOR,
    DAG_JSON,
    DAG_PB,
    JSON,
    CarDecoder,
    car,
    carindex,
    carv2,
    codes,
    decode,
    encode,
    links,
    multibase,
    multihash,
    unixfs,
    varint,
)
from sessionctx.errors import CarError, ContentError, DecodeError, InvalidCID, Unsupported

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "fixtures"
MOST = 20_000
"""Bytes of a vector that are damaged; longer ones are cut, which is damage, too."""


@cache
def corpus(pattern):
    """The files of a kind, made by others; a few small ones of ours, where these are absent."""
    found = [path.read_bytes()[:MOST] for path in sorted(VECTORS.glob(pattern)) if path.is_file()]
    return tuple(found) or (b"", b"\xa1aa\x01", b'{"a":[1,{"/":{"bytes":"AQ"}}]}', b"\x0a\x02\x08\x01")


def mutate(data, other, seed):
    """Damage bytes in some of the ways in which bytes get damaged."""
    dice = random.Random(seed)
    data = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(data))
        length = dice.choice((1, 2, 4, 8, 64))
        match dice.randint(0, 6):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << dice.randint(0, 7)
            case 1 if data:
                data[min(at, len(data) - 1)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at:at] = dice.randbytes(length)
            case 5:
                data[at : at + length] = other[at : at + length]
            case _:
                del data[at:]
    return bytes(data)


def damaged(pattern):
    files = st.sampled_from(corpus(pattern))
    return st.builds(mutate, files, files, st.integers(0, 2**32))


relaxed = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
CODECS = {
    DAG_CBOR: "codec-fixtures/fixtures/*/*.dag-cbor",
    DAG_JSON: "codec-fixtures/fixtures/*/*.dag-json",
    DAG_PB: "codec-fixtures/fixtures/*/*.dag-pb",
}


@pytest.mark.parametrize("codec", CODECS)
@relaxed
@given(draw=st.data())
def test_blocks(codec, draw):
    data = draw.draw(damaged(CODECS[codec]))
    began = process_time()
    try:
        value = decode(codec, data)
    except ContentError:
        with pytest.raises(ContentError):
            decode(codec, data, strict=True)
        with pytest.raises(ContentError):
            links(codec, data)
    else:
        found = links(codec, data)
        assert all(isinstance(cid, CID) for cid in found)
        try:
            strict = decode(codec, data, strict=True)
        except DecodeError:
            pass
        else:
            assert codec == DAG_PB or encode(codec, strict) == data
        try:
            again = encode(codec, value)
        except ValueError:  # a float that is no number, or a map that nearly is a link
            pass
        else:
            assert sorted(links(codec, again), key=bytes) == sorted(found, key=bytes)
    assert process_time() - began < 1


@pytest.mark.parametrize(("codec", "pattern"), [(CBOR, CODECS[DAG_CBOR]), (JSON, CODECS[DAG_JSON])])
@relaxed
@given(draw=st.data())
def test_plain_blocks(codec, pattern, draw):
    data = draw.draw(damaged(pattern))
    assert links(codec, data) == []
    with contextlib.suppress(ContentError):
        decode(codec, data)


@relaxed
@given(damaged("codec-fixtures/fixtures/*/*.dag-pb") | damaged("go-car/cmd/car/testdata/inputs/simple-unixfs.car"))
def test_unixfs(data):
    for start in (0, 1, 40):
        try:
            found = unixfs.decode(data[start:])
        except ContentError:
            continue
        assert unixfs.decode(unixfs.encode(found)) == found


@relaxed
@given(
    damaged("go-car/**/*.car") | damaged("ipld-specs/**/*.car") | damaged("codec-fixtures/*.car"),
    st.sampled_from([1, 7, 100, 10**6]),
)
def test_cars(data, size):
    def read(step):
        decoder, found = CarDecoder(), []
        try:
            for at in range(0, len(data), step):
                found += decoder.feed(data[at : at + step])
            decoder.finish()
        except CarError:
            return found, False
        return found, True

    found, whole = read(size)
    assert (found, whole) == read(10**9)
    assert sum(len(block) for _, block in found) <= len(data)
    if whole and not data.startswith(carv2.PRAGMA):
        rest = b"".join(car.encode_section(*section) for section in found)
        assert data.endswith(rest)


@relaxed
@given(damaged("go-car/**/*.carindex"))
def test_indexes(data):
    try:
        index = carindex.Index(data)
    except CarError:
        return
    assert len(index) * 8 <= len(data)
    for code, size in ((codes.SHA2_256, 32), (codes.SHA1, 20), (codes.BLAKE2B_256, 32)):
        assert len(list(index.find(multihash.wrap(code, bytes(size))))) <= len(index)


@relaxed
@given(st.binary(max_size=60) | damaged("codec-fixtures/fixtures/cid-*/*.dag-cbor"))
def test_names(data):
    for read in (CID.from_bytes, varint.decode, multihash.split):
        try:
            found = read(data)
        except (InvalidCID, DecodeError):
            continue
        if isinstance(found, CID):
            assert bytes(found) == data
            assert CID.parse(str(found)) == found
    text = data.decode("latin-1")
    with contextlib.suppress(InvalidCID):
        assert CID.parse(text)
    with contextlib.suppress(ContentError, Unsupported):
        assert isinstance(multibase.decode(text), bytes | tuple)

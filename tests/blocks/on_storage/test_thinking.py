"""The pure parts: rows, forms, names, packs, states, and which parts are read together."""

from __future__ import annotations

import hashlib
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.blocks.on_storage import forms, names
from sessionctx.blocks.on_storage.batch import Batch
from sessionctx.blocks.on_storage.packs import pack
from sessionctx.blocks.on_storage.reads import GAP, MOST, Part, spans
from sessionctx.blocks.on_storage.rows import (
    KEY,
    ROW,
    Place,
    Run,
    find,
    key_of,
    newest,
    place_in,
    recent,
    row_of,
)
from sessionctx.blocks.on_storage.state import State
from sessionctx.blocks.on_storage.state import merged as merged_runs
from sessionctx.content import BLAKE2B_256, CID, DAG_CBOR, SHA2_512, Block, CarDecoder, carindex, carv2, multihash
from sessionctx.errors import StoreCorrupt

KEYS = st.sampled_from([bytes([n]) * KEY for n in range(5)] + [bytes(31) + bytes([n]) for n in range(5)])
PLACES = st.one_of(st.none(), st.builds(Place, st.integers(1, 2**64 - 1), st.integers(0, 99), st.integers(0, 99)))
RUNS = st.lists(st.dictionaries(KEYS, PLACES, max_size=8), max_size=9)


def rows_of(places):
    return b"".join(sorted(row_of(key, place) for key, place in places.items()))


def tidy(state):
    while (due := state.due()) is not None:
        state.runs[-2:] = [merged_runs(*due)]


# --- rows


@given(runs=RUNS)
def test_the_newest_row_of_each_key_counts(runs):
    """However changes are cut into runs and merged, it is as if they had been made to a dict."""
    model = {}
    state = State()
    for run in runs:
        model |= run
        state.apply(rows_of(run))
        tidy(state)
    merged = b"".join(newest(map(rows_of, runs)))
    assert merged == rows_of(model)
    for key in {*model, b"\x07" * KEY}:
        row = find(merged, key)
        assert row == recent(state.runs, [key]).get(key)
        assert (place_in(row) if row else None) == model.get(key)
    assert state.seq == len(runs)


def test_runs_of_like_size_are_merged_so_that_they_are_few():
    state = State()
    for n in range(1000):
        state.apply(row_of(hashlib.sha256(bytes([n % 256, n // 256])).digest(), Place(1, 1, 1)))
        tidy(state)
    assert state.held == 1000 * ROW
    assert len(state.runs) <= 10


def test_runs_are_merged_up_to_a_size():
    with mock.patch("sessionctx.blocks.on_storage.state.RUN_ROWS", 4):
        state = State()
        for n in range(20):
            state.apply(row_of(bytes([n]) * KEY, Place(1, 1, 1)))
            tidy(state)
        assert {len(run) for run in state.runs} == {4}


@given(keys=st.sets(st.binary(min_size=10, max_size=10), max_size=200), other=st.binary(min_size=10, max_size=10))
def test_a_run_finds_the_keys_that_it_has_and_no_others(keys, other):
    """However many keys begin alike, around the fences and elsewhere, each is found, at its own row."""
    full = {key[:1] * 6 + key[1:] + bytes(17): Place(n + 1, 2, 3) for n, key in enumerate(sorted(keys))}
    run = Run(rows_of(full))
    for key, place in full.items():
        assert place_in(run.find(key)) == place
    absent = other[:1] * 6 + other[1:] + bytes(17)
    assert (run.find(absent) is None) == (absent not in full)


def test_a_key_is_not_found_across_two_rows():
    """The bytes of a key may stand where no row begins."""
    first, second = bytes(32), bytes(20) + b"\x01" * 12
    run = Run(rows_of({first: Place(1, 1, 1), second: Place(2, 2, 2)}))
    astray = run.rows[24 : 24 + KEY]
    assert run.find(astray) is None
    assert place_in(run.find(second)) == Place(2, 2, 2)


def test_a_key_is_the_digest_or_a_hash_of_the_name_that_nobody_can_aim_at():
    data = b"some bytes"
    digest = hashlib.sha256(data).digest()
    assert key_of(CID.of(data).multihash) == digest
    others = [
        CID.of(data, hash=SHA2_512).multihash,
        CID.of(data, hash=BLAKE2B_256).multihash,
        multihash.wrap(0x12, digest[:20]),  # cut off
        multihash.wrap(0x1B, digest),  # another function, the same digest
    ]
    keys = [key_of(name) for name in others]
    assert {len(key) for key in keys} == {KEY}
    assert len({digest, *keys}) == len(others) + 1
    assert keys[0] == hashlib.blake2b(others[0], digest_size=32).digest()


# --- forms


@given(places=st.dictionaries(KEYS, PLACES), at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_an_entry_is_read_as_it_was_written_and_no_damage_goes_unseen(places, at, flip):
    """An entry survives being an object; with any byte another, or cut off, it is refused."""
    entry = forms.Entry(bytes(range(16)), rows_of(places))
    data = forms.encode_entry(entry)
    assert forms.decode_entry(data) == entry
    at %= len(data)
    with pytest.raises(StoreCorrupt):
        forms.decode_entry(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
    with pytest.raises(StoreCorrupt):
        forms.decode_entry(data[:at])


def sealed(body):
    return body + hashlib.sha256(body).digest()


def test_what_is_whole_and_no_entry_is_refused():
    with pytest.raises(StoreCorrupt, match="no entry"):
        forms.decode_entry(sealed(b"sctxlog\x01" + bytes(16) + bytes(ROW - 1)))
    with pytest.raises(StoreCorrupt, match="no entry"):
        forms.decode_entry(sealed(b"sctxbas\x01" + bytes(16)))
    with pytest.raises(StoreCorrupt, match="no entry"):
        forms.decode_entry(sealed(b"sctxlog\x01" + bytes(16) + bytes(ROW) * (forms.MAX_ROWS + 1)))


def test_an_entry_of_the_most_rows_is_written_in_one_request():
    data = forms.encode_entry(forms.Entry(bytes(16), bytes(ROW) * forms.MAX_ROWS))
    assert len(data) == forms.MAX_ENTRY < 4 * 2**20
    assert len(forms.decode_entry(data).rows) == forms.MAX_ROWS * ROW


@given(keys=st.lists(st.binary(min_size=9, max_size=9), unique=True, max_size=40))
def test_a_row_is_on_one_of_the_pages_where_it_is_looked_for(keys):
    """Whichever keys there are, many of them with the same beginning, each is found by way of the fences."""
    full = sorted(key[:1] * 7 + key[1:2] + key[2:].ljust(24, b"\0") for key in keys)
    full = sorted(set(full))
    with mock.patch.multiple(forms, PAGE_ROWS=3, PAGE=3 * ROW, SHARD_PAGES=2):
        rows = b"".join(row_of(key, Place(1, 1, 1)) for key in full)
        pages = [rows[at : at + forms.PAGE] for at in range(0, len(rows), forms.PAGE)]
        shards = list(range(7, 7 + -(-len(pages) // 2)))
        checks = b"".join(map(forms.check_of, pages))
        base = forms.decode_base(
            forms.encode_base(forms.Base(5, len(full), shards, [*map(forms.fence_of, pages)], checks))
        )
        assert (base.seq, base.rows, [*base.shards]) == (5, len(full), shards)
        for n, key in enumerate(full):
            assert n // 3 in base.pages(key)
        for number, page in enumerate(pages):
            assert base.part(number) == (shards[number // 2], number % 2 * forms.PAGE, len(page))
            assert base.is_page(number, page)
            assert not base.is_page(number, page[:-1])
        assert [*base.pages(b"\xff" * 32)][:1] == ([len(pages) - 1] if pages else [])


def test_a_base_of_other_lengths_than_it_says_is_refused():
    good = forms.encode_base(forms.Base(1, 1, [2], [3], bytes(8)))
    assert forms.decode_base(good).rows == 1
    for body in (good[:-40], b"sctxbas\x01" + bytes(8) + b"\xff" * 8, b"sctxlog\x01" + good[8:-32]):
        with pytest.raises(StoreCorrupt, match="no base"):
            forms.decode_base(sealed(body))
    with pytest.raises(StoreCorrupt, match="checksum"):
        forms.decode_base(b"")


def test_what_names_a_base():
    data = forms.encode_pointer(2**63)
    assert len(data) == forms.MAX_POINTER
    assert forms.decode_pointer(data) == 2**63
    for bad in (data[:-1], sealed(b"sctxptr\x01" + bytes(9)), sealed(b"sctxlog\x01" + bytes(8))):
        with pytest.raises(StoreCorrupt):
            forms.decode_pointer(bad)


# --- names


def test_names_spread_and_tell_their_number():
    cid = CID.of(b"a block")
    path = names.holder(cid.multihash, Place(0xABCDEF, 0, 7))
    text = cid.multihash.hex()
    assert text
    assert path.startswith(f"blocks/{path.split('.')[0][-3:-1]}/")
    assert names.holder(cid.multihash, Place(0xABCDEF, 99, 7)) == names.pack(0xABCDEF)
    assert [names.number_of(p) for p in (path, names.pack(0xABCDEF), names.rows(0xABCDEF))] == [0xABCDEF] * 3
    assert names.pack(0xABCDEF) == "packs/ef/0000000000abcdef.car"
    assert names.seq_of(names.log(12)) == names.seq_of(names.base(12)) == 12
    assert names.log(9) < names.log(10)


@pytest.mark.parametrize(
    "path", ["readme", "packs/notes.txt", "blocks/ab/0123", "log/12", "log/0000000000012x", "clock"]
)
def test_names_of_others_have_no_number(path):
    assert names.number_of(path) is None
    assert names.seq_of(path) is None


# --- packs


@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=12))
def test_a_pack_is_a_car_with_an_index_and_its_places_are_right(sizes):
    """Any tool for CARs reads a pack; its own index finds each block; and each place is the bytes of the block."""
    blocks = [Block.of(bytes([n]) * size, codec=DAG_CBOR if n % 2 else 0x55) for n, size in enumerate(sizes)]
    packed = pack(blocks, 77)
    decoder = CarDecoder()
    assert decoder.feed(packed.data) == [(block.cid, block.data) for block in blocks]
    decoder.finish()
    header = carv2.decode_header(packed.data[len(carv2.PRAGMA) : carv2.BEGINNING])
    index = carindex.Index(packed.data[header.index_offset :])
    assert len(index) == len(blocks)
    for block in blocks:
        place = packed.places[key_of(block.cid.multihash)]
        assert place.object == 77
        assert place.offset
        assert packed.data[place.offset : place.offset + place.length] == block.data
        assert [*index.find(block.cid.multihash)]


# --- batches


def test_a_batch_is_what_was_done_last():
    one, other = Block.of(b"one"), Block.of(b"another")
    batch = Batch()
    batch.put(one)
    batch.put(other)
    batch.put(one)
    assert batch.size == 10
    batch.delete(other.cid)
    assert batch.size == 3
    here, there = Place(1, 2, 3), Place(4, 5, 6)
    keys = [key_of(block.cid.multihash) for block in (one, other)]
    assert batch.changes({}) == ({keys[0]: one}, [])
    assert batch.changes(dict.fromkeys(keys, here)) == ({}, [keys[1]])
    moving = Batch()
    moving.put(one, instead=here)
    assert moving.changes({keys[0]: here}) == ({keys[0]: one}, [])
    assert moving.changes({keys[0]: there}) == moving.changes({}) == ({}, [])


# --- which parts are read together


@given(
    parts=st.lists(st.tuples(st.integers(0, 3 * MOST), st.integers(0, 2 * 2**20)), max_size=30).map(
        lambda parts: [Part(offset, length) for offset, length in parts]
    )
)
def test_parts_are_read_together_where_they_are_near(parts):
    """Each is in one request; requests are bounded, and read no more between two parts than the gap."""
    groups = spans(parts)
    assert sorted(map(id, parts)) == sorted(id(part) for group in groups for part in group)
    for group in groups:
        begin, end = group[0].offset, max(part.end for part in group)
        assert len(group) == 1 or end - begin <= MOST
        covered = begin
        for part in group:
            assert part.offset <= covered + GAP
            covered = max(covered, part.end)


def test_neighbours_are_one_request():
    parts = [Part(n * 1000, 1000) for n in range(100)]
    assert spans(reversed(parts)) == [parts]
    assert len(spans([Part(0, 10), Part(11 + GAP, 10)])) == 2

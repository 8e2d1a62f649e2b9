"""Compressed bodies come back, however they were framed and cut; bombs and broken ones do no harm."""

from __future__ import annotations

import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import DecodeError
from sessionctx.objects.zstd import Compressor, Expander, compressed, expanded

BODIES = st.binary(max_size=2000) | st.builds(
    lambda piece, n: piece * n, st.binary(max_size=20), st.integers(0, 20_000)
)


def expand(pieces):
    expander = Expander()
    out = b"".join(part for piece in pieces for part in expander.feed(piece))
    expander.close()
    return out


@given(bodies=st.lists(BODIES, max_size=4), sized=st.booleans(), data=st.data())
def test_M5_frames_come_back_with_and_without_sizes_and_several_in_a_row(bodies, sized, data):
    made = zstandard.ZstdCompressor(write_content_size=sized)
    packed = b"".join(made.compress(body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=6)))
    pieces = [packed[a:b] for a, b in zip([0, *cuts], [*cuts, len(packed)], strict=True)]
    assert expand(pieces) == b"".join(bodies)


@given(pieces=st.lists(BODIES, max_size=5))
def test_a_stream_is_compressed_as_it_passes(pieces):
    compressor = Compressor()
    packed = b"".join([*map(compressor.feed, pieces), compressor.finish()])
    assert expanded(packed, 10**7) == b"".join(pieces)


@given(body=BODIES.filter(bool), data=st.data())
def test_what_is_cut_is_noticed(body, data):
    packed = compressed(body)
    with pytest.raises(DecodeError):
        expand([packed[: data.draw(st.integers(1, len(packed) - 1))]])


@pytest.mark.parametrize("data", [b"plain text", b"\x28\xb5\x2f\xfd" + b"\xff" * 40, compressed(b"x" * 100) + b"rest"])
def test_what_is_not_zstd_is_refused(data):
    with pytest.raises(DecodeError):
        expand([data])


def test_a_bomb_stops_where_it_is_told_and_memory_stays_bounded():
    bomb = compressed(bytes(1 << 30))
    assert len(bomb) < 50_000
    tracemalloc.start()
    with pytest.raises(DecodeError, match="expands to more than"):
        expanded(bomb, 1 << 20)
    total = 0
    for piece in Expander().feed(bomb):
        total += len(piece)
        del piece
        if total > 1 << 28:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 << 20


def test_a_frame_that_wants_too_much_memory_is_refused():
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    )
    stream = wide.compressobj()
    packed = stream.compress(b"x" * 1000) + stream.flush()
    with pytest.raises(DecodeError):
        expand([packed])

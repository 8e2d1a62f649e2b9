"""Bodies of many parts: what was written is read, however it is cut on the way; what is broken is noticed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import DecodeError, InvalidObject
from sessionctx.objects.multipart import Data, Decoder, Encoder, End, Head, boundary_of, gathered

HEADERS = st.lists(
    st.tuples(st.sampled_from(["x-a", "x-b", "content-type"]), st.text("abc;=/%", max_size=8)), max_size=4
)
NEAR = st.sampled_from(
    [b"", b"\r\n", b"--", b"\r\n--", b"\r\n--B", b"\r\n--BOUND", b"--BOUND--", b"\r", b"\n--BOUND\r\n", b"x"]
)
BODIES = st.lists(NEAR, max_size=8).map(b"".join).filter(lambda body: b"\r\n--BOUND" not in b"\r\n" + body) | st.binary(
    max_size=50
)
PARTS = st.lists(st.tuples(HEADERS, BODIES), max_size=6)
ENCODER = Encoder("BOUNDARY")


def written(parts, encoder=ENCODER):
    pieces = []
    for n, (headers, body) in enumerate(parts):
        pieces += [encoder.head(headers, first=n == 0), body]
    return b"".join([*pieces, encoder.tail(empty=not parts)])


def read(pieces, boundary="BOUNDARY", **limits):
    """Return the parts that came whole, and the bytes of one that did not."""
    decoder, parts, begun = Decoder(boundary, **limits), [], None
    for piece in pieces:
        for event in decoder.feed(piece):
            match event:
                case Head(headers=headers):
                    begun = [headers, b""]
                case Data(data=data):
                    begun[1] += data
                case End():
                    parts.append((list(begun[0]), begun[1]))
                    begun = None
    decoder.close()
    return parts


def plain(parts):
    return [(list(headers), body) for headers, body in parts]


@given(parts=PARTS, data=st.data())
def test_what_was_written_is_read_however_it_is_cut(parts, data):
    body = written(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert read(pieces) == plain(parts)


@given(parts=PARTS)
def test_what_was_written_is_read_byte_by_byte(parts):
    body = written(parts)
    assert read([body[n : n + 1] for n in range(len(body))]) == plain(parts)


@given(parts=PARTS.filter(bool), data=st.data())
def test_N11_a_body_that_is_cut_anywhere_is_noticed(parts, data):
    body = written(parts)
    whole = len(body) - len("\r\n")  # the line break behind the last delimiter may be missing
    with pytest.raises(DecodeError):
        read([body[: data.draw(st.integers(0, whole - 1))]])


def test_M18_the_length_is_known_beforehand():
    parts = [([("x-a", "1")], b"one"), ([], b""), ([("x-b", "2")], b"x" * 1000)]
    heads = [ENCODER.head(headers, first=n == 0) for n, (headers, _) in enumerate(parts)]
    assert ENCODER.length(heads, [len(body) for _, body in parts]) == len(written(parts))
    assert ENCODER.length([], []) == len(written([]))


@pytest.mark.parametrize(
    "header",
    [("x", "a\r\nb: c"), ("x", "a\nb"), ("x", "a\0"), ("x\r\n", "a"), ("x y", "a"), ("", "a"), ("x", "é"), ("x", " a")],
)
def test_M7_control_characters_are_refused_and_never_rewritten(header):
    with pytest.raises(InvalidObject):
        ENCODER.head([header], first=True)


def test_a_boundary_is_new_each_time_and_can_be_read_back():
    one, other = Encoder(), Encoder()
    assert one.boundary != other.boundary
    assert len(one.boundary) <= 70
    assert boundary_of(one.content_type) == one.boundary


@pytest.mark.parametrize(
    "text",
    [
        "text/plain",
        "multipart/form-data",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
        'multipart/form-data; boundary=a\\"b',
        "",
    ],
)
def test_what_names_no_boundary_is_refused(text):
    with pytest.raises(InvalidObject):
        boundary_of(text)


def test_N10_a_delimiter_counts_at_the_beginning_of_a_line_only():
    inner = b"some --BOUNDARY-- and --BOUNDARY\r\nin the middle"
    assert read([written([([], inner)])]) == plain([([], inner)])


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        b"--BOUNDARYx\r\n\r\n",
        b"--BOUNDARY\nx: y\n\n--BOUNDARY--",
        b"--BOUNDARY\r\nno colon\r\n\r\n\r\n--BOUNDARY--",
        b"--BOUNDARY\r\nx: " + b"y" * 20_000,
    ],
)
def test_hostile_framing_is_an_error(body):
    with pytest.raises(DecodeError):
        read([body])


def test_too_many_parts_and_headers_are_an_error():
    assert len(read([written([([], b"")] * 5)], max_parts=5)) == 5
    with pytest.raises(DecodeError):
        read([written([([], b"")] * 6)], max_parts=5)
    with pytest.raises(DecodeError):
        read([written([([("x-a", "1")] * 200, b"")])])


def test_N13_after_a_fault_there_is_nothing_more():
    decoder = Decoder("BOUNDARY")
    with pytest.raises(DecodeError):
        list(decoder.feed(b"--BOUNDARY\nx"))
    with pytest.raises(DecodeError):
        list(decoder.feed(written([([], b"x")])))


def test_N1_reading_is_linear():
    """A part of 32 MiB is read at the pace of one of 2 MiB; a rescan would take sixteen times as long for each byte."""

    def pace(size):
        body = written([([], bytes(size))])
        pieces = [body[n : n + 65536] for n in range(0, len(body), 65536)]
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            read_count(pieces)
            best = min(best, time.process_time() - began)
        return size / best

    def read_count(pieces):
        decoder = Decoder("BOUNDARY")
        return sum(len(event.data) for piece in pieces for event in decoder.feed(piece) if isinstance(event, Data))

    assert pace(32 * 1024 * 1024) > pace(2 * 1024 * 1024) / 4


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 64))
def test_N8_small_writes_are_gathered_and_nothing_is_lost(pieces, size):
    joined = list(gathered(pieces, size))
    assert b"".join(joined) == b"".join(pieces)
    assert all(len(piece) >= size for piece in joined[:-1])

"""Packets in and out: what is said is understood, what is garbage is refused, and nothing reads beyond its end."""

from __future__ import annotations

import itertools
import stat
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.storage.sftp import calls, replies
from sessionctx.storage.sftp.frames import MOST, Frames
from sessionctx.storage.sftp.replies import Attributes, BadPacket, Data, Extended, Handle, Names, Status, parse

blobs = st.binary(max_size=40)
u32s = st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def reply(kind: int, number: int, body: bytes) -> memoryview:
    return memoryview(struct.pack(">BI", kind, number) + body)


# --- frames


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.data())
def test_packets_come_out_as_they_went_in_however_the_stream_is_cut(packets, data):
    stream = b"".join(string(packet) for packet in packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    frames = Frames()
    found = []
    for begin, end in itertools.pairwise([0, *cuts, len(stream)]):
        found += [bytes(packet) for packet in frames.feed(stream[begin:end])]
    assert found == packets


@pytest.mark.parametrize("length", [0, MOST + 1, 2**32 - 1])
def test_a_packet_of_no_or_too_many_bytes_is_refused(length):
    with pytest.raises(BadPacket, match="a packet of"):
        list(Frames().feed(struct.pack(">I", length)))


def test_a_packet_that_comes_in_one_piece_is_not_copied():
    chunk = string(b"x" * 1000)
    (packet,) = Frames().feed(chunk)
    assert packet.obj is chunk


# --- replies


@given(st.binary(max_size=200))
def test_garbage_is_a_reply_or_refused(data):
    """Whatever a server sends, it is understood or refused, and never more is made of it than it holds."""
    try:
        _, found = parse(memoryview(data))
    except BadPacket:
        return
    if isinstance(found, Names):
        assert 12 * len(found.names) <= len(data)


@given(st.sampled_from([2, 101, 102, 103, 104, 105, 201]), st.binary(max_size=200))
def test_garbage_in_a_packet_of_a_known_type_is_a_reply_or_refused(kind, body):
    data = bytes([kind]) + body
    for read in (parse, replies.parse_version):
        with suppress(BadPacket):
            read(memoryview(data))


@given(u32s, u32s, blobs)
def test_a_status_is_read_and_can_be_shown(number, code, message):
    found = parse(reply(101, number, struct.pack(">I", code) + string(message) + string(b"en")))
    assert found[0] == number
    assert isinstance(found[1], Status)
    assert found[1].code == code
    assert found[1].message.isprintable()


def test_a_status_without_a_message_is_read():
    assert parse(reply(101, 7, struct.pack(">I", 4))) == (7, Status(4))


@given(u32s, st.binary(max_size=256), st.binary(max_size=300))
def test_a_handle_is_read_and_data_are_not_copied(number, handle, data):
    assert parse(reply(102, number, string(handle))) == (number, Handle(handle))
    packet = reply(103, number, string(data))
    _, found = parse(packet)
    assert isinstance(found, Data)
    assert found.data == data
    assert found.data.obj is packet.obj


def test_a_handle_that_is_too_long_is_refused():
    with pytest.raises(BadPacket, match="handle"):
        parse(reply(102, 1, string(bytes(257))))


@given(
    size=st.none() | u64s,
    owner=st.booleans(),
    mode=st.none() | u32s,
    modified=st.none() | u32s,
    more=st.lists(st.tuples(blobs, blobs), max_size=3),
)
def test_attributes_are_read_whichever_are_told(size, owner, mode, modified, more):
    flags = (size is not None) | owner << 1 | (mode is not None) << 2 | (modified is not None) << 3 | bool(more) << 31
    body = struct.pack(">I", flags)
    body += b"" if size is None else struct.pack(">Q", size)
    body += struct.pack(">II", 1, 2) if owner else b""
    body += b"" if mode is None else struct.pack(">I", mode)
    body += b"" if modified is None else struct.pack(">II", 5, modified)
    body += struct.pack(">I", len(more)) + b"".join(string(a) + string(b) for a, b in more) if more else b""
    assert parse(reply(105, 1, body)) == (1, Attributes(size, mode, modified))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (None, "file"),
        (stat.S_IFREG | 0o644, "file"),
        (stat.S_IFDIR, "folder"),
        (stat.S_IFLNK, "link"),
        (0o10000, "other"),
    ],
)
def test_the_kind_of_a_file_is_in_its_mode(mode, kind):
    assert Attributes(mode=mode).kind == kind


@given(st.lists(blobs, max_size=5))
def test_names_are_read(names):
    body = struct.pack(">I", len(names)) + b"".join(string(n) + string(b"long") + bytes(4) for n in names)
    assert parse(reply(104, 3, body)) == (3, Names(tuple((n, Attributes()) for n in names)))


def test_what_an_extension_answers_is_read_as_far_as_it_goes():
    _, found = parse(reply(201, 1, struct.pack(">QQ", 7, 8)))
    assert isinstance(found, Extended)
    assert found.numbers(2) == (7, 8)
    with pytest.raises(BadPacket):
        found.numbers(3)


def test_the_version_tells_the_extensions():
    packet = memoryview(struct.pack(">BI", 2, 3) + string(b"a@b") + string(b"1") + string(b"c") + string(b""))
    assert replies.parse_version(packet) == replies.Version(3, {b"a@b": b"1", b"c": b""})


# --- calls


@given(u32s, blobs, u64s, st.binary(max_size=100))
def test_a_call_is_a_packet_whose_length_counts_its_data(number, handle, offset, data):
    call = calls.write(handle, offset, data)
    packet = call.head(number) + call.data
    assert packet == string(struct.pack(">BI", 6, number) + string(handle) + struct.pack(">Q", offset) + string(data))


def test_calls_are_as_the_draft_has_them():
    """Written down from the draft, and from PROTOCOL of OpenSSH."""
    name, path, u64 = string(b"h"), string(b"/p"), struct.Struct(">Q").pack
    expected = {
        calls.open_file(b"/p", 1 | 8 | 32, 0o600): (3, path + struct.pack(">III", 0x29, 4, 0o600)),
        calls.close(b"h"): (4, name),
        calls.read(b"h", 1, 2): (5, name + u64(1) + struct.pack(">I", 2)),
        calls.lstat(b"/p"): (7, path),
        calls.fstat(b"h"): (8, name),
        calls.fsetstat(b"h", mode=0o600, modified=9): (10, name + struct.pack(">IIII", 12, 0o600, 9, 9)),
        calls.open_folder(b"/p"): (11, path),
        calls.read_folder(b"h"): (12, name),
        calls.remove(b"/p"): (13, path),
        calls.mkdir(b"/p"): (14, path + bytes(4)),
        calls.rmdir(b"/p"): (15, path),
        calls.realpath(b"/p"): (16, path),
        calls.stat(b"/p"): (17, path),
        calls.rename(b"/p", b"h"): (18, path + name),
        calls.posix_rename(b"/p", b"h"): (200, string(b"posix-rename@openssh.com") + path + name),
        calls.hardlink(b"/p", b"h"): (200, string(b"hardlink@openssh.com") + path + name),
        calls.fsync(b"h"): (200, string(b"fsync@openssh.com") + name),
        calls.limits(): (200, string(b"limits@openssh.com")),
        calls.statvfs(b"/p"): (200, string(b"statvfs@openssh.com") + path),
        calls.copy_data(b"h", 1, 2, b"h", 3): (200, string(b"copy-data") + name + u64(1) + u64(2) + name + u64(3)),
    }
    for call, (kind, fields) in expected.items():
        assert call.head(5) == string(struct.pack(">BI", kind, 5) + fields)

"""Messages are read as the protocol says, and nothing that a hostile server sends raises anything but BadAnswer."""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import BadAnswer
from sessionctx.storage.smb import answers, messages
from sessionctx.storage.smb.entries import entry_of, listed, seconds, units
from sessionctx.storage.smb.messages import HEADER, ROOM, Access, Command, How, Options

HANDLE = bytes(range(16))


def header(**fields):
    ask = messages.ask(Command.READ, fields.pop("body", b""))
    messages.put_header(ask.frame, ask.command, message_id=7, session=8, tree=9, charge=1, wanted=2, flags=0)
    message = ask.frame[messages.LENGTH :]
    if "after" in fields:
        struct.pack_into("<I", message, 20, fields["after"])
    return message


def smbprotocol_says(kind, ask):
    """Read a request of ours with smbprotocol."""
    from smbprotocol import open as opens

    structure = getattr(opens, kind)()
    structure.unpack(bytes(ask.frame[ROOM:]))
    return structure


def test_others_read_our_requests_as_they_are_meant():
    made = smbprotocol_says("SMB2CreateRequest", messages.create("a\\b", Access.READ, How.CREATE, Options.FILE))
    assert made["buffer_path"].get_value().decode("utf-16-le") == "a\\b"
    assert (made["create_disposition"].get_value(), made["create_options"].get_value()) == (2, 0x40)
    read = smbprotocol_says("SMB2ReadRequest", messages.read(HANDLE, 5, 70_000))
    assert (read["offset"].get_value(), read["length"].get_value(), read["file_id"].get_value()) == (5, 70_000, HANDLE)
    frame = bytearray(messages.WRITE_ROOM) + b"content"
    wrote = smbprotocol_says("SMB2WriteRequest", messages.write(HANDLE, 9, frame))
    assert (wrote["offset"].get_value(), wrote["buffer"].get_value()) == (9, b"content")
    name = smbprotocol_says("SMB2SetInfoRequest", messages.set_name(HANDLE, "new", replace=True))
    assert name["buffer"].get_value()[:1] == b"\x01"
    assert name["buffer"].get_value()[20:].decode("utf-16-le") == "new"
    find = smbprotocol_says("SMB2QueryDirectoryRequest", messages.find(HANDLE, 65536))
    assert (find["output_buffer_length"].get_value(), find["buffer"].get_value()) == (65536, b"*\0")


def test_a_request_costs_a_credit_for_each_64_kib():
    assert [messages.read(HANDLE, 0, n).units for n in (0, 1, 65_536, 65_537, 1 << 20)] == [1, 1, 1, 2, 16]


def test_replies_that_come_together_are_told_apart():
    first = header(after=HEADER + 8, body=bytes(8))
    both = memoryview(bytearray(first + header(body=b"x")))
    one, two = answers.replies(both)
    assert (one.message_id, len(one.message), len(two.message)) == (7, HEADER + 8, HEADER + 1)


READERS = [answers.created, partial(answers.closed, file_id=1), answers.was_read, answers.was_written, answers.found]
READERS += [answers.key_of, answers.was_copied]


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(data):
    """Any bytes are read, or raise BadAnswer."""
    with suppress(BadAnswer):
        list(answers.replies(memoryview(bytearray(data))))
    (reply,) = answers.replies(memoryview(header(body=data)))
    for read in READERS:
        try:
            read(reply)
        except BadAnswer:
            continue


@given(st.integers(0, 255), st.integers(0, 400), st.binary(max_size=400))
def test_a_part_never_reaches_out_of_its_message(start, length, data):
    (reply,) = answers.replies(memoryview(header(body=struct.pack("<HBBI8x", 17, start, 0, length) + data)))
    try:
        part = answers.was_read(reply)
    except BadAnswer:
        return
    assert len(part) == length


def test_a_page_that_goes_round_in_circles_ends():
    page = bytearray(104)
    struct.pack_into("<I", page, 0, 0xFFFFFFFF)
    (reply,) = answers.replies(memoryview(header(body=struct.pack("<HHI", 9, HEADER + 8, len(page)) + page)))
    assert len(answers.found(reply)) == 1


@given(st.floats(-1e9, 1e10, allow_nan=False))
def test_times_are_kept_to_the_tenth_of_a_microsecond_or_what_a_float_holds(moment):
    assert seconds(units(moment)) == pytest.approx(moment, abs=2e-6)


def test_no_time_is_told_as_none():
    assert seconds(0) is None


@pytest.mark.parametrize(("name", "shown"), [("a\x01b", "d/a\\x01b"), ("\ud800", "d/\\ud800"), ("a/b", "d/a/b")])
def test_a_name_that_can_be_in_no_path_is_listed_with_a_problem(name, shown):
    entry = listed("d", answers.Found(name, answers.Times(1, 1, 1, 1, 0), 0))
    assert (entry.path, entry.size) == (shown, None)
    assert entry.problem is not None


def test_what_is_listed_has_the_version_of_what_is_opened_also_where_ids_are_not_told():
    open_times, found_times = answers.Times(0, 1, 2, 3, 0), answers.Times(77, 1, 2, 3, 0)
    entry = listed("", answers.Found("a", found_times, 0), ids=False)
    assert entry.version == entry_of("a", open_times).version
    assert entry.version != listed("", answers.Found("a", found_times, 0)).version


def test_links_are_listed_as_such():
    times = answers.Times(1, 1, 1, 0, messages.Attributes.REPARSE)
    assert listed("", answers.Found("link", times, 0xA000000C)).kind == "link"
    assert listed("", answers.Found("in the cloud", times, 0x9000001A)).kind == "file"
    assert entry_of("x", times).kind == "file"

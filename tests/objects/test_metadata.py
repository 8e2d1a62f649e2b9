"""What goes with an object survives the way through headers, whatever it is; what cannot is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import InvalidObject
from sessionctx.objects import MANUAL, Expiration, Metadata, Place
from sessionctx.objects.duration import read, written
from sessionctx.objects.metadata import from_headers, percent, to_headers, told
from sessionctx.objects.paths import decoded, encoded

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = st.text("abcxyz0189-_.!", min_size=1, max_size=20)
SECONDS = st.integers(0, 3_000_000_000).map(lambda seconds: timedelta(seconds=seconds))
METADATA = st.builds(
    Metadata,
    content_type=st.sampled_from(["text/plain", "application/x-test+json; charset=utf-8"]),
    encoding=st.sampled_from([None, "zstd"]),
    expiration=st.one_of(st.just(MANUAL), st.builds(Expiration, st.sampled_from(["ttl", "tti"]), SECONDS)),
    origin=st.none() | TEXT,
    filename=st.none() | TEXT,
    custom=st.dictionaries(NAMES, TEXT, max_size=5),
    created=st.none() | st.datetimes(timezones=st.just(UTC)),
    size=st.none() | st.integers(0, 2**63),
)


@given(METADATA)
def test_N3_metadata_comes_back_as_it_was(metadata):
    """Any Unicode text round-trips, in visible ASCII, which no proxy can garble."""
    headers = to_headers(metadata) + told(metadata)
    assert all(value.isascii() and value.isprintable() and value == value.strip() for _, value in headers)
    assert from_headers([(name.title(), value) for name, value in headers]) == metadata


@given(TEXT)
def test_M7_no_value_breaks_a_line(text):
    assert not set(percent(text)) & {"\r", "\n", "\0"}


@pytest.mark.parametrize(
    ("text", "header"), [("ré.txt", "r%C3%A9.txt"), ("a b", "a b"), (" a ", "%20a%20"), ("100%", "100%25"), ("", "")]
)
def test_values_are_written_as_the_public_client_does(text, header):
    assert percent(text) == header


@pytest.mark.parametrize("name", ["", "Upper", "sp ace", "colon:", "new\nline", "ü", "x" * 129])
def test_a_name_that_no_header_can_have_is_refused(name):
    with pytest.raises(InvalidObject):
        to_headers(Metadata(custom={name: "x"}))


@pytest.mark.parametrize("value", ["", "text", "text/plain\r\nx: y", "a/b/c", "text/pläin"])
def test_a_content_type_that_is_none_is_refused(value):
    with pytest.raises(InvalidObject):
        to_headers(Metadata(content_type=value))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("400d 1m 30s", 400 * 86400 + 90), ("0s", 0), ("1h30min", 5400), ("2 weeks", 14 * 86400), ("1M", 30.44 * 86400)],
)
def test_durations_are_read(text, seconds):
    assert read(text) == timedelta(seconds=seconds)


@given(SECONDS)
def test_durations_come_back(length):
    assert read(written(length)) == length


def test_a_duration_is_written_as_the_public_client_does():
    assert str(Expiration.ttl(days=400, minutes=1, seconds=30)) == "ttl:400d 1m 30s"


@pytest.mark.parametrize("text", ["", "d", "1", "1x", "-1d", "1d,", "9" * 30 + "d", "99999y", "ttl"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InvalidObject):
        read(text)


@pytest.mark.parametrize("text", ["never", "ttl", "ttl:", "manual:1d", "tti:x"])
def test_what_is_no_expiration_is_refused(text):
    with pytest.raises(InvalidObject):
        Expiration.parse(text)


@pytest.mark.parametrize("header", [("content-encoding", "gzip"), ("x-sn-time-created", "yesterday")])
def test_headers_that_say_nothing_known_are_refused(header):
    with pytest.raises(InvalidObject):
        from_headers([header])


def test_times_are_read_with_any_offset():
    metadata = from_headers([("x-sn-time-created", "2026-01-02T03:04:05.678901+02:00")])
    assert metadata.created == datetime(2026, 1, 2, 1, 4, 5, 678901, tzinfo=UTC)


# --- places


@given(TEXT)
def test_keys_come_back_from_paths(key):
    assert decoded(encoded(key)) == key
    assert encoded(key).isascii()


def test_paths_are_written_as_the_protocol_says():
    place = Place.of("attachments", {"org": 42, "project": 1337})
    assert place.path("objects", "a/b c%é") == "/v1/objects/attachments/org=42;project=1337/a/b%20c%25%C3%A9"
    assert Place.of("attachments").path("objects:batch") == "/v1/objects:batch/attachments/_/"
    assert Place.parse("attachments", "org=42;project=1337") == place
    assert Place.parse("attachments", "_") == Place.of("attachments")


@pytest.mark.parametrize(
    ("usecase", "scopes"),
    [
        ("ab", {}),
        ("a" * 65, {}),
        ("a/b", {}),
        ("good", {"": 1}),
        ("good", {"a": ""}),
        ("good", {"a;b": 1}),
        ("good", [("a", 1), ("a", 2)]),
    ],
)
def test_a_place_that_can_be_none_is_refused(usecase, scopes):
    with pytest.raises(InvalidObject):
        Place.of(usecase, scopes)


@pytest.mark.parametrize("scopes", ["", "a", "a=1;", "a=1;b", ";", "a==1"])
def test_scopes_that_are_written_wrong_are_refused(scopes):
    with pytest.raises(InvalidObject):
        Place.parse("good", scopes)


def test_a_key_has_bounds():
    with pytest.raises(InvalidObject):
        encoded("x" * 4097)
    with pytest.raises(InvalidObject):
        decoded("%ff")

"""Header values from strangers."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionctx.transports.headers import MOST_WAIT, content_type, http_date, retry_after, shown

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("007", 7),
        ("999999", MOST_WAIT),
        ("9" * 5000, MOST_WAIT),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        (formatdate(NOW + 1e6, usegmt=True), MOST_WAIT),
        ("Friday, 15-Jan-27 08:00:30 GMT", 30),
        ("Fri Jan 15 08:00:30 2027", 30),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("nan", None),
        ("inf", None),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after(value, now=NOW) == seconds


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ [\d:]+ [A-Z+\-\d]*", fullmatch=True),
)
@example("Fri, 15 Jan 2027 08:00:00 -9999")
def test_whatever_a_peer_asks_for_the_wait_is_bounded(value):
    """A Retry-After is between nothing and the most that we wait, or it says nothing."""
    seconds = retry_after(value, now=NOW)
    assert seconds is None or 0 <= seconds <= MOST_WAIT


@given(st.integers(0, 10_000))
def test_a_date_is_read_back_as_it_was_written(ahead):
    """A Retry-After date means what the same number of seconds means."""
    date = formatdate(NOW + ahead, usegmt=True)
    assert retry_after(date, now=NOW) == retry_after(str(ahead), now=NOW)


def test_a_long_date_is_not_looked_at():
    assert http_date(formatdate(NOW, usegmt=True)) == NOW
    assert http_date(formatdate(NOW, usegmt=True) + " " * 60) is None
    assert http_date(None) is None


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("application/vnd.ipld.raw", ("application/vnd.ipld.raw", {})),
        ("Application/VND.ipld.car; version=1;Order=dfs ; dups=n", None),
        ('application/vnd.ipld.car;version="1"; order = "dfs";dups=n', None),
        ("application/vnd.ipld.car;version=1;order=dfs;dups=n;dups=y", None),
        ("application/vnd.ipld.car;; version=1; nonsense; order=dfs; dups=n", None),
        ("", ("", {})),
        (" ; ", ("", {})),
    ],
)
def test_content_type(value, parsed):
    whole = ("application/vnd.ipld.car", {"version": "1", "order": "dfs", "dups": "n"})
    assert content_type(value) == (parsed or whole)


def test_what_a_peer_wrote_is_shown_short_and_printable():
    assert shown("a\x1b[31m\n") == repr("a\x1b[31m\n")
    assert len(shown("x" * 10_000)) < 100

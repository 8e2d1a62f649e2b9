"""Requests out of bytes: what the short way reads is what h11 reads, however the bytes come."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.serve.incoming import MOST_HEAD, Incoming, Nonsense

names = st.sampled_from(
    ["Host", "Accept", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "X-y", "x y", ""]
)
values = st.sampled_from(
    ["here", "", "  spaced\t", "keep-alive", "close", "0", "3", "chunked", "100-continue", "\x00", "é"]
)
lines = st.builds(lambda name, colon, value: f"{name}{colon}{value}", names, st.sampled_from([":", ": ", " :"]), values)
starts = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["GET", "HEAD", "POST", "get", "CONNECT"]),
        st.sampled_from(["/", "/a?b=c", "/%20", "*", "http://here/", "/ä", ""]),
        st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2", "http/1.1"]),
    ),
)
ends = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"])


@st.composite
def heads(draw):
    end = draw(ends)
    fields = ["Host: here", *draw(st.lists(lines, max_size=3))]
    return end.join([draw(starts), *draw(st.permutations(fields)), "", ""]).encode("latin-1")


def judged(data):
    """What h11 makes of it: the request, None for an unfinished one, or the class of nonsense."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
    parser.receive_data(data)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        return error.error_status_hint
    return (event.method, event.target, list(event.headers), event.http_version) if event is not h11.NEED_DATA else None


def taken(incoming):
    try:
        head = incoming.head()
    except Nonsense as nonsense:
        return nonsense.status
    return head and (head.method, head.target, head.headers, head.version)


@given(heads())
def test_a_head_is_what_h11_reads_in_it(data):
    """Whatever a client sends, it is read, or refused, as h11 would do."""
    incoming = Incoming()
    incoming.feed(data)
    assert taken(incoming) == judged(data)


@given(st.lists(st.sampled_from(range(6)), min_size=1, max_size=6), st.data())
def test_it_does_not_matter_how_the_bytes_come(which, data):
    """Requests that follow one another are the same, in whatever pieces they come."""
    kinds = [
        (b"GET /0 HTTP/1.1\r\nHost: here\r\n\r\n", b""),
        (b"HEAD /1 HTTP/1.1\r\nhost: here\r\nConnection: Keep-Alive\r\n\r\n", b""),
        (b"POST /2 HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nGET /", b"GET /"),
        (
            b"PUT /3 HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            b"hello",
        ),
        (b"GET /4 HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n", b""),
        (b"GET /5 HTTP/1.1\r\nHost: here\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b""),
    ]
    whole = b"".join(kinds[kind][0] for kind in which)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    pieces = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    incoming, found = Incoming(), []

    def more(take):
        while (got := take()) is None:
            incoming.feed(pieces.pop(0))
        return got

    for _ in which:
        head, body = more(incoming.head), b""
        while not incoming.complete:
            body += more(incoming.body)
        found.append((head.target, body))
    assert found == [(b"/%d" % kind, kinds[kind][1]) for kind in which]
    assert incoming.ahead + sum(map(len, pieces)) == 0


@pytest.mark.parametrize(
    ("fields", "last"),
    [(b"", False), (b"Connection: close\r\n", True), (b"Connection: TE, Close\r\n", True), (b"TE: gzip\r\n", False)],
)
def test_who_says_close_sends_no_more(fields, last):
    incoming = Incoming()
    incoming.feed(b"GET / HTTP/1.1\r\nHost: here\r\n" + fields + b"\r\n")
    assert incoming.head().last is last


def test_a_head_that_does_not_end_is_refused_in_time():
    incoming = Incoming()
    incoming.feed(b"GET / HTTP/1.1\r\nHost: " + b" " * MOST_HEAD)
    with pytest.raises(Nonsense) as refused:
        incoming.head()
    assert refused.value.status == 431

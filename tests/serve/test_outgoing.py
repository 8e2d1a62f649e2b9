"""A response as bytes: h11, as the client, reads what the app has said."""

from __future__ import annotations

import h11
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sessionctx.serve.outgoing import Response

DATE = b"Wed, 25 Nov 2026 10:00:00 GMT"


def read_by_a_client(data, method, *, closed):
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "here")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    if closed:
        client.receive_data(b"")
    response, body = client.next_event(), b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        body += event.data  # NEED_DATA has none, so a response that does not end is an error here
    assert client.trailing_data[0] == b""
    return response, body


@given(
    method=st.sampled_from(["GET", "HEAD"]),
    status=st.sampled_from([200, 204, 206, 304, 404, 500]),
    pieces=st.lists(st.binary(max_size=20), max_size=4),
    told=st.booleans(),
    chunks=st.booleans(),
    last=st.booleans(),
)
def test_a_client_reads_what_was_said(method, status, pieces, told, chunks, last):
    """Whatever the framing, the body and its end arrive."""
    body = b"".join(pieces)
    assume(not body or status not in (204, 304))
    headers = [(b"x-some", b"thing"), *([(b"content-length", b"%d" % len(body))] if told else [])]
    response = Response(method == "HEAD", chunks, last)
    sent = response.head(status, headers, DATE)
    sent += b"".join(b"".join(response.body(piece, more=True)) for piece in pieces)
    sent += b"".join(response.body(b"", more=False))
    assert response.complete
    closed = response.last
    seen, data = read_by_a_client(sent, method, closed=closed)
    assert (seen.status_code, data) == (status, b"" if method == "HEAD" else body)
    assert closed == ((b"connection", b"close") in seen.headers)
    assert set(seen.headers) >= {(b"x-some", b"thing"), (b"date", DATE)}


@pytest.mark.parametrize(
    "field",
    [(b"x", b"a\r\nset-cookie: b"), (b"x", b"a\nb"), (b"x y", b"a"), (b"a: b\r\nc", b"d"), (b"x", b" a"), (b"", b"a")],
)
def test_headers_that_are_none_are_refused(field):
    with pytest.raises(ValueError, match="headers"):
        Response(to_head=False, chunks=True).head(200, [field], DATE)


@pytest.mark.parametrize("length", [b"-1", b"", b"1_0", b"9" * 30, b"5, 5"])
def test_a_length_is_a_number(length):
    with pytest.raises(ValueError, match="content-length"):
        Response(to_head=False, chunks=True).head(200, [(b"content-length", length)], DATE)


@pytest.mark.parametrize("pieces", [[b"123456"], [b"123", b"456"], [b"1234"], []])
def test_a_body_of_another_length_is_never_complete(pieces):
    response = Response(to_head=False, chunks=True)
    response.head(200, [(b"content-length", b"5")], DATE)
    with pytest.raises(ValueError, match="content-length"):
        for index, piece in enumerate([*pieces, b""]):
            response.body(piece, more=index < len(pieces))
    assert not response.complete


def test_a_response_has_one_head_and_one_end():
    response = Response(to_head=False, chunks=True)
    with pytest.raises(ValueError, match="between"):
        response.body(b"too early", more=True)
    with pytest.raises(ValueError, match="status"):
        response.head(101, [], DATE)
    response.head(200, [(b"transfer-encoding", b"gzip")], DATE)
    with pytest.raises(ValueError, match="once"):
        response.head(200, [], DATE)
    response.body(b"", more=False)
    with pytest.raises(ValueError, match="between"):
        response.body(b"too late", more=False)

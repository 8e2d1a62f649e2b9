"""What routers send, decoded whatever it is, in whatever pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.transports import Provider
from sessionctx.transports.routing.filters import Filter
from sessionctx.transports.routing.records import MOST_ADDRS, MOST_LINE, Document, Lines, provider_of

HTTPS = "/dns/gw.example/tcp/443/https"
QUIC = "/ip4/8.8.8.8/udp/4001/quic-v1"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


ANY = Filter()


def read(record, wanted=ANY, *, allow_private=False):
    return provider_of(record, wanted, allow_private=allow_private)


def test_a_record():
    record = {"Schema": "peer", "ID": "12D3", "Addrs": [HTTPS, QUIC], "Protocols": ["transport-bitswap"], "More": [1]}
    assert read(record) == Provider("12D3", ("transport-bitswap",), (HTTPS, QUIC), ("https://gw.example",))
    assert read(record, Filter(["http", "https"])).addrs == (HTTPS,)
    assert read(record, Filter(["webrtc"])) is None


@pytest.mark.parametrize("missing", ["Addrs", "Protocols", "ID"])
@pytest.mark.parametrize("value", ["absent", None, {}, 7, [7, None, []]], ids=repr)
def test_fields_may_be_missing_or_nonsense(missing, value):
    record = {"Schema": "peer", "ID": "12D3", "Addrs": [HTTPS], "Protocols": ["x"], missing: value}
    if value == "absent":
        del record[missing]
    found = read(record)
    assert (found.id == "") is (missing == "ID")
    assert (found.addrs == found.gateways == ()) is (missing == "Addrs")
    assert (found.protocols == ()) is (missing == "Protocols")


def test_only_peers_are_known():
    assert read({"Schema": "bitswap", "ID": "x", "Addrs": [HTTPS]}) is None
    assert read({"ID": "x", "Addrs": [HTTPS]}) is None
    assert read({"Schema": ["peer"], "ID": "x"}) is None


def test_a_label_counts_for_nothing():
    """Who calls itself a gateway and has no such address is none, and the other way round."""
    assert read({"Schema": "peer", "Protocols": ["transport-ipfs-gateway-http"], "Addrs": [QUIC]}).gateways == ()
    found = read({"Schema": "peer", "Protocols": ["transport-bitswap"], "Addrs": [HTTPS]})
    assert found.gateways == ("https://gw.example",)


def test_addresses_of_one_server_are_one_gateway():
    addrs = [HTTPS, "/dns4/GW.example/tcp/443/tls/http", "/dns6/gw.example/tcp/443/https"]
    assert read({"Schema": "peer", "Addrs": addrs}).gateways == ("https://gw.example",)


def test_private_addresses_are_told_and_no_gateways():
    addr = "/ip4/127.0.0.1/tcp/80/http"
    record = {"Schema": "peer", "Addrs": [addr]}
    assert (read(record).addrs, read(record).gateways) == ((addr,), ())
    assert read(record, allow_private=True).gateways == ("http://127.0.0.1",)


def test_not_all_of_a_thousand_addresses_are_looked_at():
    addrs = [f"/dns/gw{n}.example/tcp/443/https" for n in range(1000)]
    assert len(read({"Schema": "peer", "Addrs": addrs}).gateways) == MOST_ADDRS


@given(JSON | st.fixed_dictionaries({"Schema": st.just("peer"), "ID": JSON, "Addrs": JSON, "Protocols": JSON}))
def test_any_json_is_a_provider_or_nothing(record):
    """Whatever a router sends, a record is a Provider of texts, or it is left out."""
    found = read(record)
    if found is not None:
        assert isinstance(found.id, str)
        assert all(isinstance(each, str) for each in (*found.addrs, *found.protocols, *found.gateways))


@given(
    st.lists(JSON.map(lambda value: json.dumps(value).encode()) | st.sampled_from([b"", b"  ", b"{", b"\xff", b"}{"])),
    st.data(),
)
def test_lines_come_out_the_same_in_whatever_pieces_they_arrive(lines, data):
    """Each line that is JSON is a record, in order; broken ones are left out; the cuts do not matter."""
    whole = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    decoder = Lines()
    expected, broken = [], False
    for line in filter(bytes.strip, lines):
        try:
            expected.append(json.loads(line))
        except ValueError:
            broken = True
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += decoder.feed(whole[start:end])
    if broken and not expected:
        with pytest.raises(ValueError, match="not one line is a record"):
            decoder.finish()
    else:
        assert found + decoder.finish() == expected


def test_a_record_is_out_as_soon_as_its_line_is_whole():
    decoder = Lines()
    assert decoder.feed(b'{"a": 1}') == []
    assert decoder.feed(b'\r\n{"b"') == [{"a": 1}]
    assert decoder.feed(b": 2}\n\n") == [{"b": 2}]
    assert decoder.finish() == []


def test_an_endless_line_is_refused_once_what_was_before_it_is_out():
    decoder = Lines()
    assert decoder.feed(b'{"a": 1}\n' + b" " * (MOST_LINE + 1)) == [{"a": 1}]
    with pytest.raises(ValueError, match="a line has more than 65536 bytes"):
        decoder.feed(b" ")
    with pytest.raises(ValueError, match="a line has more than 65536 bytes"):
        decoder.finish()


def test_a_long_line_that_ends_is_left_out():
    decoder = Lines()
    assert decoder.feed(b'"' + b"x" * MOST_LINE + b'"\n{"a": 1}\n') == [{"a": 1}]
    assert decoder.finish() == []


@pytest.mark.parametrize("bomb", [b"[" * 60_000, b'{"a":' * 10_000, b"9" * 60_000, b'"\\ud800"' * 3])
def test_bombs_are_broken_lines(bomb):
    decoder = Lines()
    assert decoder.feed(bomb + b"\n{}\n") == [{}]
    assert decoder.finish() == []


def test_a_document():
    decoder = Document()
    assert decoder.feed(b'{"Providers": [{"a":') == decoder.feed(b" 1}, 2]}") == []
    assert decoder.finish() == [{"a": 1}, 2]


@pytest.mark.parametrize("text", [b"{}", b'{"Providers": null}', b'{"Providers": {}}', b'{"Peers": [1]}'])
def test_a_document_without_records(text):
    decoder = Document()
    decoder.feed(text)
    assert decoder.finish() == []


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"<html>", b'{"Providers": [', b"\xff", b"[" * 100_000])
def test_what_is_no_document(text):
    decoder = Document()
    decoder.feed(text)
    with pytest.raises(ValueError):
        decoder.finish()

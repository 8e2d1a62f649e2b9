"""Filters: what is sent, and what passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.transports.routing.filters import Filter

HTTPS = "/dns/gw.example/tcp/443/https"
TLS = "/dns/gw.example/tcp/443/tls/http"
QUIC = "/ip4/8.8.8.8/udp/4001/quic-v1"
V6 = "/ip6/2606:4700::1/tcp/80/http"
ALL = (HTTPS, TLS, QUIC, V6)


@pytest.mark.parametrize(
    ("names", "passing"),
    [
        ((), ALL),
        (("https",), (HTTPS,)),
        (("http", "https"), (HTTPS, TLS, V6)),
        (("HTTP",), (TLS, V6)),
        (("http", "!ip6"), (TLS,)),
        (("!ip6", "!quic-v1"), (HTTPS, TLS)),
        (("!tcp", "http"), None),
        (("webtransport",), None),
        (("unknown",), None),
        (("unknown", "quic-v1"), (QUIC,)),
        (("gw.example", "443"), None),
    ],
)
def test_addresses(names, passing):
    try:
        wanted = Filter(addrs=names)
    except ValueError:
        assert "gw.example" in names
        return
    assert wanted.passing(ALL, ()) == passing


def test_a_record_without_addresses_passes_as_unknown_only():
    assert Filter().passing((), ()) == ()
    assert Filter(addrs=["unknown"]).passing((), ()) == ()
    assert Filter(addrs=["http"]).passing((), ()) is None
    assert Filter(addrs=["!ip6"]).passing((), ()) is None


def test_protocols_let_a_record_pass_whole():
    bitswap = Filter(protocols=["transport-bitswap", "Unknown"])
    assert bitswap.passing(ALL, ["Transport-Bitswap", "other"]) == ALL
    assert bitswap.passing(ALL, []) == ALL
    assert bitswap.passing(ALL, ["other"]) is None
    assert Filter(protocols=["transport-bitswap"]).passing(ALL, []) is None


def test_what_is_sent():
    assert Filter().query == ""
    assert Filter(addrs=["HTTP", "!p2p-circuit"]).query == "?filter-addrs=http,!p2p-circuit"
    both = Filter(addrs=["https"], protocols=["unknown", "transport-ipfs-gateway-http"])
    assert both.query == "?filter-addrs=https&filter-protocols=unknown,transport-ipfs-gateway-http"


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a&b", "!", "!!x", "x" * 65, "a\n", "é"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="cannot be filtered by"):
        Filter(addrs=[name])
    with pytest.raises(ValueError, match="cannot be filtered by"):
        Filter(protocols=[name])


def test_one_text_is_no_list():
    with pytest.raises(TypeError, match=r"write \['http'\]"):
        Filter(addrs="http")


NAMES = st.lists(st.sampled_from(["http", "https", "tls", "ip6", "dns", "quic-v1", "unknown"]), max_size=3)


@given(wanted=NAMES, unwanted=NAMES, addrs=st.lists(st.sampled_from(ALL), max_size=5))
def test_the_rule_in_one_sentence(wanted, unwanted, addrs):
    """An address passes if it has one of the names (if any) and none of the unwanted; an empty record if unknown may."""
    passing = Filter(addrs=[*wanted, *(f"!{name}" for name in unwanted)]).passing(tuple(addrs), ())
    if not wanted and not unwanted:
        assert passing == tuple(addrs)
    elif not addrs:
        assert passing == (() if "unknown" in wanted else None)
    else:
        words = {addr: set(addr.split("/")) for addr in addrs}
        expected = tuple(
            addr for addr in addrs if (not wanted or words[addr] & set(wanted)) and not words[addr] & set(unwanted)
        )
        assert passing == (expected or None)

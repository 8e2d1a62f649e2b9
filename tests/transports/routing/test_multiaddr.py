"""Multiaddrs as strangers write them: URLs of gateways come out, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.transports.address import Address
from sessionctx.transports.public import not_public
from sessionctx.transports.routing.multiaddr import gateway_url, protocols


@pytest.mark.parametrize(
    ("addr", "url"),
    [
        ("/dns/gw.example/tcp/443/https", "https://gw.example"),
        ("/dns4/gw.example/tcp/443/tls/http", "https://gw.example"),
        ("/dns6/gw.example/tcp/8443/https", "https://gw.example:8443"),
        ("/dns/gw.example/tcp/80/http", "http://gw.example"),
        ("/dns/gw.example/tcp/443/http", "http://gw.example:443"),
        ("/dns/GW.Example./tcp/443/https", "https://gw.example."),
        ("/dns/bücher.example/tcp/443/https", "https://xn--bcher-kva.example"),
        ("/ip4/8.8.8.8/tcp/8080/http", "http://8.8.8.8:8080"),
        ("/ip6/2606:4700:0::1/tcp/443/tls/http", "https://[2606:4700::1]"),
        ("/dns/gw.example/tcp/443/https/http-path/foo%2Fbar", "https://gw.example/foo/bar"),
        ("/dns/gw.example/tcp/443/tls/http/http-path/a%20b%3F%23%40", "https://gw.example/a%20b%3F%23%40"),
        ("/dns/gw.example/tcp/80/http/http-path/%2Ffoo%2F", "http://gw.example/foo"),
        ("/dns/gw.example/tcp/80/http/http-path/", "http://gw.example"),
        ("/dns/gw.example/tcp/80/http/http-path/%FF", "http://gw.example/%FF"),
    ],
)
def test_a_gateway(addr, url):
    assert gateway_url(addr) == url
    assert Address.parse(url).url == url


@pytest.mark.parametrize(
    "addr",
    [
        "",
        "/",
        "https://gw.example",
        "dns/gw.example/tcp/443/https",
        "x/dns/gw.example/tcp/443/https",
        "/dns/gw.example/tcp/443",
        "/dns/gw.example/tcp/443/tls",
        "/dns/gw.example/tcp/443/tls/https",
        "/dns/gw.example/tcp/443/http/tls",
        "/dns/gw.example/tcp/443/wss",
        "/dns/gw.example/tcp/443/tls/ws",
        "/dns/gw.example/udp/443/quic-v1/http",
        "/dns/gw.example/https",
        "/dns/gw.example/tcp/443/https/",
        "/dns/gw.example/tcp/443/https/p2p/12D3KooWx",
        "/dns/gw.example/tcp/443/https/http-path/a/b",
        "/dns/gw.example/tcp/443/https/http-path",
        "/dns/gw.example/tcp/443/http-path/a",
        "/dnsaddr/gw.example/tcp/443/https",
        "/ip6zone/eth0/ip6/2606:4700::1/tcp/443/https",
        "/ip6/2606:4700::1%25eth0/tcp/443/https",
        "/ip6/2606:4700::zz/tcp/443/https",
        "/ip6/8.8.8.8/tcp/443/https",
        "/ip4/gw.example/tcp/443/https",
        "/ip4/8.8.8/tcp/443/https",
        "/ip4/8.8.8.8.8/tcp/443/https",
        "/ip4/2606:4700::1/tcp/443/https",
        "/dns/8.8.8.8/tcp/443/https",
        "/dns/gw.example:80/tcp/443/https",
        "/dns/user@gw.example/tcp/443/https",
        "/dns/user:pass@gw.example/tcp/443/https",
        "/dns/gw.example?x/tcp/443/https",
        "/dns/gw.example#x/tcp/443/https",
        "/dns/gw.example%2Fx/tcp/443/https",
        "/dns/gw..example/tcp/443/https",
        "/dns//tcp/443/https",
        "/dns/gw.example/tcp//https",
        "/dns/gw.example/tcp/0/https",
        "/dns/gw.example/tcp/65536/https",
        "/dns/gw.example/tcp/-1/https",
        "/dns/gw.example/tcp/٤٤٣/https",
        "/dns/gw.example/tcp/443\n/https",
        "/dns/gw.example\r\n/tcp/443/https",
        "/DNS/gw.example/tcp/443/https",
    ],
)
def test_what_is_no_gateway(addr):
    assert gateway_url(addr) is None
    assert gateway_url(addr, allow_private=True) is None


@pytest.mark.parametrize(
    "host",
    [
        "ip4/127.0.0.1",
        "ip4/192.168.0.1",
        "ip4/100.64.0.1",
        "ip4/169.254.169.254",
        "ip4/0.0.0.0",
        "ip6/::1",
        "ip6/::ffff:127.0.0.1",
        "ip6/64:ff9b::10.0.0.1",
        "ip6/fe80::1",
        "dns/localhost",
        "dns4/printer.local",
        "dns/metadata.google.internal",
        "dns/router",
    ],
)
def test_private_hosts_are_gateways_only_if_that_is_allowed(host):
    assert gateway_url(f"/{host}/tcp/80/http") is None
    assert gateway_url(f"/{host}/tcp/80/http", allow_private=True) is not None


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.0.0.1", "2130706433", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021"]
)
def test_numbers_that_pass_for_names_are_none_whatever_is_allowed(host):
    assert gateway_url(f"/dns/{host}/tcp/80/http", allow_private=True) is None


def test_names_of_protocols_and_no_values():
    addr = "/dns4/http/tcp/443/tls/sni/wss/HTTP/http-path/ws"
    assert protocols(addr) == {"dns4", "tcp", "tls", "sni", "http", "http-path"}
    assert protocols("/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/tcp/p2p/ws") == {
        *("ip4", "udp", "quic-v1", "webtransport", "certhash", "p2p")
    }
    assert protocols("/unix/tmp/http") == {"unix"}
    assert protocols("/a/new-one/ws") == {"a", "new-one", "ws"}
    assert protocols("") == protocols("/") == protocols("none") == frozenset()


PARTS = st.sampled_from(
    [
        "dns",
        "dns4",
        "ip4",
        "ip6",
        "tcp",
        "443",
        "80",
        "http",
        "https",
        "tls",
        "http-path",
        "gw.example",
        "localhost",
        "127.0.0.1",
        "8.8.8.8",
        "::1",
        "2606:4700::1",
        "",
        "%2F..%2F",
        "@",
        "a@b",
        "p2p",
    ]
) | st.text(max_size=5)


@given(st.lists(PARTS, max_size=9).map("/".join) | st.lists(PARTS, max_size=9).map(lambda parts: "/" + "/".join(parts)))
def test_any_text_is_a_public_gateway_or_nothing(addr):
    """Whatever a router writes, what comes out is the normalised address of a public host, without credentials."""
    protocols(addr)
    url = gateway_url(addr)
    if url is not None:
        address = Address.parse(url)
        assert address.url == url
        assert address.userinfo == ""
        assert not_public(address.host) is None


@given(
    host=st.sampled_from(["dns/gw.example", "dns4/a.b.example", "ip4/8.8.8.8", "ip6/2606:4700::1"]),
    port=st.integers(1, 65535),
    scheme=st.sampled_from(["http", "https", "tls/http"]),
    path=st.none() | st.text(max_size=8),
)
def test_each_proper_multiaddr_is_a_gateway_with_all_its_parts(host, port, scheme, path):
    """Host, port, scheme and path of a proper multiaddr are those of the URL."""
    from urllib.parse import quote, unquote

    tail = "" if path is None else "/http-path/" + quote(path, safe="", errors="surrogatepass")
    address = Address.parse(gateway_url(f"/{host}/tcp/{port}/{scheme}{tail}"))
    assert address.host.strip("[]") == host.partition("/")[2]
    assert address.endpoint[1] == port
    assert address.scheme == ("http" if scheme == "http" else "https")
    assert unquote(address.path, errors="surrogatepass").strip("/") == (path or "").strip("/")

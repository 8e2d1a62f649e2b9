"""Which hosts a stranger may send us to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.transports.public import not_public


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "223.255.255.254",
        "2606:4700::1",
        "[2a00:1450::1]",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "gw.example.org",
        "gw.example.org.",
        "notlocal.org",
        "local.org",
        "xn--bcher-kva.example",
    ],
)
def test_public_hosts(host):
    assert not_public(host) is None


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.1.2.3", "private"),
        ("100.64.0.1", "carrier"),
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("192.0.0.8", "reserved"),
        ("198.19.0.1", "benchmarks"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.251", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("[::1]", "loopback"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd00::1", "private"),
        ("ff02::fb", "multicast"),
        ("fec0::1", "reserved"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:a00:1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::1", "reserved"),
        ("2002:7f00:1::", "loopback"),
        ("2002:c0a8:101::1", "private"),
        ("2001:0:1234::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("localhost", "local network"),
        ("LocalHost.", "local network"),
        ("a.localhost", "local network"),
        ("printer.local", "local network"),
        ("metadata.google.internal", "local network"),
        ("nas.home.arpa", "local network"),
        ("router", "local network"),
        ("127.1", "a number"),
        ("2130706433", "a number"),
        ("0x7f000001", "a number"),
        ("0x7f.1", "a number"),
        ("0177.0.0.1", "a number"),
        ("a.b.127", "a number"),
        ("", "local network"),
        (".", "local network"),
    ],
)
def test_hosts_of_somebodys_own_network(host, why):
    assert why in not_public(host)
    assert host in not_public(host)


@given(st.ip_addresses(v=4))
def test_whatever_wraps_an_address_is_judged_by_it(inner):
    """IPv4 inside of IPv6, in each of the usual ways, is as public as it is alone."""
    number = int(inner)
    wrapped = [0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80 | 1]
    alone = not_public(str(inner)) is None
    assert [not_public(str(IPv6Address(each))) is None for each in wrapped] == [alone] * 3


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_that_python_calls_private_is_public(address):
    """The table is at least as strict as the standard library's."""
    if not_public(str(address)) is not None:
        return
    if isinstance(address, IPv4Address):
        assert address.is_global
        assert not any((address.is_multicast, address.is_reserved, address.is_private))
    else:
        inner = address.ipv4_mapped or address.sixtofour or address
        assert inner.is_global or str(address).startswith("64:ff9b:")

"""Which hosts are on the public internet, and which are in somebody's own network. Pure.

Source: the IANA special-purpose address registries (RFC 6890), RFC 6761 and 6762 for names, RFC 6052 for NAT64.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_V4: Final = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "behind a carrier's NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # with Teredo, whose other end nobody can tell
        ("2001:db8::/32", "for documentation"),
        ("3fff::/20", "for documentation"),
    )
)
_UNICAST: Final = IPv6Network("2000::/3")
_WRAPPING: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64: in networks with DNS64, that is how every IPv4 host looks
    (IPv6Network("2002::/16"), 80),  # 6to4
)
"""IPv6 networks whose addresses hold an IPv4 address, and how many bits follow it."""

_OWN: Final = (
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
)


def not_public(host: str) -> str | None:
    """Return why *host* is not on the public internet, in words; ``None`` if it is, as far as its text can tell.

    *host* is a name or an IP address; IPv6 may stand in brackets. A name has to be looked up to know more.
    """
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return _not_public_name(host)
    what = _special(address)
    return what and f"{host} is {what}, and not on the public internet"


def _special(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((what for network, what in _V4 if address in network), None)
    for network, shift in _WRAPPING:
        if address in network:
            return _special(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    what = next((what for network, what in _V6 if address in network), None)
    return what or (None if address in _UNICAST else "reserved")


def _not_public_name(host: str) -> str | None:
    if is_number(host):
        return f"{host} is a number and no name"
    name = host.rstrip(".").lower()
    if "." not in name or any(name.endswith(f".{own}") for own in _OWN):
        return f"{host} is a name in a local network"
    return None


def is_number(host: str) -> bool:
    """Whether systems may read a *host* as an IPv4 address, though it may not look like one: 127.1, 0x7f000001."""
    return host.rstrip(".").rpartition(".")[2][:1].isdigit()

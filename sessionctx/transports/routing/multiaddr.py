"""Multiaddrs: which protocols one names, and which URL it stands for, if it is that of an HTTP server. Pure.

Source: github.com/multiformats/multiaddr, protocols.csv and protocols/http-path.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from sessionctx.errors import InvalidPeer
from sessionctx.transports.address import Address
from sessionctx.transports.public import is_number, not_public

_VALUED: Final = frozenset(
    {
        "certhash",
        "cid",
        "dccp",
        "dns",
        "dns4",
        "dns6",
        "dnsaddr",
        "garlic32",
        "garlic64",
        "http-path",
        "ip4",
        "ip6",
        "ip6zone",
        "ipcidr",
        "ipfs",
        "memory",
        "onion",
        "onion3",
        "p2p",
        "sctp",
        "sni",
        "tcp",
        "udp",
    }
)
"""Protocols that are followed by a value. (A path, as behind ``unix``, is the rest of the address.)"""

_NAME: Final = re.compile(r"[\w.-]+")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_SCHEMES: Final[dict[tuple[str, ...], str]] = {("http",): "http", ("https",): "https", ("tls", "http"): "https"}


def protocols(addr: str) -> frozenset[str]:
    """Return the names of the protocols in a multiaddr, in lower case."""
    names: set[str] = set()
    parts = iter(addr.lower().split("/")[1:])
    for name in parts:
        names.add(name)
        if name == "unix":
            break
        if name in _VALUED:
            next(parts, None)
    return frozenset(names - {""})


def gateway_url(addr: str, *, allow_private: bool = False) -> str | None:
    """Return the URL of the HTTP server that a multiaddr stands for; ``None`` if it is something else.

    That is ``/dns|dns4|dns6|ip4|ip6/HOST/tcp/PORT/http|https|tls/http``, and ``/http-path/PATH`` behind it if need be.
    Unless *allow_private*, hosts that are not public are ``None``, too.
    """
    match addr.split("/"):
        case ["", kind, name, "tcp", port, *rest] if _PORT.fullmatch(port):
            host, (scheme, path) = _host(kind, name), _served(rest)
        case _:
            return None
    if host is None or scheme is None:
        return None
    try:
        address = Address.parse(f"{scheme}://{host}:{port}{path}")
    except InvalidPeer:
        return None
    if kind.startswith("dns") and is_number(address.host):
        return None
    return address.url if allow_private or not_public(address.host) is None else None


def _host(kind: str, text: str) -> str | None:
    """Return the host as a URL has it."""
    try:
        match kind:
            case "ip4":
                return str(IPv4Address(text))
            case "ip6" if "%" not in text:
                return f"[{IPv6Address(text)}]"
            case "dns" | "dns4" | "dns6" if _NAME.fullmatch(text):
                return text
            case _:
                return None
    except ValueError:
        return None


def _served(rest: list[str]) -> tuple[str | None, str]:
    """Return the scheme and the path that the end of a multiaddr tells."""
    path = ""
    if len(rest) > 2 and rest[-2] == "http-path":
        raw = unquote_to_bytes(rest[-1]).strip(b"/")
        path = "/" + quote(raw, safe="/") if raw else ""
        rest = rest[:-2]
    return _SCHEMES.get(tuple(rest)), path

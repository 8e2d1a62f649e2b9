"""The address of a peer that speaks HTTP: taken apart, normalised, with its secrets apart. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

import attrs
import idna

from sessionctx.errors import InvalidPeer

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LOCAL: Final = ("localhost", "127.", "[::1]")


@attrs.frozen
class Address:
    """Where a peer is. Two spellings of one address are equal once they are parsed."""

    scheme: str
    host: str
    """A name (IDNA-encoded) or an address, in lower case, IPv6 in brackets."""
    port: int | None
    """``None`` if it is the scheme's own."""
    path: str
    """What stands before ``/ipfs/``: empty, or beginning with a slash and ending without one."""
    userinfo: str = attrs.field(default="", repr=False)
    """Secret: ``user:password``, percent-encoded as it was given."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an ``http`` or ``https`` URL. :exc:`InvalidPeer` says how to write it."""
        scheme = scheme_of(text)
        if scheme not in _PORTS:
            raise _invalid(text, f"has the scheme {scheme!r}, which is not HTTP: write http:// or https://")
        if any(ord(c) <= 0x20 or ord(c) == 0x7F for c in text):
            raise _invalid(text, "has a space or a control character in it: write %20, or remove it")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            # Without the cause: its text would show the part before the "@".
            raise _invalid(text, "has a host or a port that is none: write https://host:port") from (
                None if "@" in text else error
            )
        if parts.query or parts.fragment:
            raise _invalid(text, "has a query or a fragment: a peer's address ends with its path")
        return cls(
            scheme=scheme,
            host=_host(text, parts),
            port=None if port == _PORTS[scheme] else port,
            path=quote(parts.path, safe="/%:@!$&'()*+,;=~").rstrip("/"),
            userinfo=parts.netloc.rpartition("@")[0],
        )

    @property
    def public(self) -> str:
        """The address without credentials."""
        return self._written("")

    @property
    def url(self) -> str:
        """The address with its credentials: never show it."""
        return self._written(self.userinfo and f"{self.userinfo}@")

    @property
    def endpoint(self) -> tuple[str, int]:
        """The host as the system wants it, and the port."""
        return self.host.strip("[]"), self.port or _PORTS[self.scheme]

    @property
    def authorization(self) -> str | None:
        """The ``Authorization`` header that the credentials make: Basic (RFC 7617, in UTF-8). Secret."""
        if not self.userinfo:
            return None
        user, _, password = self.userinfo.partition(":")
        return "Basic " + b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)).decode()

    def _written(self, userinfo: str) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{userinfo}{self.host}{port}{self.path}"


def normalised(url: str) -> str:
    """Return an ``http`` or ``https`` URL in the one form in which addresses are compared; others as they are."""
    return Address.parse(url).url if scheme_of(url) in _PORTS else url


def scheme_of(text: str) -> str:
    """Return the scheme of a URL in lower case; :exc:`InvalidPeer` if *text* is no URL."""
    match = _SCHEME.match(text)
    if match is None:
        host = text.rpartition("@")[2]
        scheme = "http" if host.startswith(_LOCAL) else "https"
        raise _invalid(text, f"has no scheme: write {scheme}://{host}" if _likely_host(host) else "is no URL")
    return match[1].lower()


def redacted(text: str) -> str:
    """Return *text* without what could be a secret in it, even if it is no URL: for messages."""
    before, at, rest = text.rpartition("@")
    scheme = _SCHEME.match(before)
    return (scheme[0] if scheme else "") + ("..." + at if at else "") + re.split(r"[?#]", rest)[0]


def _host(text: str, parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host:
        raise _invalid(text, "has no host: write https://example.org")
    try:
        if ":" in host and "%" not in host:
            return f"[{IPv6Address(host).compressed}]"
        ascii_host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except ValueError as error:
        raise _invalid(text, f"has a host that is none ({error})") from None
    if len(ascii_host) > 253 or not _HOST.fullmatch(ascii_host):
        raise _invalid(text, "has a host that is no name and no address")
    return ascii_host


def _likely_host(text: str) -> bool:
    return bool(re.match(r"[\w\[][\w.:\[\]-]*(/|$)", text))


def _invalid(text: str, what: str) -> InvalidPeer:
    peer = redacted(text)
    return InvalidPeer(f"{peer!r} {what}", peer=peer)

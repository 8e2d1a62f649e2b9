"""Where a request goes: the endpoint and what is asked there, from URLs that are ours or a stranger's. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

import attrs

from sessionctx.errors import BadAnswer, InvalidPeer
from sessionctx.transports.address import Address
from sessionctx.transports.headers import shown
from sessionctx.transports.public import not_public

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_URL: Final = re.compile(r"([^/?#]*//[^/?#]*)([^#]*)")
_SAFE: Final = "/?%:@!$&'()*+,;=~[]"


@attrs.frozen
class Target:
    """What a request line and its ``Host`` say."""

    endpoint: Address
    """Without credentials, and without a path."""
    path: str
    """With the query; never empty."""

    @classmethod
    def parse(cls, url: str) -> Target:
        """Take a URL apart; its credentials and its fragment are dropped. :exc:`InvalidPeer` if it is none."""
        match = _URL.match(url)
        base, path = match.groups() if match else (url, "")
        path = path if path.startswith("/") else "/" + path
        return cls(endpoint_at(base), quote(path, safe=_SAFE, errors="surrogateescape"))

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.endpoint.public + self.path

    def onward(self, status: int, location: str | None, peer: str) -> Target | None:
        """Return where an answer redirects to, if it does. :exc:`BadAnswer` if that is nowhere to go."""
        if status not in _REDIRECTS or location is None:
            return None
        try:
            # Some peers send bare UTF-8, which has been read byte by byte.
            url = urljoin(self.url, location.encode("latin-1", "replace").decode("utf-8", "surrogateescape"))
            scheme = urlsplit(url).scheme
            target = Target.parse(url) if scheme in ("", "http", "https") else None
        except (InvalidPeer, ValueError):
            raise BadAnswer(f"{peer} redirects to what is no URL", peer=peer) from None
        if target is None:
            raise BadAnswer(f"{peer} redirects to {shown(scheme)}, which is not HTTP", peer=peer)
        if (self.endpoint.scheme, target.endpoint.scheme) == ("https", "http"):
            raise BadAnswer(f"{peer} redirects from https to http, which is not followed", peer=peer)
        if _inside(target.endpoint.host) and not _inside(self.endpoint.host):
            raise BadAnswer(
                f"{peer} redirects from a public host to {target.endpoint.host}, which is not followed;"
                " if that is a gateway of yours, name it as a peer",
                peer=peer,
            )
        return target


@lru_cache(maxsize=1024)
def _inside(host: str) -> bool:
    """Whether a host, as it is written, is this machine or in its network. What a name stands for is not looked up."""
    return not_public(host) is not None


@lru_cache(maxsize=1024)
def endpoint_at(base: str) -> Address:
    """Return the endpoint of ``scheme://host:port``, without credentials. :exc:`InvalidPeer` if it is none."""
    return attrs.evolve(Address.parse(base), userinfo="")

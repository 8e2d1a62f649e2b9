"""Which transport asks which kind of address: by URL scheme. Other packages add theirs through an entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final, TypeAlias

from sessionctx.errors import InvalidPeer
from sessionctx.transports.address import redacted, scheme_of
from sessionctx.transports.base import Transport
from sessionctx.transports.gateway import GatewayTransport
from sessionctx.transports.http import HTTP

GROUP: Final = "sessionctx.transports"
"""The entry-point group: the name is a scheme, the object a callable that takes the URL and returns a `Transport`."""

Factory: TypeAlias = Callable[[str], Transport]

_factories: Final[dict[str, Factory]] = {"http": GatewayTransport, "https": GatewayTransport}


def open_transport(url: str, *, http: HTTP | None = None) -> Transport:
    """Return the transport that asks the peer at *url*; nothing is sent yet. *http* says how to speak HTTP with it.

    ``http`` and ``https`` are built in; the first address of another scheme looks for an installed package that has an
    entry point of that name in the group ``sessionctx.transports``. :exc:`InvalidPeer` if *url* is no URL, or nothing
    serves its scheme.
    """
    scheme = scheme_of(url)
    if http is not None and scheme in ("http", "https"):
        return GatewayTransport(url, http=http)
    factory = _factories.get(scheme)
    if factory is None:
        factory = _factories[scheme] = _load(scheme, redacted(url))
    return factory(url)


def _load(scheme: str, peer: str) -> Factory:
    for point in entry_points(group=GROUP, name=scheme):
        try:
            factory: Factory = point.load()
        except Exception as error:
            raise InvalidPeer(
                f"{peer!r}: the transport for {scheme}:// ({point.value}) cannot be loaded: {error!r}", peer=peer
            ) from error
        return factory
    raise InvalidPeer(
        f"{peer!r}: no transport serves {scheme}://; known are {', '.join(sorted(_factories))}."
        f" Install a package that offers it in the entry-point group {GROUP!r}",
        peer=peer,
    )

"""What ``peers=`` takes: addresses, or objects that have one. The layers above know what to do with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias


class HasUrl(Protocol):
    """Something that can be asked and has an address: a transport of your own, for example."""

    @property
    def url(self) -> str:
        """Its address, unique among the session's peers."""
        ...


PeerLike: TypeAlias = str | HasUrl
"""What ``peers=`` takes: an address, or an object that has one. The layers above know what to do with it."""


def _address(peer: PeerLike) -> str:
    address = peer if isinstance(peer, str) else getattr(peer, "url", None)
    if not isinstance(address, str) or not address:
        raise TypeError(f"a peer is an address (str) or an object with a url, not a {type(peer).__name__}")
    return address


def by_address(peers: Iterable[PeerLike]) -> dict[str, PeerLike]:
    """Return *peers* under their addresses, the first of each; raises `TypeError` if one cannot be a peer."""
    if isinstance(peers, str):
        raise TypeError("peers= takes a list of addresses, not one text; write peers=[...]")
    found: dict[str, PeerLike] = {}
    for peer in peers:
        found.setdefault(_address(peer), peer)
    return found

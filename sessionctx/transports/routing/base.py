"""What searching for peers needs of a router, so that others than ours can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sessionctx.content import CID
from sessionctx.transports.base import Transport
from sessionctx.transports.routing.records import Provider


class Routing(Protocol):
    """Somebody who can be asked who has a CID: a `Router`, or an object of your own."""

    @property
    def public(self) -> str:
        """Its address without credentials, for logs and errors."""
        ...

    def providers(self, cid: CID) -> AbstractAsyncContextManager[AsyncIterator[Provider]]:
        """Ask who has *cid*; the answers come as they arrive. Raises errors of the `PeerError` branch."""
        ...

    def transport(self, gateway: str) -> Transport:
        """Return how to ask one of the *gateways* of a `Provider` from here. :exc:`InvalidPeer`."""
        ...

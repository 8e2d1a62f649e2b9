"""A fake router: in memory, it knows which fake peers hold what, and answers on trio's clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

import attrs
import trio

from sessionctx.content import CID
from sessionctx.errors import InvalidPeer, PeerError
from sessionctx.transports import Provider, Transport

__all__ = ["FakeRouter"]


@attrs.define(eq=False)
class FakeRouter:
    """A router for tests: give it to ``Node.open(routers=[...])`` as it is.

    ::

        peer = lone_peer("https://a.example", blocks)
        router = FakeRouter.naming({root: [peer]})

    It names the first provider *latency* seconds after it was asked, and each further one *pause* seconds later.
    *faults* maps the number of a question (from 0) to the error that it gets; None for none.
    """

    known: dict[bytes, list[Provider]] = attrs.field(factory=dict[bytes, list[Provider]])
    """Providers by multihash: as with a real router, all CIDs of one multihash are the same."""
    transports: dict[str, Transport] = attrs.field(factory=dict[str, Transport])
    """How to ask each gateway that it names."""
    public: str = "https://router.example"
    latency: float = 0.1
    pause: float = 0.0
    faults: Callable[[int], PeerError | None] = lambda _: None

    asked: list[CID] = attrs.field(factory=list[CID], init=False)
    """Every question, in order."""
    in_flight: int = attrs.field(default=0, init=False)
    worst: int = attrs.field(default=0, init=False)
    """The most questions it ever had at a time."""

    @classmethod
    def naming(cls, holders: Mapping[CID, Iterable[Transport]], **options: object) -> Self:
        """Return a router that names *holders*: for each CID those who have it, such as `lone_peer` makes."""
        router = cls(**options)  # type: ignore[arg-type]
        for cid, peers in holders.items():
            for peer in peers:
                router.add(cid, peer)
        return router

    def add(self, cid: CID, peer: Transport) -> None:
        """Name *peer*, too, when asked for *cid* from now on."""
        protocols = ("transport-ipfs-gateway-http",)
        provider = Provider(id=peer.public, protocols=protocols, gateways=(peer.url,))
        self.known.setdefault(cid.multihash, []).append(provider)
        self.transports[peer.url] = peer

    def providers(self, cid: CID) -> AbstractAsyncContextManager[AsyncIterator[Provider]]:
        """Name those who have *cid*; see `Routing`."""
        return self._providers(cid)

    def transport(self, gateway: str) -> Transport:
        """Return the peer behind a gateway that it named. :exc:`InvalidPeer` for another one."""
        try:
            return self.transports[gateway]
        except KeyError:
            raise InvalidPeer(f"{gateway!r} is no gateway that {self.public} knows", peer=gateway) from None

    @asynccontextmanager
    async def _providers(self, cid: CID) -> AsyncGenerator[AsyncIterator[Provider]]:
        number = len(self.asked)
        self.asked.append(cid)
        self.in_flight += 1
        self.worst = max(self.worst, self.in_flight)
        try:
            await trio.sleep(self.latency)
            if (fault := self.faults(number)) is not None:
                fault.peer = self.public
                raise fault
            yield _Named(list(self.known.get(cid.multihash, ())), self.pause)
        finally:
            self.in_flight -= 1


@attrs.define(eq=False)
class _Named(AsyncIterator[Provider]):
    _left: list[Provider]
    _pause: float
    _begun: bool = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Provider:
        await trio.sleep(self._pause if self._begun else 0)
        self._begun = True
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

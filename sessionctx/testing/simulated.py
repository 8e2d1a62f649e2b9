"""A simulated peer: it answers, over its line and by its faults, on trio's clock. `Network.peer` makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from random import Random
from typing import Final, Literal, TypedDict

import attrs
import trio

from sessionctx.content import CID, Block, DagScope
from sessionctx.errors import NotHere, PeerError, PeerFailed
from sessionctx.testing.answers import Body, CarBody, SimulatedCar, Surroundings, wrong
from sessionctx.testing.cars import Question
from sessionctx.testing.chance import Chance, dice, draw
from sessionctx.testing.fates import Asked, Fate, Fault
from sessionctx.testing.line import CHUNK, Line
from sessionctx.transports import Can, CarAnswer, Progress

__all__ = ["Options", "SimulatedPeer", "Traffic"]

_NO_DICE: Final = Random(0)  # noqa: S311


@attrs.frozen(kw_only=True)
class Traffic:
    """What has been asked of a peer, or of a whole network, and what was sent."""

    requests: int
    blocks: int
    """Requests for one block."""
    cars: int
    """Requests for a CAR."""
    bytes: int
    """Bytes of all bodies, as far as they went."""
    in_flight: int
    worst: int
    """The most requests at a time."""


class Options(TypedDict, total=False):
    """What else can be said of a `SimulatedPeer`; see its attributes of these names."""

    connect: Chance
    patience: float
    can: Can
    order: Literal["dfs", "unk"]
    repeats: float
    strays: Sequence[Block]


@attrs.define(eq=False, kw_only=True)
class SimulatedPeer:
    """A `Transport` to a peer of a simulated network; give it to ``session.begin(peers=[...])`` as it is.

    All attributes may be changed while it runs, so that a test can turn a good peer into a bad one.
    """

    url: str
    network: Surroundings = attrs.field(repr=False)
    holds: Callable[[CID], bool] = attrs.field(repr=False)
    """Which blocks it has."""
    line: Line
    """What its answers go over, all together."""
    latency: Chance = 0.02
    """Seconds from a request to the first byte of its answer, when the line is free."""
    connect: Chance = 0.0
    """Seconds that a request takes longer for which there is no connection yet: as many stay open as were ever needed
    at a time."""
    faults: Sequence[Fault] = ()
    """What can go wrong; see `sessionctx.testing.fates`."""
    patience: float = 30.0
    """For how many seconds a silent answer is waited for; then it is `Stalled`, as with a real transport."""
    can: Can = attrs.field(factory=lambda: Can(car=True))
    """What it says that it can do. For one that says too much see `sessionctx.testing.fates.without_cars`."""
    order: Literal["dfs", "unk"] = "dfs"
    """In which order the blocks of a CAR come: depth first, or (``unk``) shuffled."""
    repeats: float = 0.0
    """The share of the blocks of a CAR that come twice."""
    strays: Sequence[Block] = ()
    """Blocks that nobody asked for, somewhere in each CAR."""
    chunk: int = CHUNK
    """Bytes that go over the line together; more of them make a simulation quicker and coarser."""

    asked: list[CID] = attrs.field(factory=list[CID], init=False, repr=False)
    """What it was asked for, in order."""
    _cars: int = attrs.field(default=0, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    _worst: int = attrs.field(default=0, init=False)
    _connections: int = attrs.field(default=0, init=False)
    _times: Counter[tuple[str, bytes]] = attrs.field(factory=Counter[tuple[str, bytes]], init=False, repr=False)

    @property
    def public(self) -> str:
        """Its address; it has no secrets."""
        return self.url

    @property
    def endpoint(self) -> str:
        """Its address; it shares nothing."""
        return self.url

    @property
    def traffic(self) -> Traffic:
        """What happened to it so far."""
        return Traffic(
            requests=len(self.asked),
            blocks=len(self.asked) - self._cars,
            cars=self._cars,
            bytes=self._bytes,
            in_flight=self._in_flight,
            worst=self._worst,
        )

    async def block(self, cid: CID, *, progress: Progress | None = None) -> bytes:
        """Answer with a block; see :meth:`Transport.block`."""
        with self._request("block", cid, progress) as body:
            await self._begin(body)
            data = self.find(cid)
            if data is None:
                raise self.named(NotHere(f"does not have {cid}"))
            await body.send(len(data), cid.multihash)
            return wrong(data) if body.coin(body.fate.lies) else data

    def car(
        self,
        cid: CID,
        *,
        path: str = "",
        scope: DagScope = "all",
        span: str | None = None,
        progress: Progress | None = None,
    ) -> AbstractAsyncContextManager[CarAnswer]:
        """Answer with a CAR, which ends early where it lacks a block; see :meth:`Transport.car`."""
        if not self.can.car:
            raise self.named(PeerFailed("serves no CARs"))
        return self._car(Question(cid, path, scope, span), progress)

    def find(self, cid: CID) -> bytes | None:
        """Return the bytes of *cid*, if this peer has them."""
        if cid.is_identity:
            return cid.digest
        return self.network.find(cid) if self.holds(cid) else None

    def named(self, error: PeerError) -> PeerError:
        """Return *error* as one of this peer."""
        return type(error)(f"{self.public} {error}", peer=self.public, **_more(error))

    def sends(self, size: int) -> None:
        """Count bytes of a body."""
        self._bytes += size

    # --- one request

    @asynccontextmanager
    async def _car(self, question: Question, progress: Progress | None) -> AsyncGenerator[CarAnswer]:
        with self._request("car", question.cid, progress) as body:
            await self._begin(body)
            listing = await self.network.listing(question)
            if listing.refusal is not None:
                raise self.named(listing.refusal)
            missing = next((cid for cid in listing.must if self.find(cid) is None), None)
            if missing is not None:
                raise self.named(NotHere(f"does not have {missing}"))
            yield SimulatedCar(self, question.cid, listing, body)

    @contextmanager
    def _request(self, what: Literal["block", "car"], cid: CID, progress: Progress | None) -> Generator[Body]:
        self._in_flight += 1
        self._worst = max(self._worst, self._in_flight)
        try:
            asked = Asked(what, cid, len(self.asked), self.network.now(), self._in_flight, self._dice(what, cid))
            self.asked.append(cid)
            self._cars += what == "car"
            fate = Fate()
            for fault in self.faults:
                fault(asked, fate)
            yield (CarBody if what == "car" else Body)(self, fate, asked.random, progress)
        finally:
            self._in_flight -= 1

    def _dice(self, what: str, cid: CID) -> Random:
        home = self.network.line
        chances = (self.latency, self.connect, self.line.rate, home.rate)
        if what == "block" and not self.faults and not any(map(callable, chances)):
            return _NO_DICE  # nobody rolls them; making some takes as long as half of the request
        key = what, cid.multihash
        self._times[key] += 1
        return dice(self.network.seed, self.url, what, cid.multihash, self._times[key])

    async def _begin(self, body: Body) -> None:
        """Wait for the head of the answer. Raises what the request comes to instead."""
        fate, wait = body.fate, draw(self.latency, body.random) + body.fate.delay
        if self._in_flight > self._connections:
            self._connections += 1
            wait += draw(self.connect, body.random)
        if fate.lost:
            await body.silence()
        await body.wait_until(trio.current_time() + wait)
        if fate.error is not None:
            raise self.named(fate.error)


def _more(error: PeerError) -> dict[str, float | None]:
    return {"retry_after": wait} if (wait := getattr(error, "retry_after", None)) is not None else {}

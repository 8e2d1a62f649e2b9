"""The answers of a simulated peer on their way: bytes over a line, cut and held up as fate wants it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import takewhile
from random import Random
from typing import Final, Literal, Protocol, Self

import trio

from sessionctx.content import CID, Block, car
from sessionctx.errors import CarTruncated, PeerError, PeerFailed, Stalled
from sessionctx.testing.cars import Listing, Question
from sessionctx.testing.chance import draw
from sessionctx.testing.fates import INF, Fate
from sessionctx.testing.line import Line
from sessionctx.transports import Progress

__all__ = ["Body", "CarBody", "Sender", "SimulatedCar", "Surroundings", "wrong"]


class Surroundings(Protocol):
    """What a peer needs of its network."""

    seed: int
    line: Line
    """The line of whoever asks."""

    def now(self) -> float:
        """Return the seconds since the first request to the network."""
        ...

    def find(self, cid: CID) -> bytes | None:
        """Return the bytes of a block that anybody holds."""
        ...

    async def listing(self, question: Question) -> Listing:
        """Return what belongs into a CAR."""
        ...

    def sent(self, name: bytes, size: int) -> None:
        """Note that *size* bytes of the block *name* were sent."""
        ...


class Sender(Protocol):
    """What an answer needs of its peer."""

    network: Surroundings
    line: Line
    patience: float
    chunk: int
    order: Literal["dfs", "unk"]
    repeats: float
    strays: Sequence[Block]

    @property
    def public(self) -> str:
        """Its address, for errors."""
        ...

    def find(self, cid: CID) -> bytes | None:
        """Return the bytes of *cid*, if this peer has them."""
        ...

    def named(self, error: PeerError) -> PeerError:
        """Return *error* as one of this peer."""
        ...

    def sends(self, size: int) -> None:
        """Count bytes of a body."""
        ...


class Body:
    """The body of one answer."""

    def __init__(self, peer: Sender, fate: Fate, random: Random, progress: Progress | None) -> None:
        self.peer = peer
        self.fate = fate
        self.random = random
        self.sent = 0
        self._progress = progress
        self._rate = draw(peer.line.rate, random) if callable(peer.line.rate) else None

    async def send(self, size: int, name: bytes) -> None:
        """Send all of *size* bytes of a block."""
        end = self.sent + size
        while self.sent < end:
            self.peer.network.sent(name, await self.step(end - self.sent))

    async def step(self, size: int) -> int:
        """Send a piece of the next *size* bytes, and return how many; or suffer what fate has in store here."""
        while (part := self._part(size)) == 0:
            await self._break()
        now, line, home = trio.current_time(), self.peer.line, self.peer.network.line
        rate = self._rate or draw(line.rate, self.random)  # a fixed one may be changed while it runs
        await self.wait_until(max(line.book(part, now, rate), home.book(part, now, draw(home.rate, self.random))))
        self.sent += part
        self.peer.sends(part)
        if self._progress is not None:
            self._progress.came(part)
        return part

    async def wait_until(self, moment: float) -> None:
        """Wait, unless the peer goes away before."""
        away = trio.current_time() + self.fate.gone_at - self.peer.network.now()
        await trio.sleep_until(min(moment, away))
        if moment > away:
            raise self.peer.named(PeerFailed("went away while it answered"))

    async def silence(self, seconds: float = INF) -> None:
        """Be silent for so many seconds, or until nobody waits any longer."""
        patience = self.peer.patience
        await self.wait_until(trio.current_time() + min(seconds, patience))
        if seconds >= patience:
            raise self.peer.named(Stalled(f"sent nothing for {patience:g} seconds"))

    def coin(self, share: float) -> bool:
        """Whether what happens to a *share* of all happens now."""
        return share >= 1.0 or (share > 0.0 and self.random.random() < share)

    def cut(self) -> Exception:
        """Return what a reader notices where the answer ends too early."""
        return self.peer.named(PeerFailed("closed the connection too early"))

    def _part(self, size: int) -> int:
        """Return how many bytes can go now: all that is ready, at most a chunk, and not over the next break."""
        fate = self.fate
        part = min(size, self.peer.chunk)
        for at in (fate.silent_after, fate.cut_after, fate.reset_after):
            if at is not None:
                part = min(part, max(at - self.sent, 0))
        return part

    async def _break(self) -> None:
        fate = self.fate
        if fate.silent_after is not None and fate.silent_after <= self.sent:
            await self.silence(fate.silent_for)
            fate.silent_after = None
            return
        await trio.lowlevel.checkpoint()
        if fate.reset_after is not None and fate.reset_after <= self.sent:
            raise self.peer.named(PeerFailed("broke the connection"))
        raise self.cut()


class CarBody(Body):
    """The body of a CAR."""

    def cut(self) -> Exception:
        """Return what a reader notices: maybe nothing, if it ends between two blocks."""
        if self.fate.cut_quietly:
            return StopAsyncIteration()
        return CarTruncated(f"{self.peer.public}: the CAR ends early")


class SimulatedCar:
    """A `CarAnswer`."""

    def __init__(self, peer: Sender, root: CID, listing: Listing, body: Body) -> None:
        self.order: Final = peer.order
        self.dups: Final = bool(peer.repeats)
        self.roots: tuple[CID, ...] | None = None
        self._peer = peer
        self._body = body
        self._root = root
        self._coming = _sections(peer, listing, body)
        self._end = len(car.encode_header((root,)))
        self._pieces: deque[tuple[int, CID, bytes]] = deque()
        """What is on its way, each with the number of bytes that have been sent when it is here."""
        self._ready: deque[tuple[CID, bytes]] = deque()
        self._ending: Exception | None = None
        """How it ends, once all has been put on its way."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[CID, bytes]:
        if self._ready:
            await trio.lowlevel.checkpoint()
        while not self._ready:
            try:
                await self._more()
            except Exception:  # nothing follows an error
                self._ending, self._end = StopAsyncIteration(), self._body.sent
                raise
        return self._ready.popleft()

    async def _more(self) -> None:
        """Send a piece, and take out of it what is whole."""
        self._load()
        if self._ending is not None and self._body.sent == self._end:
            await trio.lowlevel.checkpoint()
            raise self._ending
        await self._body.step(self._end - self._body.sent)
        self.roots = (self._root,)  # the header is in the first piece
        while self._pieces and self._pieces[0][0] <= self._body.sent:
            _, cid, data = self._pieces.popleft()
            self._peer.network.sent(cid.multihash, len(data))
            self._ready.append((cid, data))

    def _load(self) -> None:
        """Put sections on the way until they fill a chunk."""
        while self._ending is None and self._end - self._body.sent < self._peer.chunk:
            try:
                cid, data = next(self._coming)
            except StopIteration:
                self._ending = StopAsyncIteration()
            except CarTruncated as error:
                self._ending = error
            else:
                self._end += len(car.encode_prefix(cid, len(data))) + len(data)
                self._pieces.append((self._end, cid, data))


def _sections(peer: Sender, listing: Listing, body: Body) -> Iterator[tuple[CID, bytes]]:
    """Give the sections of a CAR in the order in which they are sent. Raises `CarTruncated` where it ends early."""
    places = sorted(body.random.randint(0, len(listing.cids)) for _ in peer.strays)
    strays = deque(zip(places, peer.strays, strict=True))
    for number, (cid, data) in enumerate(_ordered(peer, listing, body)):
        while strays and strays[0][0] <= number:
            stray = strays.popleft()[1]
            yield stray.cid, stray.data
        sent = cid, wrong(data) if body.coin(body.fate.lies) else data
        yield sent
        if body.coin(peer.repeats):
            yield sent
    yield from ((stray.cid, stray.data) for _, stray in strays)
    if not listing.whole or any(peer.find(cid) is None for cid in listing.cids):
        raise CarTruncated(f"{peer.public}: the CAR ends early: the next block is not here")


def _ordered(peer: Sender, listing: Listing, body: Body) -> Iterator[tuple[CID, bytes]]:
    """Give the blocks of a CAR that a peer can send, up to the first that it lacks."""
    found = ((cid, peer.find(cid)) for cid in listing.cids)
    held = ((cid, data) for cid, data in takewhile(lambda pair: pair[1] is not None, found) if data is not None)
    if peer.order == "dfs":
        return held
    shuffled = list(held)
    body.random.shuffle(shuffled)
    return iter(shuffled)


def wrong(data: bytes) -> bytes:
    """Return other bytes than *data*."""
    return bytes([data[0] ^ 1]) + data[1:] if data else b"\0"

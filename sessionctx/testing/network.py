"""A simulated network: peers that answer, lag, fail, lie and leave, on trio's clock and the same for each seed.

::

    from sessionctx.testing import samples
    from sessionctx.testing.chance import lognormal
    from sessionctx.testing.fates import busy, during, lying
    from sessionctx.testing.network import Network, simulate

    sample = samples.file(64 * MiB)

    async def main():
        network = Network(sample.blocks, seed=7)
        network.peer("near", latency=0.005, rate=10 * MiB)
        network.peer("far", latency=lognormal(0.1, 0.5), rate=2 * MiB, faults=[lying(0.001)])
        network.peer("half", 0.5, faults=[during(busy(retry_after=2), until=2)])
        with session.begin(peers=network.peers):
            ...
        assert trio.current_time() < 1.15 * network.seconds_at_line_rate(sample.size) + 1.0

    simulate(main)

Bytes, seconds, and bytes per second throughout. Nothing touches a socket, and nothing takes real time. What happens to
a request depends on the seed, the peer's name and what it asks for, and on how often that peer was asked for it: not on
other peers, nor on the order in which requests come. Which of two tasks is first at the same moment is decided by the
seed that `simulate` takes, so a whole run can be repeated.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeAlias, TypeVar, Unpack

import attrs
import trio
from trio.testing import MockClock

from sessionctx.content import CID, Block
from sessionctx.testing.cars import Listing, Question, Recorder, make_listing
from sessionctx.testing.chance import Chance, coin, dice
from sessionctx.testing.fates import Fault
from sessionctx.testing.line import CHUNK, Line
from sessionctx.testing.simulated import Options, SimulatedPeer, Traffic
from sessionctx.transports import Can

__all__ = ["Holdings", "Network", "SimulatedPeer", "Traffic", "lone_peer", "simulate"]

T = TypeVar("T")

Holdings: TypeAlias = "float | Iterable[Block] | Callable[[CID], bool]"
"""What a peer has: a share (0 to 1) of all blocks in the network, these blocks, or those that a function says."""


def simulate(async_fn: Callable[..., Awaitable[T]], *args: Any, seed: int = 0) -> T:
    """Run *async_fn* on a clock that starts at 0 and jumps to the next deadline when there is nothing to do.

    Of tasks that could run at the same moment, *seed* decides which is first; so a run can be repeated exactly, and
    other seeds are other runs.
    """
    with _ties_decided(seed):
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))


@contextmanager
def _ties_decided(seed: int) -> Generator[None]:
    """Let trio's scheduler roll dice that are known, in the way in which hypothesis makes it do so.

    There is no public way; where a trio to come has other dice, runs are right as before, and not the same each time.
    """
    scheduler = importlib.import_module("trio._core._run")
    before = getattr(scheduler, _ORDERLY, None)
    random = getattr(scheduler, "_r", None)
    if before is None or not isinstance(random, Random):
        yield
        return
    state = random.getstate()
    setattr(scheduler, _ORDERLY, True)
    random.seed(seed)
    try:
        yield
    finally:
        setattr(scheduler, _ORDERLY, before)
        random.setstate(state)


_ORDERLY: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"


@attrs.define(eq=False)
class Network:
    """Peers, and the blocks that they hold. It belongs to one trio run; use it in that one only.

    Args:
        blocks: what there is; peers hold all of it, or parts. More can be added.
        seed: of all that is left to chance.
        line: the line of whoever asks, over which all answers come; unlimited, by default.
    """

    _given: Iterable[Block] = attrs.field(default=(), alias="blocks", repr=False)
    seed: int = attrs.field(default=0, kw_only=True)
    line: Line = attrs.field(factory=Line, kw_only=True)

    _peers: dict[str, SimulatedPeer] = attrs.field(factory=dict[str, SimulatedPeer], init=False)
    _blocks: dict[bytes, bytes] = attrs.field(factory=dict[bytes, bytes], init=False, repr=False)
    _sent: dict[bytes, int] = attrs.field(factory=dict[bytes, int], init=False, repr=False)
    _listings: dict[Question, Listing] = attrs.field(factory=dict[Question, Listing], init=False, repr=False)
    _store: Recorder = attrs.field(factory=Recorder, init=False, repr=False)
    _unstored: list[Block] = attrs.field(factory=list[Block], init=False, repr=False)
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False, repr=False)
    _began: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.add(self._given)
        self._given = ()

    def add(self, blocks: Iterable[Block]) -> None:
        """Let there be these blocks, too; peers that hold a share of everything hold it of them."""
        for block in blocks:
            self._blocks[block.cid.multihash] = block.data
            self._unstored.append(block)
        self._listings.clear()

    def peer(
        self,
        name: str,
        holds: Holdings = 1.0,
        *,
        latency: Chance = 0.02,
        rate: Chance = 10 * 1024 * 1024,
        line: Line | None = None,
        faults: Sequence[Fault] = (),
        chunk: int = CHUNK,
        kind: type[SimulatedPeer] = SimulatedPeer,
        **options: Unpack[Options],
    ) -> SimulatedPeer:
        """Add a peer, and return it.

        Args:
            name: its address, or else that is ``sim://name``; no two peers may have the same (:exc:`ValueError`).
            holds: what it has; default: everything that is in the network, now or later.
            latency: seconds to the first byte of an answer.
            rate: bytes per second of all its answers together, over a line of its own.
            line: the line that it shares with other peers, instead of *rate*.
            faults: what can go wrong, see `sessionctx.testing.fates`.
            chunk: bytes that go over the line together.
            kind: a class of your own, instead.
            options: *connect*, *patience*, *can*, *order*, *repeats*, *strays*: see `SimulatedPeer`.
        """
        url = name if "://" in name else f"sim://{name}"
        if url in self._peers:
            raise ValueError(f"there is a peer called {name!r} already")
        peer = kind(
            url=url,
            network=self,
            holds=self._holdings(url, holds),
            line=line or Line(rate),
            latency=latency,
            faults=faults,
            chunk=chunk,
            **options,
        )
        self._peers[url] = peer
        return peer

    @property
    def peers(self) -> list[SimulatedPeer]:
        """All peers, in the order in which they were added."""
        return list(self._peers.values())

    # --- what happened

    @property
    def traffic(self) -> Traffic:
        """What happened to all peers together; *worst* is that of the peer that had the most requests at a time."""
        each = [peer.traffic for peer in self._peers.values()]
        return Traffic(
            requests=sum(one.requests for one in each),
            blocks=sum(one.blocks for one in each),
            cars=sum(one.cars for one in each),
            bytes=sum(one.bytes for one in each),
            in_flight=sum(one.in_flight for one in each),
            worst=max((one.worst for one in each), default=0),
        )

    def duplicates(self) -> dict[bytes, int]:
        """Return how many bytes of each block, by multihash, were sent beyond one whole copy, where there were any."""
        extra = {name: count - len(self._blocks.get(name, b"")) for name, count in self._sent.items()}
        return {name: count for name, count in extra.items() if count > 0}

    # --- what could have been

    def healthy(self) -> list[SimulatedPeer]:
        """Return the peers that have no faults."""
        return [peer for peer in self._peers.values() if not peer.faults]

    def seconds_at_line_rate(self, size: int, peers: Iterable[SimulatedPeer] | None = None) -> float:
        """Return how long *size* bytes take if all lines of these peers (default: the healthy ones) are always full.

        No scheduler can be faster. Lines that peers share count once, and the line of whoever asks is a limit, too.
        Latency is left out, and so is what peers do not have: nobody can fetch from those that lack what is missing.
        """
        lines = {peer.line: None for peer in (self.healthy() if peers is None else peers)}
        rate = min(sum(line.usual for line in lines), self.line.usual)
        return size / rate if rate else float("inf")

    # --- for the peers

    def now(self) -> float:
        """Return the seconds since the first request to the network."""
        now = trio.current_time()
        if self._began is None:
            self._began = now
        return now - self._began

    def find(self, cid: CID) -> bytes | None:
        """Return the bytes of a block that anybody holds."""
        return self._blocks.get(cid.multihash)

    async def listing(self, question: Question) -> Listing:
        """Return what belongs into a CAR."""
        async with self._lock:
            if question not in self._listings:
                fresh = tuple(self._unstored)
                await self._store.put_many(fresh)
                del self._unstored[: len(fresh)]  # only now: whoever asks may be cancelled meanwhile
                self._listings[question] = await make_listing(self._store, question)
            return self._listings[question]

    def sent(self, name: bytes, size: int) -> None:
        """Note that *size* bytes of the block *name* were sent."""
        self._sent[name] = self._sent.get(name, 0) + size

    def _holdings(self, url: str, holds: Holdings) -> Callable[[CID], bool]:
        if callable(holds):
            return holds
        if isinstance(holds, int | float):
            if holds >= 1.0:
                return lambda _: True
            salt = dice(self.seed, url, "holds").getrandbits(64)
            return lambda cid: coin(holds, salt, cid.multihash)
        these = tuple(holds)
        self.add(these)
        names = frozenset(block.cid.multihash for block in these)
        return lambda cid: cid.multihash in names


def lone_peer(
    url: str,
    blocks: Iterable[Block] = (),
    *,
    latency: Chance = 0.01,
    rate: Chance = float("inf"),
    faults: Sequence[Fault] = (),
    kind: type[SimulatedPeer] = SimulatedPeer,
    **options: Unpack[Options],
) -> SimulatedPeer:
    """Return a peer at *url* that holds *blocks*, in a network of its own, for tests with few of them.

    It sends single blocks only, unless *options* say what else it *can*. Everything else is as in `Network.peer`.
    """
    options.setdefault("can", Can())
    return Network().peer(url, blocks, latency=latency, rate=rate, faults=faults, kind=kind, **options)

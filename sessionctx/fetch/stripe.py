"""Stripes: which part of a DAG is worth a CAR, and what of it is still missing while that comes. Pure.

Where blocks are large, bytes take the time, and each block is asked for by itself, from whoever brings it soonest.
Where they are small, round trips do, and one CAR brings all that hangs below a name in one of them. Its blocks come
depth first: so what it will bring last is the far end of what is missing, and others can begin there meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

import attrs

from sessionctx.content import CID, Block, DagScope
from sessionctx.errors import SessionctxError

STRIPE: Final = 4 * 1024 * 1024
"""Bytes that one CAR should bring at most, as far as they are known before: more is divided among the peers."""
SMALL: Final = 32 * 1024
"""Bytes; asking for a block that is smaller takes longer than sending it, on any line."""
MANY: Final = 8
"""Small blocks below one name that are worth a CAR."""
MOST_EXPECTED: Final = 1_000_000
"""Names that are kept track of for one CAR; what goes beyond them is got block by block."""

Follow = Callable[[Block], Iterable[CID]]
"""Which of the links of a block lead to what is wanted, too."""


def is_stripe(size: int | None) -> bool:
    """Whether what hangs below a link, *size* bytes by what is said of it, is worth one CAR."""
    return size is not None and 0 < size <= STRIPE


def is_flat(count: int, size: int, *, small: float = SMALL) -> bool:
    """Whether *count* leaves of *size* bytes in all are so small, on average, that one CAR of them saves time."""
    return count >= MANY and size <= small * count


def small_block(latency: float, rate: float, in_flight: int) -> float:
    """Return how many bytes a block must have, for round trips not to slow down a line: *latency* seconds long, with
    *rate* bytes per second, and so many requests *in_flight* on it.
    """
    return max(SMALL, latency * rate / in_flight)


def everything(block: Block) -> Iterable[CID]:
    """Follow all links."""
    return block.links()


@attrs.define(eq=False)
class _Run:
    """Links of one block that are missing, between the runs that come *sooner* and *later*: a ring around an empty one,
    so that no change takes longer the more of them there are.
    """

    links: OrderedDict[bytes, CID] = attrs.field(factory=OrderedDict[bytes, CID])
    """(A plain dict would look for its first one among all that have left.)"""
    sooner: _Run = attrs.field(init=False, repr=False)
    later: _Run = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.sooner = self.later = self

    def enter(self, sooner: _Run) -> None:
        """Take the place right behind *sooner*."""
        self.sooner, self.later = sooner, sooner.later
        sooner.later = self.later.sooner = self

    def leave(self) -> None:
        """Close the gap."""
        self.sooner.later, self.later.sooner = self.later, self.sooner


@attrs.define(eq=False)
class Sweep:
    """What one CAR is to bring, and what of it is still missing, as far as that is known."""

    root: CID
    size: int | None = None
    """Bytes in all, by what is said of it."""
    follow: Follow = everything
    path: str = ""
    scope: DagScope = "all"
    span: str | None = None
    exact: bool = True
    """Whether all that `follow` leads to will come; otherwise some of that may not."""
    near: CID | None = None
    """A block whose giver is asked first: the root, or one that links to it."""
    came: int = attrs.field(default=0, init=False)
    """Bytes of the blocks that have come."""
    blocks: int = attrs.field(default=0, init=False)
    _ends: _Run = attrs.field(factory=_Run, init=False, repr=False)
    """Before what comes next, and behind what comes last."""
    _run_of: dict[bytes, _Run] = attrs.field(factory=dict[bytes, "_Run"], init=False, repr=False)
    _seen: set[bytes] = attrs.field(factory=set[bytes], init=False)

    def __attrs_post_init__(self) -> None:
        self._expect([self.root], self._ends)

    def __len__(self) -> int:
        return len(self._run_of)

    def expects(self, name: bytes) -> bool:
        """Whether the block with this multihash is missing, and part of it."""
        return name in self._run_of

    def includes(self, name: bytes) -> bool:
        """Whether all that hangs below this multihash is part of it, whether that block itself has come or not."""
        return name in self._run_of or (name in self._seen and self.exact and self.follow is everything)

    def has(self, name: bytes) -> bool:
        """Whether the block with this multihash is part of it, and has come."""
        return name in self._seen

    @property
    def done(self) -> bool:
        """Whether nothing is missing."""
        return self.exact and not self._run_of

    def arrived(self, block: Block) -> None:
        """Take note of a verified block, from wherever it came; what it links to is expected from now on."""
        name = block.cid.multihash
        run = self._run_of.pop(name, None)
        if run is None:
            return
        cid = run.links[name]
        first = next(iter(run.links)) == name  # then its links come next; or else when all of these have come
        del run.links[name]
        self._seen.add(name)
        self.blocks += 1
        self.came += len(block.data)
        with suppress(SessionctxError):  # what cannot be read leads nowhere; whoever walks will say so
            self._expect(self.follow(Block.vouched(cid, block.data)), run.sooner if first else run)
        if not run.links:
            run.leave()

    def next(self) -> CID | None:
        """Return what should come next, if the CAR is depth first."""
        return next(iter(self._ends.later.links.values()), None)

    def from_the_end(self) -> Iterator[CID]:
        """Iterate over what is known to be missing, beginning with what should come last."""
        run = self._ends.sooner
        while run is not self._ends:
            yield from reversed(run.links.values())
            run = run.sooner

    def mean(self) -> float:
        """Return the bytes of a block, on average."""
        return self.came / self.blocks if self.blocks else float(SMALL)

    def left(self) -> float:
        """Return about how many bytes are still to come."""
        known = len(self._run_of) * self.mean()
        return known if self.size is None else max(known, self.size - self.came)

    def _expect(self, links: Iterable[CID], sooner: _Run) -> None:
        run = _Run()
        try:
            for cid in links:
                name = cid.multihash
                if cid.is_identity or name in self._seen or name in self._run_of:
                    continue
                if len(self._run_of) >= MOST_EXPECTED:
                    self.exact = False
                    break
                run.links[name] = cid
                self._run_of[name] = run
        finally:  # those before one that cannot be read count, too
            if run.links:
                run.enter(sooner)

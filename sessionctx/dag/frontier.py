"""Which block of a DAG comes next, and which to get ahead of it. Pure: no waiting here.

The frontier is the part of the depth-first order that begins at the next block to hand out, as a linked list of

- *items*: blocks which were claimed, that is, somebody gets them or has got them; and
- *runs*: links of one block which nobody has looked at yet, lazily.

When a block has arrived, its links become a run right behind it. Claiming takes the first link of the first run: so
what is fetched is always what will be needed first, as far as that is known. Each claim costs O(1), after each block
that has links a walk over the items in front of the first run, which are few.

How many blocks may be on their way, and how many leaves may wait, is the *width*. A narrow frontier begins with one, so
that nothing competes with the first leaf, and widens with what is handed out: each leaf makes room for one more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

import attrs

from sessionctx.content import CID, Block
from sessionctx.errors import DagTooDeep

T = TypeVar("T")
V = TypeVar("V")

Visit = Callable[[Block, T], tuple[V, Iterable[tuple[CID, T]]]]
"""What to make of a block: the value to hand out, and the links to follow with a tag for each. May raise."""

AHEAD: Final = 32
"""Blocks that are fetched ahead of the one handed out."""
AHEAD_BYTES: Final = 32 * 1024 * 1024
"""Bytes of blocks that may wait to be handed out."""
MAX_DEPTH: Final = 1024
"""Links below the root at which a walk ends with an error."""
OVERHEAD: Final = 1024
"""Bytes counted for each block that waits, on top of its own."""
NARROW: Final = 4
"""How wide a narrow frontier is once its first leaf is handed out."""


@attrs.frozen
class Ahead:
    """How much may be on its way, or wait, ahead of what was handed out. :exc:`ValueError` if nothing could be got."""

    blocks: int = AHEAD
    bytes: int = AHEAD_BYTES
    narrow: bool = False

    def __attrs_post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(f"ahead must be at least 1, not {self.blocks}")


class Item(Generic[T, V]):
    """A block that was claimed."""

    __slots__ = ("cid", "depth", "done", "error", "leaf", "next", "parent", "serial", "size", "tag", "value")

    def __init__(
        self, cid: CID | None, tag: T, depth: int, after: Item[T, V] | Run[T, V] | None, parent: CID | None = None
    ) -> None:
        self.cid = cid  # None for an error between blocks
        self.parent = parent
        self.tag = tag
        self.depth = depth
        self.next = after
        self.serial = 0
        self.value: V | None = None
        self.size = 0
        self.error: Exception | None = None
        self.done = False
        self.leaf = False


class Run(Generic[T, V]):
    """Links that were not looked at yet."""

    __slots__ = ("depth", "links", "next", "parent")

    def __init__(
        self,
        links: Iterator[tuple[CID, T]],
        depth: int,
        after: Item[T, V] | Run[T, V] | None,
        parent: CID | None = None,
    ) -> None:
        self.parent = parent
        self.links = links
        self.depth = depth
        self.next = after


class Frontier(Generic[T, V]):
    """The next blocks of a walk. See the module for how it works; `walk` for what the limits mean."""

    def __init__(
        self,
        root: CID,
        tag: T,
        visit: Visit[T, V],
        ahead: Ahead,
        *,
        dups: bool,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        self.root = root
        self._visit = visit
        self._ahead = ahead.blocks
        self._width = 1 if ahead.narrow else ahead.blocks
        self._ahead_bytes = ahead.bytes
        self._max_depth = max_depth
        self._seen: set[CID] | None = None if dups else set()
        start: Run[T, V] = Run(iter([(root, tag)]), 0, None)
        self._head: Item[T, V] = Item(root, tag, -1, start)  # stands in front of the first, and is none itself
        self._gap = self._head  # no run between the head and here
        self._claimed: dict[CID | None, int] = {}
        self._fetching = 0
        self._waiting = 0  # leaves that are here and not handed out
        self._bytes = 0  # of all that is here and not handed out
        self._serial = 0  # of the last claim
        self._moved = 0  # the last claim when the gap last moved back: what was claimed before may be behind it
        self._droppable = False  # whether leaves may wait behind the gap
        self._largest = 0

    # --- what the shell asks

    @property
    def finished(self) -> bool:
        """Whether all has been handed out."""
        return self._head.next is None

    def claim(self) -> Item[T, V] | None:
        """Return the next block to get, or ``None`` if there is none, or if enough is on its way."""
        while self._fetching < self._width:
            run = self._first_run()
            if run is None or not self._room():
                return None
            item = self._pull(run)
            if item is not None and not item.done:
                self._fetching += 1
                return item
        return None

    def arrived(self, item: Item[T, V], block: Block) -> None:
        """Take note of a block that was claimed and has been got."""
        try:
            value, links = self._visit(block, item.tag)
            run: Run[T, V] = Run(iter(links), item.depth + 1, item.next, item.cid)
            first = next(run.links, None)
        except Exception as error:  # noqa: BLE001  # surfaces at its place in the order
            self.failed(item, error)
            return
        self._fetching -= 1
        item.value, item.size, item.done = value, len(block.data) + OVERHEAD, True
        self._bytes += item.size
        self._largest = max(self._largest, item.size)
        if first is None:
            item.leaf = True
            self._waiting += 1
            self._droppable |= item.serial <= self._moved
        else:
            run.links = _chain(first, run.links)
            item.next = run
            self._gap = self._head
            self._moved = self._serial
            self._droppable = True

    def failed(self, item: Item[T, V], error: Exception) -> None:
        """Take note of a block that was claimed and could not be got."""
        self._fetching -= 1
        item.error, item.done = error, True

    def take(self) -> Item[T, V] | None:
        """Return the next block in the order, done, and forget it; ``None`` if it has not arrived yet."""
        while isinstance(item := self._head.next, Item) and item.done:
            self._remove(item)
            if self._seen is not None and item.cid is not None:
                if item.cid in self._seen:
                    continue
                self._seen.add(item.cid)
            if item.leaf and self._width < self._ahead:
                self._width = min(max(self._width + 1, NARROW), self._ahead)
            return item
        return None

    def coming(self) -> Iterator[Item[T, V]]:
        """Give what was claimed and not handed out, in order, up to the first link that nobody has looked at."""
        at = self._head.next
        while isinstance(at, Item):
            yield at
            at = at.next

    @property
    def ready(self) -> bool:
        """Whether `take` would return something (or, rarely, find that it was handed out before)."""
        return isinstance(item := self._head.next, Item) and item.done

    # --- inside

    def _first_run(self) -> Run[T, V] | None:
        """Move the gap to just before the first run, and return that."""
        at = self._gap
        while isinstance(at.next, Item):
            at = at.next
        self._gap = at
        return at.next

    def _pull(self, run: Run[T, V]) -> Item[T, V] | None:
        """Claim the first link of the *run* behind the gap; ``None`` if there is nothing to get for it."""
        error: Exception | None = None
        cid: CID | None = None
        tag = self._head.tag
        try:
            cid, tag = next(run.links)
        except StopIteration:
            self._gap.next = run.next
            return None
        except Exception as found:  # noqa: BLE001  # surfaces at its place in the order
            error = found
            run.links = iter(())
        if self._skip(cid):
            return None
        item = Item(cid, tag, run.depth, run, run.parent)
        self._serial = item.serial = self._serial + 1
        self._gap.next = self._gap = item
        self._claimed[cid] = self._claimed.get(cid, 0) + 1
        if error is None and item.depth > self._max_depth:
            error = DagTooDeep(f"{cid} is more than {self._max_depth} links below the root of the walk")
        if error is not None:
            item.error, item.done = error, True
        return item

    def _skip(self, cid: CID | None) -> bool:
        """Whether the block was handed out before, or will be before it could be here."""
        if self._seen is None or cid is None:
            return False
        return cid in self._seen or (cid in self._claimed and any(item.cid == cid for item in self._before_gap()))

    def _before_gap(self) -> Iterator[Item[T, V]]:
        at = self._head
        while at is not self._gap and isinstance(at.next, Item):
            at = at.next
            yield at

    def _room(self) -> bool:
        """Whether what is here and on its way leaves room for one more; the very next one always has room."""
        while self._gap is not self._head:
            fits = self._bytes + (self._fetching + 1) * self._largest <= self._ahead_bytes
            if fits and self._waiting < self._width:
                break
            found = self._last_leaf() if self._droppable else None
            if found is None:
                self._droppable = False
                return False
            if fits and self._waiting < self._ahead:
                break  # what waits behind the gap keeps nobody in front of it from being got
            self._drop(*found)
        return True

    def _last_leaf(self) -> tuple[Item[T, V], Item[T, V] | Run[T, V]] | None:
        """Return the last leaf that waits behind the gap, and what stands before it."""
        at: Item[T, V] | Run[T, V] | None = self._gap.next
        found: tuple[Item[T, V], Item[T, V] | Run[T, V]] | None = None
        while at is not None:
            if isinstance(at.next, Item) and at.next.leaf:
                found = at.next, at
            at = at.next
        return found

    def _drop(self, leaf: Item[T, V], before: Item[T, V] | Run[T, V]) -> None:
        """Give up a leaf that is here, to be got again later: others are needed before it."""
        assert leaf.cid is not None
        self._remove(leaf, before)
        before.next = Run(iter([(leaf.cid, leaf.tag)]), leaf.depth, leaf.next, leaf.parent)

    def _remove(self, item: Item[T, V], before: Item[T, V] | Run[T, V] | None = None) -> None:
        (before or self._head).next = item.next
        if self._gap is item:
            self._gap = self._head
        self._bytes -= item.size
        self._waiting -= item.leaf
        count = self._claimed.pop(item.cid) - 1
        if count:
            self._claimed[item.cid] = count


def _chain(first: tuple[CID, T], rest: Iterator[tuple[CID, T]]) -> Iterator[tuple[CID, T]]:
    yield first
    yield from rest

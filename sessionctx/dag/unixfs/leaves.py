"""Making leaves of chunks, in order, on two cores: hashing lets go of Python's lock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from sessionctx.dag.unixfs.build import Leaf, make_leaf
from sessionctx.dag.unixfs.profile import Profile

WORTH: Final = 64 * 1024
"""Bytes from which a chunk is worth the way to another thread."""


class Leaves:
    """Takes chunks, and gives their leaves. Used by one thread; has one more to help it, from the first need on."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._pool: ThreadPoolExecutor | None = None
        self._helping: Future[Leaf] | None = None
        self._leaves: list[Leaf | Future[Leaf]] = []
        self.bytes = 0
        """Of the chunks whose leaves wait to be taken."""

    def add(self, chunk: bytes) -> None:
        """Take the next chunk: for the helper if it is idle, and otherwise here. The first is made here, too."""
        self.bytes += len(chunk)
        idle = self._helping is None or self._helping.done()
        if idle and self._leaves and len(chunk) >= WORTH:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "leaves")
            self._helping = self._pool.submit(make_leaf, self._profile, chunk)
            self._leaves.append(self._helping)
        else:
            self._leaves.append(make_leaf(self._profile, chunk))

    def take(self) -> Iterator[Leaf]:
        """Give the leaves of the chunks so far, in order."""
        leaves, self._leaves, self.bytes = self._leaves, [], 0
        for leaf in leaves:
            yield leaf.result() if isinstance(leaf, Future) else leaf

    def close(self) -> None:
        """End the helper."""
        if self._pool is not None:
            self._pool.shutdown()

"""Making leaves of chunks, in order, on two cores: hashing lets go of Python's lock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from sessionctx.dag.unixfs.build import Leaf, make_leaf
from sessionctx.dag.unixfs.profile import Profile

GROUP: Final = 1024 * 1024
"""Bytes of chunks that are worth the way to another thread."""


class Leaves:
    """Takes chunks, and gives their leaves. Used by one thread; has one more to help it, from the first need on."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._pool: ThreadPoolExecutor | None = None
        self._helping: Future[list[Leaf]] | None = None
        self._made: list[list[Leaf] | Future[list[Leaf]]] = []
        self._group: list[bytes] = []
        self._grouped = 0
        self.bytes = 0
        """Of the chunks whose leaves wait to be taken."""

    def add(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self.bytes += len(chunk)
        self._grouped += len(chunk)
        self._group.append(chunk)
        if self._grouped >= GROUP:
            self._make()

    def take(self) -> Iterator[Leaf]:
        """Give the leaves of the chunks so far, in order."""
        if self._group:
            self._make()
        made, self._made, self.bytes = self._made, [], 0
        for leaves in made:
            yield from leaves.result() if isinstance(leaves, Future) else leaves

    def close(self) -> None:
        """End the helper."""
        if self._pool is not None:
            self._pool.shutdown()

    def _make(self) -> None:
        """Let the helper make what was grouped if it is idle, and otherwise do it here. The first is made here, too."""
        group, self._group, self._grouped = self._group, [], 0
        if self._made and (self._helping is None or self._helping.done()):
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "leaves")
            self._helping = self._pool.submit(_leaves, self._profile, group)
            self._made.append(self._helping)
        else:
            self._made.append(_leaves(self._profile, group))


def _leaves(profile: Profile, chunks: list[bytes]) -> list[Leaf]:
    return [make_leaf(profile, chunk) for chunk in chunks]

"""How many bytes a share may keep, and which of its blobs go first to make room: the least recently used. Pure."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Self

import attrs


@attrs.define(eq=False)
class Room:
    """The blobs that are kept, by id. Only those may go that were loaded from others, and that nobody uses now."""

    most: int | None
    """Bytes; None: as many as there are."""
    used: int = attrs.field(default=0, init=False)
    """Bytes of those that are kept, and of those that are being written."""
    _sizes: OrderedDict[str, int] = attrs.field(factory=OrderedDict[str, int], init=False)
    """The least recently used first."""
    _own: set[str] = attrs.field(factory=set[str], init=False)
    _held: Counter[str] = attrs.field(factory=Counter[str], init=False)

    def fits(self, size: int) -> bool:
        """Whether there is room for *size* bytes more."""
        return self.most is None or self.used + size <= self.most

    def put(self, resource_id: str, size: int) -> None:
        """Count a blob as kept, and as used last."""
        self.drop(resource_id)
        if self.most is not None:  # otherwise nothing ever goes, and nothing need be known
            self._sizes[resource_id] = size
            self.used += size

    def drop(self, resource_id: str) -> None:
        """Count a blob no more."""
        self.used -= self._sizes.pop(resource_id, 0)
        self._own.discard(resource_id)

    def own(self, resource_id: str) -> None:
        """It was shared here, and others may load it from here: it does not go."""
        if resource_id in self._sizes:
            self._own.add(resource_id)

    def touch(self, resource_id: str) -> None:
        """It was used."""
        if resource_id in self._sizes:
            self._sizes.move_to_end(resource_id)

    @contextmanager
    def hold(self, resource_id: str) -> Generator[None]:
        """Keep a blob for the length of the block, whether it is here already or comes meanwhile."""
        self._held[resource_id] += 1
        try:
            yield
        finally:
            self._held[resource_id] -= 1
            if not self._held[resource_id]:
                del self._held[resource_id]

    def oldest(self) -> str | None:
        """Return the id of the blob that goes next, as far as is known here; None if none may."""
        return next((each for each in self._sizes if each not in self._own and each not in self._held), None)


@attrs.define
class Reservation:
    """Room that is taken for something that is being written; given back when the block is left."""

    _room: Room
    size: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.used -= self.size
        self.size = 0

    def take(self, size: int) -> None:
        """Take *size* bytes more."""
        self._room.used += size
        self.size += size

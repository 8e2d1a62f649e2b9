"""A batch: what was put and deleted, and is not written yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from sessionctx.blocks.on_storage.rows import Place, key_of
from sessionctx.content import CID, Block


@attrs.define(eq=False)
class Batch:
    """For each key the last that was done to it: a block that was put, or None where one was deleted."""

    done: dict[bytes, Block | None] = attrs.field(factory=dict[bytes, "Block | None"])
    size: int = 0
    """Bytes of the blocks."""
    instead: dict[bytes, Place] = attrs.field(factory=dict[bytes, Place])
    """Where those have to be that are written again, elsewhere. The others are written if they are nowhere."""
    places: dict[bytes, Place] = attrs.field(factory=dict[bytes, Place])
    """Where those are that were uploaded, though not committed yet."""
    uploaded: float = 0.0
    """When the first of these was: seconds since 1970."""

    def put(self, block: Block, *, instead: Place | None = None) -> None:
        """Note that the block was put; or that it is to be moved from the place where it is."""
        key = key_of(block.cid.multihash)
        self._note(key, block)
        if instead is not None:
            self.instead[key] = instead

    def add(self, other: Batch) -> None:
        """Take in another one, which has none of the same blocks."""
        self.done |= other.done
        self.instead |= other.instead
        self.size += other.size

    def changes(self, kept: Mapping[bytes, Place]) -> tuple[dict[bytes, Block], list[bytes]]:
        """Return which blocks have to be written, and which keys deleted, where *kept* is what is kept already."""
        lacking = {
            key: block
            for key, block in self.done.items()
            if block is not None and kept.get(key) == self.instead.get(key)
        }
        return lacking, [key for key, block in self.done.items() if block is None and key in kept]

    def delete(self, cid: CID) -> None:
        """Note that the block was deleted."""
        self._note(key_of(cid.multihash), None)

    def _note(self, key: bytes, block: Block | None) -> None:
        before = self.done.pop(key, None)
        self.done[key] = block
        self.size += (len(block.data) if block else 0) - (len(before.data) if before else 0)

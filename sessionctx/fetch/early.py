"""Early blocks: what a CAR brings before the block that links to it, kept until that one names it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs

from sessionctx.content import CID
from sessionctx.fetch.stripe import Sweep

EARLY: Final = 256 * 1024
"""Bytes of early blocks that are kept of one CAR."""
EACH: Final = 256
"""Bytes that a block counts for on top of its own, so that empty ones are not without number."""


@attrs.define(eq=False)
class Early:
    """Blocks of one answer that nothing has named yet, and nobody has verified. The oldest make room for others."""

    gave_way: bool = attrs.field(default=False, init=False)
    """Whether some did: then what is missing in the end may have been here."""
    _blocks: OrderedDict[bytes, tuple[CID, bytes]] = attrs.field(
        factory=OrderedDict[bytes, tuple[CID, bytes]], init=False
    )
    _bytes: int = attrs.field(default=0, init=False)

    def keep(self, cid: CID, data: bytes) -> None:
        """Take in a block; of several for one name, the first one counts."""
        if cid.multihash in self._blocks:
            return
        self._blocks[cid.multihash] = cid, data
        self._bytes += EACH + len(data)
        while self._bytes > EARLY:
            self._forget(next(iter(self._blocks)))
            self.gave_way = True

    def named(self, sweep: Sweep) -> tuple[CID, bytes] | None:
        """Give away one that *sweep* expects by now, if there is any."""
        for name in self._blocks:
            if sweep.expects(name):
                return self._forget(name)
        return None

    def _forget(self, name: bytes) -> tuple[CID, bytes]:
        cid, data = self._blocks.pop(name)
        self._bytes -= EACH + len(data)
        return cid, data

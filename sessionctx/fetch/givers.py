"""Givers: who had a block probably has what it links to."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs

from sessionctx.content import CID, RAW
from sessionctx.peers import Record

MOST: Final = 16_384
"""Blocks with links of which it is remembered who gave them; the oldest are forgotten first."""


@attrs.define(eq=False)
class Givers:
    """Who gave the blocks that link to others. It matters as soon as some peer was found to lack something."""

    matters: bool = attrs.field(default=False, init=False)
    """Whether not everybody has everything."""
    _givers: OrderedDict[bytes, Record] = attrs.field(factory=OrderedDict[bytes, Record], init=False)

    def note(self, cid: CID, giver: Record) -> None:
        """Remember that *giver* had the block."""
        if cid.codec != RAW:
            self._givers[cid.multihash] = giver
            if len(self._givers) > MOST:
                self._givers.popitem(last=False)

    def of(self, near: CID | None) -> tuple[Record, ...]:
        """Return who had the block *near*, if that is known and matters."""
        giver = self._givers.get(near.multihash) if near is not None and self.matters else None
        return () if giver is None else (giver,)

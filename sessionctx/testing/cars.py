"""What belongs into a CAR, whoever sends it: worked out once for a network, by the code that a gateway runs."""

from __future__ import annotations

import attrs

from sessionctx import session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID, Block, DagScope
from sessionctx.dag import car_stream
from sessionctx.errors import BadAnswer, BlockNotFound, NotFound, NotHere, PeerError, SessionctxError

__all__ = ["Listing", "Question", "Recorder", "make_listing"]


@attrs.frozen
class Question:
    """What a CAR is asked for; see :meth:`Transport.car`."""

    cid: CID
    path: str = ""
    scope: DagScope = "all"
    span: str | None = None


@attrs.frozen
class Listing:
    """The blocks of a CAR, depth first, each once."""

    cids: tuple[CID, ...] = ()
    must: tuple[CID, ...] = ()
    """Those without which there is no answer at all: the way to the end of the path, and what is there."""
    whole: bool = True
    """False if it ends where nobody in the network has the next block."""
    refusal: PeerError | None = None
    """Why there is no such CAR."""


class Recorder(MemoryBlockstore):
    """Blocks in memory, and which of them were read, in order, until one was not there."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[CID, None] = {}
        self.missed = False

    async def get(self, cid: CID) -> Block:
        """Return the block, and remember that."""
        try:
            block = await super().get(cid)
        except BlockNotFound:
            self.missed = True
            raise
        if not self.missed and not cid.is_identity:  # CARs leave out what a name says itself
            self.read[cid] = None
        return block


async def make_listing(store: Recorder, question: Question) -> Listing:
    """Return what belongs into the CAR, as far as the blocks in *store* tell; one call at a time."""
    store.read.clear()
    store.missed = False
    whole = True
    with session.leave():  # it is the peer who works here, not whoever asks
        try:
            async with car_stream(
                store, question.cid, path=question.path, scope=question.scope, span=question.span, ahead=1
            ) as chunks:
                must = tuple(store.read)
                try:
                    async for _ in chunks:
                        pass
                except SessionctxError:
                    whole = False
        except NotFound as error:
            return Listing(refusal=NotHere(f"does not have it (404): {error}"))
        except SessionctxError as error:
            return Listing(refusal=BadAnswer(f"cannot make this CAR (422): {error}"))
    return Listing(tuple(store.read), must, whole)

"""What belongs into a CAR, whoever sends it: worked out once for a network, by the code that a gateway runs."""

from __future__ import annotations

import attrs

from sessionctx import session
from sessionctx.blocks import Blockstore
from sessionctx.content import CID, CarDecoder
from sessionctx.dag import car_stream
from sessionctx.errors import BadAnswer, NotFound, NotHere, PeerError, SessionctxError
from sessionctx.transports import Scope

__all__ = ["Listing", "Question", "make_listing"]


@attrs.frozen
class Question:
    """What a CAR is asked for; see :meth:`Transport.car`."""

    cid: CID
    path: str = ""
    scope: Scope = "all"
    span: str | None = None


@attrs.frozen
class Listing:
    """The blocks of a CAR, depth first, each once."""

    cids: tuple[CID, ...] = ()
    must: frozenset[CID] = frozenset()
    """Those without which there is no answer at all: the way to the end of the path, and what is there."""
    whole: bool = True
    """False if it ends where nobody in the network has the next block."""
    refusal: PeerError | None = None
    """Why there is no such CAR."""


async def make_listing(store: Blockstore, question: Question) -> Listing:
    """Return what belongs into the CAR, as far as the blocks in *store* tell."""
    decoder, found, whole = CarDecoder(), list[CID](), True
    with session.leave():  # it is the peer who works here, not whoever asks
        try:
            async with car_stream(
                store, question.cid, path=question.path, scope=question.scope, span=question.span
            ) as chunks:
                must = frozenset((*chunks.resolved.trail, chunks.resolved.cid))
                try:
                    async for chunk in chunks:
                        found += [cid for cid, _ in decoder.feed(chunk)]
                except SessionctxError:
                    whole = False
        except NotFound as error:
            return Listing(refusal=NotHere(f"does not have it (404): {error}"))
        except SessionctxError as error:
            return Listing(refusal=BadAnswer(f"cannot make this CAR (422): {error}"))
    return Listing(tuple(found), must, whole)

"""What every transport promises: how to ask ONE peer, knowing nothing of sessions or of other peers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self

import attrs

from sessionctx.content import CID, DagScope


class Progress(Protocol):
    """Whoever wants to know how a request gets on. Both calls are plain and quick, and do not raise."""

    def sent(self) -> None:
        """It goes out now, after a wait for its turn on our side: the time before that is not the peer's latency.

        (For a connection, say, at the limit of those to its endpoint.) What need not wait goes out without this call.
        """
        ...

    def came(self, count: int) -> None:
        """So many fresh bytes of the body have come, at least one."""
        ...


@attrs.frozen
class Can:
    """What a transport can do beyond single blocks; nobody finds out by catching exceptions."""

    car: bool = False
    """Whole DAGs in one answer, with :meth:`Transport.car`."""
    best_in_flight: int = 8
    """Requests at once that serve this kind of peer well."""


class CarAnswer(Protocol):
    """The blocks of one CAR as they arrive: an async iterator of ``(CID, bytes)``, **unverified**.

    The peer may send them in any order, more than once, or blocks that nobody asked for. The end of the iteration
    means that the stream ended properly, not that the DAG is whole: walk it to know.

    Iterating raises :exc:`CarTruncated` if the stream ends in the middle, :exc:`CarError` if it is no CAR, and
    :exc:`Stalled`, :exc:`PeerFailed` or :exc:`BadAnswer` like :meth:`Transport.block`. What was yielded before stays
    good.
    """

    @property
    def roots(self) -> tuple[CID, ...] | None:
        """What the CAR's header names; ``None`` until it has arrived. Anyone can write anything there."""
        ...

    @property
    def order(self) -> str:
        """``"dfs"`` if the peer promises depth-first order, ``"unk"`` (unknown) otherwise."""
        ...

    @property
    def dups(self) -> bool | None:
        """Whether blocks come as often as they are linked; ``None`` if the peer did not say."""
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> tuple[CID, bytes]: ...


class Transport(Protocol):
    """How to ask one peer. Used by any number of tasks at once; only inside a trio run (:exc:`NotInTrio`).

    Every error is a :exc:`PeerError` that carries ``peer=public``. The tests of
    `sessionctx.testing.transport.TransportContract` hold a transport to all this.
    """

    @property
    def url(self) -> str:
        """The peer's address, normalised, with the credentials if some were given: never show it."""
        ...

    @property
    def public(self) -> str:
        """The address without credentials, for logs and errors."""
        ...

    @property
    def endpoint(self) -> str:
        """What this peer may share with others: their windows and rests belong to it. If it shares nothing, its url."""
        ...

    @property
    def can(self) -> Can:
        """What this peer can be asked for."""
        ...

    async def block(self, cid: CID, *, progress: Progress | None = None) -> bytes:
        """Return what the peer sends for *cid*: **unverified** bytes, at most ``MAX_BLOCK``.

        :exc:`NotHere` (it does not have it), :exc:`Denied` (it never will serve it), :exc:`Busy` (later),
        :exc:`Unreachable`, :exc:`Stalled`, :exc:`PeerFailed`, :exc:`BadAnswer`.
        """
        ...

    def car(
        self,
        cid: CID,
        *,
        path: str = "",
        scope: DagScope = "all",
        span: str | None = None,
        progress: Progress | None = None,
    ) -> AbstractAsyncContextManager[CarAnswer]:
        """Ask for many blocks in one answer: those from *cid* along *path*, and of what is there those in *scope*.

        *span* is a byte range of a file, ``"from:to"`` (to is inclusive, ``*`` is the end, negative counts from the
        end); it implies the scope ``"entity"``. Entering raises like :meth:`block`. It is called where ``can.car`` is
        true, and nowhere else.
        """
        ...

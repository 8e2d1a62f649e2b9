"""Upstream: whom a store asks for what it lacks. Readers that know more than the next name tell it what they know.

A store that asks others offers one, as its `upstream`; so does a store that wraps such a store, and passes it on. What
is got from there comes through the store's own ``get``, like everything else.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol, runtime_checkable

import trio

from sessionctx.blocks.base import Blockstore
from sessionctx.content import CID
from sessionctx.fetch import Sweep
from sessionctx.session import Limits, Session

NEAR: Final[ContextVar[CID | None]] = ContextVar("NEAR", default=None)
"""A block that links to the one which is got in this context: who had that is asked first, where not everybody has
everything. It is a hint for whoever asks, and no matter of the stores on the way there.
"""


class Upstream(Protocol):
    """Whom a store asks for what it lacks, and what helps with many blocks at once."""

    @property
    def default_limits(self) -> Limits | None:
        """Of sessions that begin with work on the store; None for no limits."""
        ...

    def asks(self, s: Session) -> bool:
        """Whether anybody would be asked for what is not here, in session *s*."""
        ...

    def small(self) -> float:
        """Return how many bytes a block must have, for round trips not to be what takes the time."""
        ...

    def carry_soon(self, nursery: trio.Nursery, sweep: Sweep) -> None:
        """Start a task in *nursery* that brings the blocks of a *sweep* into the store, as far as one CAR does.

        From now on, a ``get`` of one of them waits for that, as long as it gets on. What goes wrong with it harms
        nobody: what it does not bring is got block by block. Nothing is started for what is on its way already.
        """
        ...

    def search_soon(self, nursery: trio.Nursery, root: CID) -> None:
        """Start what looks for more of those that can be asked while *root* is being walked, if that is possible."""
        ...


@runtime_checkable
class HasUpstream(Protocol):
    """A store that asks others for what it lacks."""

    @property
    def upstream(self) -> Upstream:
        """Whom it asks."""
        ...


class _Nobody:
    """The upstream of a store that has none."""

    default_limits = None

    def asks(self, s: Session) -> bool:
        del s
        return False

    def small(self) -> float:
        return 0.0

    def carry_soon(self, nursery: trio.Nursery, sweep: Sweep) -> None:
        del nursery, sweep

    def search_soon(self, nursery: trio.Nursery, root: CID) -> None:
        del nursery, root


NOBODY: Final[Upstream] = _Nobody()


def upstream_of(*stores: Blockstore) -> Upstream:
    """Return the upstream of the first of *stores* that has one; one that asks nobody where none has."""
    return next((store.upstream for store in stores if isinstance(store, HasUpstream)), NOBODY)


def default_limits(blocks: Blockstore) -> Limits | None:
    """Return the limits of sessions that begin with work on this store, if it has any."""
    return upstream_of(blocks).default_limits

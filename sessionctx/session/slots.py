"""Slots: how a layer hangs its own state on a session, which knows no layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

import trio

from sessionctx.session.state import Session
from sessionctx.session.verbs import current

T = TypeVar("T")


class Slot(Generic[T]):
    """A typed key under which a layer keeps one value per session, made on first use.

    Args:
        name: for errors and reports.
        make: builds the value for a session.
        fork: builds a fork's value from its parent's (which is made first if need be); default: *make* anew.
        end: closes the value when its session ends, forks first, later values before earlier ones; must not block.

    Example::

        LEDGER = Slot("peers", make=lambda session: Ledger(), fork=Ledger.child, end=Ledger.fold)
        ledger = LEDGER.here()
    """

    __slots__ = ("_end", "_fork", "_make", "name")

    def __init__(
        self,
        name: str,
        make: Callable[[Session], T],
        fork: Callable[[T], T] | None = None,
        end: Callable[[T], object] | None = None,
    ) -> None:
        self.name = name
        self._make = make
        self._fork = fork
        self._end = end

    def __repr__(self) -> str:
        return f"Slot({self.name!r})"

    @trio.lowlevel.enable_ki_protection  # what is made is kept, or nobody would close it
    def of(self, s: Session) -> T:
        """Return the value of session *s*. One that was made stays readable after the end.

        Raises:
            SessionEnded: *s* has ended, and no value was ever made.
        """
        try:
            return cast("T", s.slots[self])
        except KeyError:
            pass
        s.life.check_usable()
        value = self._make(s) if self._fork is None or s.parent is None else self._fork(self.of(s.parent))
        s.slots[self] = value
        return value

    def here(self) -> T:
        """Return the value of the session that is bound here; raises as ``session.current()`` does."""
        return self.of(current())

    def close(self, value: object) -> None:
        """End *value*; the session calls this."""
        if self._end is not None:
            self._end(cast("T", value))

"""The one context variable: which session is bound here, as a chain of immutable-by-custom links."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from sessionctx.session.state import Session


class Binding:
    """One entered scope: its session (None under ``leave``), its nursery if it has one, and the binding before it."""

    __slots__ = ("nursery", "outer", "session")

    def __init__(self, session: Session | None, outer: Binding | None) -> None:
        self.session = session
        self.outer = outer
        self.nursery: trio.Nursery | None = None


bound: ContextVar[Binding | None] = ContextVar("sessionctx.session", default=None)

"""One want: the time in which somebody waits for one name, counted, and cancellable by the session's end."""

from __future__ import annotations

from collections.abc import Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from sessionctx.errors import NotFound, SessionEnded
from sessionctx.session import events
from sessionctx.session.events import Outcome
from sessionctx.session.limits import reached

if TYPE_CHECKING:
    from sessionctx.session.state import Session


class Want:
    """A scope around the work of getting *name*.

    However the block ends, the want is counted once: found, missing (`NotFound`), failed (another error) or cancelled.
    When the session ends meanwhile, the block is cancelled and `SessionEnded` is raised in its task; when its time is
    spent, `LimitReached`.
    """

    __slots__ = ("_scope", "counted", "name", "session")

    def __init__(self, session: Session, name: Hashable, *, counted: bool = True) -> None:
        self.session = session
        self.name = name
        self.counted = counted
        self._scope = trio.CancelScope()

    @trio.lowlevel.enable_ki_protection  # an interrupt in here would leave a want open for ever
    def __enter__(self) -> Self:
        life = self.session.life
        life.begin(self)
        try:
            if self.counted:
                self.session.tell(events.Wanted, self.name)
            self._scope.deadline = life.deadline
            self._scope.__enter__()
        except BaseException:
            self._settle("cancelled")
            raise
        return self

    @trio.lowlevel.enable_ki_protection
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._scope.__exit__(kind, error, traceback)
        finally:
            self._settle(_outcome(error))
        if not self._scope.cancelled_caught:
            return  # ended well, or with an error that says enough
        self.session.life.check_usable()
        self.session.tell(events.Spent, "seconds")
        raise reached("seconds", self.session.limits, self.session.name)

    def _settle(self, outcome: Outcome) -> None:
        self.session.life.settle(self, outcome)
        if self.counted:
            self.session.tell(events.Settled, self.name, outcome)

    def cancel(self) -> None:
        """Cancel the block because the session ended."""
        self._scope.cancel(reason="the session ended")


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "found"
    if isinstance(error, NotFound):
        return "missing"
    if isinstance(error, SessionEnded) or not isinstance(error, Exception):
        return "cancelled"
    return "failed"

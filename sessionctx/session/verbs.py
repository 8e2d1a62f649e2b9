"""The five ways to say which session is bound: begin, fork, leave, use, and current to look."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from typing import TypeVar, cast, overload

from sessionctx.errors import NoSession, SessionConflict, SessionLeakWarning
from sessionctx.session.binding import bound
from sessionctx.session.limits import UNLIMITED, Limits, told_apart
from sessionctx.session.scope import OwningScope, Scope
from sessionctx.session.seeds import PeerLike, by_address
from sessionctx.session.state import Session

D = TypeVar("D")


_RAISE: object = object()  # no default was given


@overload
def current() -> Session: ...
@overload
def current(default: D) -> Session | D: ...
def current(default: object = _RAISE) -> object:
    """Return the session that is bound here.

    With a *default*, it is returned where there is none, or only one that has ended.

    Raises:
        NoSession: nothing is bound here.
        SessionEnded: the bound session has ended; a task outlived it.
    """
    link = bound.get()
    if link is not None:
        session = link.session
        if session is not None:
            if session.life.ended is None:
                return session
            if default is _RAISE:
                raise session.life.ended_error()
    if default is _RAISE:
        raise NoSession("no session is bound here; open one with 'with session.begin():', or ask session.current(None)")
    return default


class begin(OwningScope):  # noqa: N801  # reads as the verb it is
    """Join the session that is bound here, or begin one.

    Joining binds it again and owns nothing; beginning owns the new session, and leaving the block ends it. (Unlike
    SQLAlchemy's ``Session.begin``, a second one inside the first is fine: that is the point.)

    Args:
        peers: addresses (or objects with a ``url``) to ask; when joining they are added to the session's.
        limits: budgets of a session that begins here.
        name: what to call it in errors, events and reports; default ``"session"``.
        outermost: raise where this would join.
        default_limits: for layers: those of a session that begins here without *limits*; they never conflict.

    Raises (on entering):
        SessionConflict: it would join, and *limits* or *name* differ from the running session's, or *outermost* is set.
        SessionEnded: the bound session was cancelled, and its block is still open.

    Warns `SessionLeakWarning`, once per session, when the bound one has ended because this task outlived it; a fresh
    session begins then.
    """

    __slots__ = ("_default_limits", "_limits", "_name", "_outermost", "_peers")

    def __init__(
        self,
        peers: Iterable[PeerLike] = (),
        *,
        limits: Limits | None = None,
        name: str | None = None,
        outermost: bool = False,
        default_limits: Limits | None = None,
    ) -> None:
        super().__init__()
        self._default_limits = default_limits
        self._peers = tuple(by_address(peers).values()) if peers else ()
        self._limits = limits
        self._name = name
        self._outermost = outermost

    def _choose(self) -> Session:
        session = _live()
        if session is not None:
            self._check_join(session)
        else:
            session = Session(name=self._name or "session", limits=self._limits or self._default_limits or UNLIMITED)
            self._owns = True
        if self._peers:
            session.add_peers(self._peers)
        return session

    def _check_join(self, session: Session) -> None:
        if self._outermost:
            raise SessionConflict(
                f"begin(outermost=True): {session.name} is running here already. Step out with session.leave() first, "
                f"or branch with session.fork()."
            )
        if self._limits is not None and self._limits != session.limits:
            wanted, running = told_apart(self._limits, session.limits)
            self._refuse("limits", wanted, f"limited to {running}", session)
        if self._name is not None and self._name != session.name:
            self._refuse("name", repr(self._name), f"called {session.name!r}", session)

    def _refuse(self, what: str, wanted: str, running: str, session: Session) -> None:
        raise SessionConflict(
            f"begin({what}={wanted}) would join {session.name}, which is {running}. Use "
            f"session.fork({what}=...) for a session of its own, or leave {what}= out to join."
        )


class fork(OwningScope):  # noqa: N801
    """Begin a new session that knows what the one bound here knows; leaving the block ends it.

    Where none is bound, it knows nothing and has no parent. So whoever wants a budget of their own, and does not know
    who calls, forks.

    Args:
        peers: asked in addition to the parent's; the parent does not get them.
        limits: its own budgets. It is held to the least of these and what its parent has left, and what it uses counts
            against both.
        name: default: its parent's name and ``"/fork"``.

    Raises (on entering):
        SessionEnded: the bound session was cancelled, and its block is still open.

    Warns `SessionLeakWarning` where `begin` does.
    """

    __slots__ = ("_limits", "_name", "_peers")

    def __init__(
        self, peers: Iterable[PeerLike] = (), *, limits: Limits | None = None, name: str | None = None
    ) -> None:
        super().__init__()
        self._peers = tuple(by_address(peers).values()) if peers else ()
        self._limits = limits
        self._name = name

    def _choose(self) -> Session:
        parent = _live()
        name = "session" if parent is None else f"{parent.name}/fork"
        session = Session(name=self._name or name, limits=self._limits or UNLIMITED, parent=parent)
        session.add_peers(self._peers)
        self._owns = True
        return session


class leave(Scope[None]):  # noqa: N801
    """Bind no session in this block, nor in tasks started from it; ends nothing.

    The way to start a task that shall outlive the session.
    """

    __slots__ = ()

    def _choose(self) -> None:
        return None


class use(Scope[Session]):  # noqa: N801
    """Bind a session that you hold, for example in a server's callback; owns nothing.

    Raises:
        TypeError: it is no session.

    Raises (on entering):
        SessionEnded: it has ended.
    """

    __slots__ = ("_held",)

    def __init__(self, session: Session) -> None:
        super().__init__()
        given = cast("object", session)  # as a caller without a type checker may have it
        if not isinstance(given, Session):
            raise TypeError(
                f"session.use() binds a session that you hold, and was given a {type(given).__name__}. To bind none, "
                f"write session.leave(); to have one in any case, session.begin()."
            )
        self._held = given

    def _choose(self) -> Session:
        self._held.life.check_usable()
        return self._held


def _live() -> Session | None:
    """Return the session that is bound here; None where there is none, or one that has ended, which is told once."""
    link = bound.get()
    session = None if link is None else link.session
    if session is None or session.life.ended is None:
        return session
    if not session.life.left:
        raise session.life.ended_error()  # cancelled, and its block is still open: that has to wind down
    _warn_of_leak(session)
    return None


def _warn_of_leak(session: Session) -> None:
    if not session.life.leak_told:
        session.life.leak_told = True
        warnings.warn(
            f"{session.name} has ended, but a task that inherited it went on and begins a session of its own. "
            f"Open its nursery inside 'with session.begin():', or start it under 'with session.leave():'.",
            SessionLeakWarning,
            stacklevel=_callers_level(),
        )


def _callers_level() -> int:
    """Return the stacklevel, for the caller of this, of the first frame outside sessionctx."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("sessionctx."):
        level, frame = level + 1, frame.f_back
    return level

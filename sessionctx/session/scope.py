"""Scopes: small objects for one ``with`` block; they bind when entered, and put back what was bound when left."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, TypeVar

import trio

from sessionctx.errors import SessionError
from sessionctx.session.binding import Binding, bound
from sessionctx.session.state import Session
from sessionctx.session.trio_only import require_trio

S = TypeVar("S", Session, None)


class Scope(Generic[S]):
    """One ``with`` block that binds a session (or none). Usable once.

    As with trio's own scopes, an interrupt waits while the block is entered or left: half-way, a session would stay
    bound that nobody ends.
    """

    __slots__ = ("_link", "_owns", "_task")

    def __init__(self) -> None:
        self._link: Binding | None = None
        self._owns = False
        self._task: object = None

    def _choose(self) -> S:
        """Return what this scope binds, and set ``_owns`` if leaving it ends that."""
        raise NotImplementedError

    @trio.lowlevel.enable_ki_protection
    def __enter__(self) -> S:
        if self._link is not None:
            raise SessionError("a session scope is used once; call session.begin() again for each 'with'")
        chosen = self._choose()
        self._link = Binding(chosen, bound.get())
        self._task = _here()
        bound.set(self._link)
        return chosen

    @trio.lowlevel.enable_ki_protection
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        here = _here()
        misuse = self._misuse(here)
        try:
            if self._owns:
                self._session().life.leave()  # misuse, too, ends it (law 11)
        finally:
            self._unbind(here)
        if misuse is not None:
            raise SessionError(misuse)

    def _session(self) -> Session:
        assert self._link is not None
        assert self._link.session is not None
        return self._link.session

    def _misuse(self, here: object) -> str | None:
        """Say how the block is being left against the laws, or None."""
        if self._link is None:
            return "this session scope was never entered"
        who = "session.leave()" if self._link.session is None else self._link.session.name
        if here is not self._task:
            return (
                f"{who} was entered in one task and left in another, which happens when a generator holds a session "
                f"across a yield. Hold it in the task that iterates, or use an async context manager instead."
            )
        if bound.get() is not self._link:
            return (
                f"{who} was left in another order than it was entered, which happens when a generator holds a session "
                f"across a yield. Close inner blocks first; wrap generators in contextlib.aclosing(...)."
            )
        return None

    def _unbind(self, here: object) -> None:
        """Put back what was bound before, also from below scopes that were not left; a foreign context stays alone."""
        link = bound.get()
        while link is not None and link is not self._link:
            link = link.outer
        if link is not None and here is self._task:
            bound.set(link.outer)
            if link.session is None:
                link.outer = None  # tasks started under leave() live on, and shall not keep what was left


class OwningScope(Scope[Session]):
    """A scope that may begin a session, and then offers ``async with`` too: the same, and a nursery."""

    __slots__ = ("_manager",)

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> Session:
        require_trio("'async with' on a session")
        session = self.__enter__()
        assert self._link is not None
        self._manager = trio.open_nursery()
        nursery = await self._manager.__aenter__()
        self._link.nursery = nursery
        session.life.nurseries[nursery] = self._owns
        return session

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self._link is None or _here() is not self._task:
            self.__exit__(kind, error, traceback)  # raises; another task's nursery cannot be closed from here
        session = self._session()
        try:
            return bool(await self._manager.__aexit__(kind, error, traceback))
        finally:
            assert self._link is not None
            assert self._link.nursery is not None
            del session.life.nurseries[self._link.nursery]
            self._link.nursery = None
            try:
                self.__exit__(None, None, None)
            finally:
                if self._owns:
                    with trio.CancelScope(shield=True):
                        await session.life.quiet()


def _here() -> object:
    """Return what runs this code: the trio task, or None outside of one."""
    return trio.lowlevel.current_task() if trio.lowlevel.in_trio_task() else None

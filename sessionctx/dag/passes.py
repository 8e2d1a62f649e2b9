"""A pass over a file: one walk, entered and left by a task of its own, and read by any other."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from sessionctx.content import RAW
from sessionctx.dag.opened import Flat
from sessionctx.dag.unixfs.parts import Part
from sessionctx.dag.unixfs.read import Piece
from sessionctx.dag.walk import Walk
from sessionctx.errors import SessionError


class Pass:
    """A walk over the pieces of a file from some byte on.

    Scopes have to be left in the task and order in which they were entered, but whoever reads may begin a pass in one
    task, between any scopes of its own, and drop it in another. So `run`, a task, holds the walk open until it is told
    to `drop` it.
    """

    def __init__(self, walk: Walk[Part, Iterable[Piece]]) -> None:
        self.left = trio.Event()
        """Set when the pass is over, and nothing of it runs any more."""
        self._walk = walk
        self._pieces: Flat[Part, Piece] = Flat(walk)
        self._entered = trio.Event()
        self._scope = trio.CancelScope()
        self._refused: SessionError | None = None

    async def run(self) -> None:
        """Hold the walk open."""
        try:
            with self._scope:
                async with self._walk:
                    self._entered.set()
                    await trio.sleep_forever()
        except SessionError as error:  # of entering: the session ended meanwhile
            self._refused = error
        finally:
            self._entered.set()
            self.left.set()

    def drop(self) -> None:
        """Cancel what is under way, at once; when all of it has stopped, `left` is set."""
        self._scope.cancel()

    async def next(self) -> Piece:
        """Return the next piece, of which there must be one. :exc:`trio.ClosedResourceError` once it is left."""
        await self._entered.wait()
        if self._refused is not None:
            raise self._refused
        try:
            return await self._pieces.__anext__()
        except StopAsyncIteration:  # sizes are verified: a walk that is open does not end too early
            raise trio.ClosedResourceError("this file was closed while it was read") from None

    def reach(self) -> int:
        """Return up to where in the file all that comes next is here or on its way; 0 if that is nothing."""
        stop = 0
        for item in self._walk.coming():
            raw = item.cid is not None and item.cid.codec == RAW
            if item.error is not None or not (item.done or raw):
                break
            if (item.leaf or raw) and item.tag.size is not None:
                stop = item.tag.start + item.tag.size
        return stop

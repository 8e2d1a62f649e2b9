"""Reading a file like a file: in order, with a cursor that can be moved, from any block store."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import contextmanager
from contextvars import Context, copy_context
from types import TracebackType
from typing import Self

import attrs
import trio

from sessionctx import session
from sessionctx.blocks import Blockstore
from sessionctx.content import CID, Block
from sessionctx.dag.buffer import Buffer
from sessionctx.dag.frontier import Ahead
from sessionctx.dag.passes import Pass
from sessionctx.dag.unixfs.node import need_file, open_node
from sessionctx.dag.unixfs.parts import Part, Span
from sessionctx.dag.unixfs.read import Piece, read_pieces
from sessionctx.dag.walk import Walk
from sessionctx.dag.wind_down import close


class FileReader:
    """A file that is open for reading, or a range of one, which then looks like a whole file.

    It has a cursor, which `read`, `seek` and ``async for`` share. One task at a time may use it; any number may
    `read_at` meanwhile. All bytes are verified. What comes after the cursor is got ahead: nothing before the first
    read, one block at a time until the first one is handed out, then more with each that is read. A read that is
    cancelled or fails leaves the cursor where it was, and loses nothing: the next one tries again.

    Once the block in which it was opened is left, it raises :exc:`trio.ClosedResourceError`, also from calls that were
    under way in other tasks.
    """

    def __init__(self, blocks: Blockstore, root: Block, offset: int, length: int | None, ahead: Ahead) -> None:
        self._top = need_file(open_node(root))
        whole = self._top.size
        self._begin = min(offset, whole)
        self._end = whole if length is None else min(offset + length, whole)
        self._blocks = blocks
        self._root = root
        self._ahead = ahead
        self._at = self._begin
        self._buffer = Buffer(self._at)
        self._pass: Pass | None = None  # gives what comes after the buffer
        self._dropped: Pass | None = None  # may still be winding down
        self._reading = False
        self._open = False
        self._positioned: set[trio.CancelScope] = set()
        self._context = Context()

    async def __aenter__(self) -> Self:
        self._session = session.current()
        self._context = copy_context()  # passes belong to this session, whoever reads
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        self._nursery.cancel_scope.cancel()
        for scope in self._positioned:
            scope.cancel()
        await close(self._manager, error)

    @property
    def cid(self) -> CID:
        """The file's CID (of the whole, where this is a range)."""
        return self._root.cid

    @property
    def size(self) -> int:
        """Bytes of the file, or of the range of it."""
        return max(self._end - self._begin, 0)

    def tell(self) -> int:
        """Return where the cursor is."""
        return self._at - self._begin

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the cursor, and return where it is: *offset* from the start (0), from itself (1) or from the end (2).

        It never waits: whether what is got ahead still serves is decided at the next read. It may go beyond the end.

        Raises:
            ValueError: that would be before the start, or there is no such *whence*.
            trio.BusyResourceError: another task is reading at the cursor.
            trio.ClosedResourceError: the file was closed.
        """
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        with self._cursor():
            position = offset + (0, self.tell(), self.size)[whence]
            if position < 0:
                raise ValueError(f"position {position} is before the start of the file")
            self._at = self._begin + position
            return position

    async def read(self, n: int = -1) -> bytes:
        """Return the next *n* bytes, and fewer only at the end; ``b""`` there. Default, and if negative: all the rest.

        Raises:
            BlockNotFound, FetchFailed and others: as the store raises them.
            InvalidDag, DagTooDeep, DecodeError: the blocks contradict each other.
            SessionEnded: the session has ended.
            trio.BusyResourceError: another task is reading at the cursor.
            trio.ClosedResourceError: the file was closed.
        """
        with self._cursor():
            await trio.lowlevel.checkpoint()
            stop = self._end if n < 0 else min(self._at + n, self._end)
            if stop <= self._at:
                return b""
            await self._fill(stop)
            return self._take(stop)

    async def read_at(self, offset: int, n: int) -> bytes:
        """Return *n* bytes from *offset* on, fewer only at the end. The cursor plays no part; any task may call it.

        All blocks of the range are got at the same time (*ahead* at most). Errors as for `read`, and :exc:`ValueError`
        for negative numbers.
        """
        if offset < 0 or n < 0:
            raise ValueError(f"offset and n must not be negative: {offset}, {n}")
        start = self._begin + offset
        stop = min(start + n, self._end)
        buffer = Buffer(start)
        with self._while_open(), session.use(self._session):
            await trio.lowlevel.checkpoint()
            if start < stop:
                async with self._walk(start, stop, narrow=False) as walk:
                    async for pieces in walk:
                        for at, data in pieces:
                            buffer.add(at, data)
        return buffer.read(start, stop)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the bytes from the cursor to the end of their block, and move on. Errors as for `read`."""
        with self._cursor():
            await trio.lowlevel.checkpoint()
            if self._at >= self._end:
                raise StopAsyncIteration
            await self._fill(self._at + 1)
            return self._take(min(self._buffer.end_of_piece(self._at), self._end))

    # --- inside

    async def _fill(self, stop: int) -> None:
        """Have all from the cursor up to *stop* in the buffer."""
        reach = max(self._buffer.stop, self._pass.reach() if self._pass else 0)
        if not self._buffer.start <= self._at <= reach:
            self._start_anew()
        try:
            while self._buffer.stop < stop:
                await self._grow()
                self._buffer.forget(self._at)
        except BaseException:
            if self._buffer.stop - self._buffer.start > self._ahead.bytes:
                self._start_anew()  # much was asked for; nobody may ever want it now
            raise

    def _take(self, stop: int) -> bytes:
        start, self._at = self._at, stop
        data = self._buffer.read(start, stop)
        self._buffer.forget(stop)
        return data

    async def _grow(self) -> None:
        """Add the piece that comes after the buffer."""
        following = self._pass or await self._begin_pass()
        try:
            self._buffer.add(*await following.next())
        except Exception:
            self._drop()  # a walk ends with its first error
            if self._buffer.stop >= self._at:
                raise
            self._start_anew()  # it failed on the way to the cursor, and may not be needed at all

    async def _begin_pass(self) -> Pass:
        if self._dropped is not None:
            await self._dropped.left.wait()  # or many seeks could leave many passes winding down
            self._dropped = None
        self._check_open()
        self._pass = Pass(self._walk(self._buffer.stop, self._end, narrow=True))
        self._context.run(self._nursery.start_soon, self._pass.run)
        return self._pass

    def _walk(self, start: int, stop: int, *, narrow: bool) -> Walk[Part, Iterable[Piece]]:
        ahead = attrs.evolve(self._ahead, narrow=narrow)
        return read_pieces(self._blocks, self._root, self._top, Span(start, stop), ahead)

    def _start_anew(self) -> None:
        self._drop()
        self._buffer = Buffer(self._at)

    def _drop(self) -> None:
        if self._pass is not None:
            self._pass.drop()
            self._dropped, self._pass = self._pass, None

    def _check_open(self) -> None:
        if not self._open:
            raise trio.ClosedResourceError("this file was closed: read it inside its 'async with' block")

    @contextmanager
    def _cursor(self) -> Generator[None, None, None]:
        """Have the cursor for oneself."""
        self._check_open()
        if self._reading:
            raise trio.BusyResourceError(
                "another task is reading at the cursor of this file; use read_at(), or open it once for each task"
            )
        self._reading = True
        try:
            yield
        finally:
            self._reading = False

    @contextmanager
    def _while_open(self) -> Generator[None, None, None]:
        """Cancel what is inside when the file is closed."""
        self._check_open()
        with trio.CancelScope() as scope:
            self._positioned.add(scope)
            try:
                yield
            finally:
                self._positioned.discard(scope)
        if scope.cancelled_caught:
            raise trio.ClosedResourceError("this file was closed while it was read")

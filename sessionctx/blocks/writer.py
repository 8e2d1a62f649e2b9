"""The one writer of a store on disk: a thread that commits what many tasks hand in, together.

The rules:

1. A task hands in a `Ticket` and sleeps until the transaction that holds it is committed, or has failed.
2. The thread takes what is queued, up to a batch, and commits at once; it never waits for more to come. So a single
   write is not delayed, and a hundred at a time cost little more than one.
3. If a transaction fails, its tickets are tried again one by one, so that an error reaches exactly those it concerns.
4. The queue is bounded: when it is full, tasks wait for room, in order.
5. A task that is cancelled leaves at once. Its ticket is dropped, or committed if the thread was at it already.
6. Where the bound of the store, or the disk, does not leave room, it is made, and it is tried again.
7. Closing commits what is queued and still waited for. Tasks that wait for room get :exc:`StoreClosed`.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import trio

from sessionctx.blocks import faults, schema
from sessionctx.blocks.base import BATCH_BLOCKS, BATCH_BYTES
from sessionctx.blocks.bound import Bound, Making
from sessionctx.blocks.heap import SURE_EVERY, Heap
from sessionctx.errors import StoreClosed, StoreError, StoreFull

QUEUE_BLOCKS: Final = 8 * BATCH_BLOCKS
"""How many blocks may be queued before tasks wait."""
QUEUE_BYTES: Final = 4 * BATCH_BYTES
"""How many bytes may be queued before tasks wait (and one batch more, which is taken whole)."""
INTERRUPT_EVERY: Final = 0.01
"""Seconds."""

_UNSURE: Final = 16 * 1024 * 1024  # bytes written for which it is worth a sync to have the room of deleted blocks again
_GROWN: Final = "UPDATE totals SET blocks = blocks + ?, bytes = bytes + ?, serial = serial + 1"

Work = Callable[[sqlite3.Connection], tuple[int, int]]
"""Changes the database inside a transaction; returns by how many blocks and bytes the store has grown."""


@attrs.define(eq=False)
class Ticket:
    """Some work, on its way into a transaction."""

    work: Work
    blocks: int
    size: int
    durable: bool
    done: trio.Event = attrs.field(factory=trio.Event)
    error: Exception | None = None
    abandoned: bool = False  # nobody waits for it any more
    hint: bool = False  # it helps to decide what goes when room is made, and may be done twice


class Writer:
    """The thread, its queue, and the tasks' side of both."""

    def __init__(self, connection: sqlite3.Connection, path: Path, heap: Heap, bound: Bound | None) -> None:
        self._connection = connection
        self._heap = heap
        self._path = path
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._bound = bound
        self._waiting = trio.lowlevel.ParkingLot()
        self._blocks = self._bytes = 0
        self._closing = self._hurry = False
        # A daemon: should trio itself crash, Python's exit does not wait for a thread that nobody will stop.
        self._thread = threading.Thread(target=self._run, name=f"writer of {path.name}", daemon=True)
        self._thread.start()

    # --- the tasks' side

    @trio.lowlevel.enable_ki_protection  # Ctrl-C comes before a task is let in or after, so that no turn is lost
    async def submit(self, work: Work, *, blocks: int, size: int, durable: bool = False) -> Ticket:
        """Queue *work* as soon as there is room. :exc:`StoreClosed`."""
        if self._full() or len(self._waiting):
            await self._waiting.park()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if self._closing:
            raise StoreClosed(f"{self._path} was closed while something waited to be written; it was not")
        ticket = Ticket(work, blocks, size, durable)
        self._blocks += blocks
        self._bytes += size
        self._queue.put(ticket)
        self._let_in()
        return ticket

    def push(self, work: Work) -> Ticket:
        """Queue *work* that is small, that nobody waits for, and that helps to decide what goes when room is made."""
        ticket = Ticket(work, 0, 0, durable=False, hint=True)
        self._queue.put(ticket)
        return ticket

    async def wait(self, ticket: Ticket) -> None:
        """Return when the work is committed; raise the error of our tree if it failed."""
        try:
            await ticket.done.wait()
        finally:
            ticket.abandoned = True
        if isinstance(ticket.error, faults.ERRORS):
            raise faults.explain(ticket.error, self._path) from ticket.error
        if ticket.error is not None:
            raise ticket.error

    async def do(self, work: Work, *, blocks: int = 1, size: int = 0, durable: bool = False) -> None:
        """`submit` and `wait`."""
        await self.wait(await self.submit(work, blocks=blocks, size=size, durable=durable))

    def stop(self, *, hurry: bool) -> None:
        """Take no more work; with *hurry*, do not wait for other processes either. Then `join`, in a worker thread."""
        self._closing = True
        self._hurry = hurry
        self._waiting.unpark_all()
        self._queue.put(None)

    def join(self) -> None:
        """Wait until all work is done and the thread has ended; in a hurry, break off what takes long."""
        while self._hurry and self._thread.is_alive():
            self._connection.interrupt()  # mostly a copy of the log into the file, which the next commit takes up again
            self._thread.join(INTERRUPT_EVERY)
        self._thread.join()
        if not self._hurry and self._heap.unsure:
            with suppress(*faults.ERRORS, StoreError):  # then the next opening looks after it
                self._transact([_durable()])

    def _full(self) -> bool:
        return self._blocks >= QUEUE_BLOCKS or self._bytes >= QUEUE_BYTES

    def _let_in(self) -> None:
        """Wake the next task that waits for room; it wakes the one behind it."""
        if not self._full():
            self._waiting.unpark()

    def _settled(self, batch: list[Ticket]) -> None:
        for ticket in batch:
            self._blocks -= ticket.blocks
            self._bytes -= ticket.size
            ticket.done.set()
        self._let_in()

    # --- the thread's side

    def _run(self) -> None:
        while self._do_batch():
            pass

    def _do_batch(self) -> bool:
        """Do one batch; return whether there is more to come. (Nothing of it is held while the next is waited for.)"""
        batch, more = self._take()
        self._commit(batch)
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._settled, batch)
        return more

    def _take(self) -> tuple[list[Ticket], bool]:
        """Wait for a ticket; return it with those behind it, up to a batch, and whether more may come."""
        batch: list[Ticket] = []
        blocks = size = 0
        ticket = self._queue.get()
        while ticket is not None:
            batch.append(ticket)
            blocks += ticket.blocks
            size += ticket.size
            if blocks >= BATCH_BLOCKS or size >= BATCH_BYTES:
                return batch, True
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[Ticket]) -> None:
        """Commit the tickets together; where that fails, one by one. Leaves the error on those which failed."""
        if all(ticket.abandoned for ticket in batch):
            return
        try:
            self._fit(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            if len(batch) > 1 and faults.code(error) != faults.BUSY and not self._hurry:
                for ticket in batch:
                    self._commit([ticket])
            else:
                for ticket in batch:
                    ticket.error = error

    def _transact(self, batch: list[Ticket]) -> None:
        connection = self._connection
        durable = self._heap.due or any(ticket.durable for ticket in batch)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        with connection:  # commits, or rolls back
            self._begin(batch)
            grown = [ticket.work(connection) for ticket in batch if not ticket.abandoned]
            blocks, size = sum(blocks for blocks, _ in grown), sum(size for _, size in grown)
            if blocks or size or durable:  # a commit that writes nothing syncs nothing
                connection.execute(_GROWN, (blocks, size))
            if self._bound is not None and size > 0:
                self._bound.check(connection)
            if durable:
                self._heap.sync(connection)

    def _fit(self, batch: list[Ticket]) -> None:
        """Commit the tickets; where there is no room, make it and try again, for as long as anything goes."""
        again = True
        while True:
            try:
                return self._transact(batch)
            except StoreFull as error:
                if not again:
                    raise
                if error.max_bytes is not None and self._bound is not None:
                    if hints := [ticket for ticket in batch if ticket.hint]:
                        self._transact(hints)
                    again = self._make_room(self._bound, sum(ticket.size for ticket in batch if not ticket.abandoned))
                else:
                    self._transact([_durable()])  # from now on, where deleted blocks were is room
                    again = False

    def _make_room(self, bound: Bound, size: int) -> bool:
        """Make room for *size* bytes more; return whether anything went (others may take its place at once)."""
        making = Making(bound, size)
        while not (making.ended or self._hurry):
            self._transact([Ticket(making.step, 0, 0, durable=False)])
            making.settle()
        if self._heap.unsure >= min(SURE_EVERY, max(_UNSURE, bound.max_bytes // 10)):
            self._transact([_durable()])
        return making.fruitful

    def _begin(self, batch: list[Ticket]) -> None:
        """Begin to write; wait while another process does, as long as somebody waits for us."""
        latest = time.monotonic() + schema.PATIENCE
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                vain = self._hurry or all(ticket.abandoned for ticket in batch)
                if vain or time.monotonic() > latest or faults.code(error) != faults.BUSY:
                    raise
            else:
                return


def _durable() -> Ticket:
    """Return a ticket that changes nothing, and makes durable what was done before."""
    return Ticket(lambda _: (0, 0), 0, 0, durable=True)

"""The index: where each block is, as the log and the base in the storage say; the same to all nodes, in the same order.

**The log is the truth.** Its entries are numbered without gaps, and each is written only if it is not there yet: of
several nodes, one is the next. So there is an order of all changes, and what a node believed when it wrote an entry is
what was so at that moment: it had seen all that was before. A *base* sums up the beginning of the log, for those who
come later; see `compact`.

What was written since the base is held in memory, 48 bytes a block. Of the base, only what is needed to read the right
page of 64 KiB: 16 bytes a page, and the pages that were used last.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final, TypeVar

import trio

from sessionctx.blocks.on_storage import forms, names
from sessionctx.blocks.on_storage.objects import Objects
from sessionctx.blocks.on_storage.rows import ROW, Place, find, place_in, recent
from sessionctx.blocks.on_storage.state import State, merged
from sessionctx.blocks.on_storage.together import each
from sessionctx.errors import StoreCorrupt, StoreError

T = TypeVar("T")

_TOGETHER: Final = 256
"""Entries of the log that are read together."""
_MUCH: Final = 4096
"""Rows to look at, or to merge, from which another thread does it: some milliseconds."""
_SLOW: Final = 60.0
"""Seconds that a commit may take before its writer looks whether the log was cut off meanwhile."""


class _Moved(Exception):
    """An object is not there any more: the base that named it, or the log, has been replaced. Look again."""


class Index:
    """Where each block is."""

    def __init__(self, objects: Objects, *, memory: int) -> None:
        self.state = State()
        self.looked = -float("inf")
        """When the log was last looked at: trio's time."""
        self._objects = objects
        self._memory = memory
        self._lock = trio.Lock()
        self._pages: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    # --- looking up

    async def find(self, keys: Collection[bytes]) -> dict[bytes, Place]:
        """Return where those of *keys* are that are kept, as far as is known here."""
        await trio.lowlevel.checkpoint()
        try:
            return await self._find(keys)
        except _Moved:
            await self.refresh(anew=True)
        try:
            return await self._find(keys)
        except _Moved as error:
            raise self._damaged(str(error)) from error

    async def _find(self, keys: Collection[bytes]) -> dict[bytes, Place]:
        base, runs = self.state.base, tuple(self.state.runs)
        much = len(keys) * len(runs) > _MUCH
        rows = await trio.to_thread.run_sync(recent, runs, keys) if much else recent(runs, keys)
        if base is not None and len(rows) < len(keys):
            wanted = {key: base.pages(key) for key in keys if key not in rows}
            pages = await self._read_pages(base, {page for pages in wanted.values() for page in pages})
            for key, candidates in wanted.items():
                rows.update((key, row) for page in candidates if (row := find(pages[page], key)) is not None)
        return {key: place for key, row in rows.items() if (place := place_in(row)) is not None}

    async def _read_pages(self, base: forms.Base, numbers: Collection[int]) -> dict[int, bytes]:
        pages: dict[int, bytes] = {}
        for number in numbers:
            if (page := self._pages.get((base.seq, number))) is not None:
                self._pages.move_to_end((base.seq, number))
                pages[number] = page

        async def read(number: int) -> None:
            pages[number] = await self._read_page(base, number)

        await each(read, sorted(set(numbers) - set(pages)))
        return pages

    async def _read_page(self, base: forms.Base, number: int) -> bytes:
        shard, offset, length = base.part(number)
        path = names.rows(shard)
        page = await self._objects.read(path, limit=length, offset=offset)
        if page is None:
            raise _Moved(f"{path} is missing, which base {base.seq} names")
        if not base.is_page(number, page):
            raise self._damaged(f"the page at byte {offset} of {path} does not match its checksum")
        self._pages[base.seq, number] = page
        while len(self._pages) * forms.PAGE > self._memory:
            self._pages.popitem(last=False)
        return page

    async def shard(self, base: forms.Base, number: int) -> bytes:
        """Return all rows of one object of *base*, checked."""
        first = number * forms.SHARD_PAGES
        pages = range(first, min(first + forms.SHARD_PAGES, len(base.fences)))
        path = names.rows(base.shards[number])
        data = await self._objects.read(path, limit=len(pages) * forms.PAGE)
        parts = [data[base.part(page)[1] :][: forms.PAGE] for page in pages] if data else []
        if not parts or not all(map(base.is_page, pages, parts)):
            raise self._damaged(f"{path} does not match its checksums" if data else f"{path} is missing")
        return b"".join(parts)

    # --- following the log

    async def refresh(self, *, anew: bool = False, partly: bool = False) -> bool:
        """Take in what has been committed since, and return whether that was all; *anew*: look for a newer base first.

        *partly*: stop where the memory for it ends, which is a :exc:`StoreError` otherwise.
        """
        async with self._lock:
            return await self._refresh(anew=anew or self.looked < 0, partly=partly)

    async def _refresh(self, *, anew: bool, partly: bool) -> bool:
        now = trio.current_time()
        why = ""
        for _ in range(3):
            try:
                state = await self._newest() if anew else self.state
                while (more := await self._follow(state, partly=partly)) is True:
                    pass
            except _Moved as error:
                anew, why = True, str(error)
            else:
                self.state = state  # at once: nobody sees a state that is older than one before
                if more is not None:
                    self.looked = now
                return more is not None
        raise self._damaged(why)

    async def _newest(self) -> State:
        """Return the state to go on from: what the newest base says, or what is here, if that is no older."""
        found = [
            seq for entry in await self._objects.files(names.BASE) if (seq := names.seq_of(entry.path)) is not None
        ]
        here = self.state.base.seq if self.state.base else 0
        if max(found, default=0) <= here:
            return self.state
        number = await self._decoded(forms.decode_pointer, names.base(max(found)), limit=forms.MAX_POINTER)
        base = await self._decoded(forms.decode_base, names.rows(number), limit=forms.MAX_BASE)
        return State(base, base.seq, number)

    async def _follow(self, state: State, *, partly: bool) -> bool | None:
        """Take in the next entries, and return whether there may be more; None if there is no memory for them."""
        found = await self._objects.files(names.LOG, after=names.log(state.seq), most=_TOGETHER)
        seqs = [seq for entry in found if (seq := names.seq_of(entry.path)) is not None]
        for expected, seq in enumerate(seqs, state.seq + 1):
            if seq != expected:
                raise _Moved(f"the entry {expected} of its log is missing")
        entries: dict[int, forms.Entry] = {}

        async def read(seq: int) -> None:
            entries[seq] = await self._decoded(forms.decode_entry, names.log(seq), limit=forms.MAX_ENTRY)

        await each(read, seqs)
        for seq in seqs:
            if partly and state.held + len(entries[seq].rows) > self._memory:
                return None
            self._check_room(state, entries[seq].rows)
            await self._apply(state, entries[seq].rows)
        return len(found) == _TOGETHER and bool(seqs)

    @staticmethod
    async def _apply(state: State, rows: bytes) -> None:
        """Take in the next entry, and merge what is worth it."""
        state.apply(rows)
        while (due := state.due()) is not None:
            much = sum(map(len, due)) > _MUCH
            state.runs[-2:] = [await trio.to_thread.run_sync(merged, *due) if much else merged(*due)]

    def has_room(self, rows: int) -> bool:
        """Whether so many rows more leave half of the memory for them to others."""
        return self.state.held + rows * ROW <= self._memory // 2

    def _check_room(self, state: State, rows: bytes) -> None:
        if state.held + len(rows) > self._memory:
            raise StoreError(
                f"{self._objects.public}: what was written since its index was last summed up takes more than"
                f" {self._memory} bytes; call gc() from one node now, and from time to time"
            )

    async def _decoded(self, decode: Callable[[bytes], T], path: str, *, limit: int) -> T:
        data = await self._objects.read(path, limit=limit + 1)
        if data is None:
            raise _Moved(f"{path} is missing")
        try:
            return decode(data)
        except StoreCorrupt as error:
            raise self._damaged(f"{path}: {error}") from None

    def _damaged(self, why: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"{self._objects.public} is damaged: {why}. Its packs are CARs, which can be read without the index"
        )

    async def check_end(self) -> None:
        """See that the last entry that the base sums up is there: it always stays. :exc:`StoreCorrupt`."""
        if self.state.base is not None:
            path = names.log(self.state.base.seq)
            if await self._objects.read(path, limit=1) is None:
                raise self._damaged(f"{path} is missing, so what came after it may be, too")

    # --- adding to it

    async def commit(self, rows: bytes) -> bool:
        """Write the next entry of the log, unless another node was first: False, and what it wrote has to be seen."""
        entry = forms.Entry(os.urandom(16), rows)
        async with self._lock:
            self._check_room(self.state, rows)
            seq, began = self.state.seq + 1, time.time()
            written = await self._objects.write(names.log(seq), forms.encode_entry(entry), new=True)
            if written is None and not await self._is_ours(seq, entry.nonce):
                return False
            if time.time() - began > _SLOW:  # asleep, perhaps, while the log was summed up and cut off
                await self._refresh(anew=True, partly=False)
                return False
            await self._apply(self.state, rows)
            return True

    async def _is_ours(self, seq: int, nonce: bytes) -> bool:
        """Whether it was us who wrote that entry: an answer may have been lost, and the request repeated."""
        try:
            entry = await self._decoded(forms.decode_entry, names.log(seq), limit=forms.MAX_ENTRY)
        except _Moved:
            return False
        return entry.nonce == nonce

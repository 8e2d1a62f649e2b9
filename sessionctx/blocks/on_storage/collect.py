"""Garbage: what no commit names, what is hidden, and what has been summed up; and packs that are mostly holes.

Nodes go on reading and writing meanwhile. What is younger than the *grace* stays, since a commit may be about to name
it, and since a node may still hold to an older base. The storage's own clock says what is younger.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

import attrs

from sessionctx.blocks.on_storage import forms, names
from sessionctx.blocks.on_storage.batch import Batch
from sessionctx.blocks.on_storage.index import Index
from sessionctx.blocks.on_storage.objects import Objects
from sessionctx.blocks.on_storage.rows import key_of
from sessionctx.blocks.on_storage.summing import sum_up
from sessionctx.blocks.on_storage.writer import Writer
from sessionctx.content import Block, CarDecoder
from sessionctx.errors import ContentError
from sessionctx.storage import Entry

_CLOCK: Final = "clock"


@attrs.define
class Cleared:
    """What `StorageBlockstore.gc` did."""

    blocks: int = 0
    """How many blocks the store holds."""
    objects: int = 0
    """How many objects were deleted."""
    bytes: int = 0
    """Their bytes."""
    moved: int = 0
    """How many blocks were written again, together: from packs that were small, or mostly holes. The room of those
    comes back with a later call, after the grace."""
    damaged: list[str] = attrs.field(factory=list[str])
    """Packs that should have been written again, and could not be read: something in them is lost."""


async def collect(objects: Objects, index: Index, writer: Writer, *, grace: float, pack_bytes: int) -> Cleared:
    """Sum up the index, delete garbage, and write again what is left of packs that are small or mostly holes."""
    sweep = _Sweep(objects, before=await objects.now(_CLOCK) - grace)
    live, complete = await sum_up(objects, index)
    while not complete:  # what the rest of the log names would pass for garbage
        live, complete = await sum_up(objects, index)
    base = index.state.base
    if base is None:  # nothing was ever committed; or its log is lost, and then all would pass for garbage
        return sweep.cleared
    await index.check_end()
    sweep.cleared.blocks, shards = base.rows, {*base.shards, index.state.number}
    for folder in (names.LOG, names.BASE):  # the entry of the base itself stays: who slept sees that there is a gap
        await sweep.clear(folder, lambda entry: _seq(entry, base.seq) < base.seq)
    for folder in await objects.folders(names.ROWS):
        await sweep.clear(folder, lambda entry: _is_none_of(shards, entry))
    for folder in await objects.folders(names.BLOCKS):
        await sweep.clear(folder, lambda entry: _is_none_of(live, entry))
    sparse: list[Sparse] = []
    for folder in await objects.folders(names.PACKS):
        packs = await sweep.clear(folder, lambda entry: _is_none_of(live, entry))
        sparse += filter(None, (sparse_of(entry, live, pack_bytes) for entry in packs))
    await _Moving(objects, index, writer, sweep.cleared, pack_bytes).all(sparse)
    return sweep.cleared


@attrs.frozen
class _Sweep:
    """Deletes what is garbage and older."""

    objects: Objects
    before: float
    cleared: Cleared = attrs.field(factory=Cleared)

    async def clear(self, folder: str, is_garbage: Callable[[Entry], bool]) -> list[Entry]:
        """Delete the garbage in *folder*, and return what is none."""
        found = await self.objects.files(folder)
        garbage = [entry for entry in found if is_garbage(entry)]
        old = [entry for entry in garbage if entry.modified is not None and entry.modified <= self.before]
        if old:
            await self.objects.remove([entry.path for entry in old])
        self.cleared.objects += len(old)
        self.cleared.bytes += sum(entry.size or 0 for entry in old)
        return [entry for entry in found if not is_garbage(entry)] if garbage else found


def _is_none_of(known: Container[int], entry: Entry) -> bool:
    number = names.number_of(entry.path)
    return number is not None and number not in known


def _seq(entry: Entry, other: int) -> int:
    seq = names.seq_of(entry.path)
    return other if seq is None else seq


# --- packs that are small or mostly holes


@attrs.frozen
class Sparse:
    """A pack that may be worth being written again, with others."""

    path: str
    number: int
    size: int
    holes: bool
    """Whether less than half of it is live."""


def sparse_of(entry: Entry, live: Mapping[int, int], pack_bytes: int) -> Sparse | None:
    """Look whether a pack is. Pure."""
    number = names.number_of(entry.path)
    if number is None or entry.size is None:
        return None
    holes = live[number] * 2 < entry.size
    return Sparse(entry.path, number, entry.size, holes) if holes or entry.size < pack_bytes // 4 else None


def _is_worth_it(packs: Sequence[Sparse]) -> bool:
    return len(packs) > 1 or any(pack.holes for pack in packs)


@attrs.define(eq=False)
class _Moving:
    """Writes what is live in several packs as one."""

    objects: Objects
    index: Index
    writer: Writer
    cleared: Cleared
    pack_bytes: int

    async def all(self, packs: Sequence[Sparse]) -> None:
        """Write again what is left of *packs*, unless that is one pack for one; as far as the log has room for it."""
        batch, of = Batch(), list[Sparse]()
        if not _is_worth_it(packs):
            return
        for pack in packs:
            moved = await self._live(pack)
            if batch.size + moved.size > self.pack_bytes or len(batch.done) + len(moved.done) > forms.MAX_ROWS:
                await self._write(batch, of)
                batch, of = Batch(), []
            batch.add(moved)
            of.append(pack)
        await self._write(batch, of)

    async def _write(self, batch: Batch, of: Sequence[Sparse]) -> None:
        if _is_worth_it(of) and self.index.has_room(len(batch.done)):
            await self.writer.write(batch)
            self.cleared.moved += len(batch.done)

    async def _live(self, pack: Sparse) -> Batch:
        """Return the blocks of a pack that are read from there."""
        batch, decoder = Batch(), CarDecoder()
        data = await self.objects.read(pack.path, limit=pack.size)
        try:
            found = {key_of(cid.multihash): (cid, block) for cid, block in decoder.feed(data or b"")}
            places = await self.index.find(found)
            for key, place in places.items():
                if place.object == pack.number and place.offset:
                    batch.put(Block(*found[key]), instead=place)
            decoder.finish()
        except ContentError:
            self.cleared.damaged.append(pack.path)
        return batch

"""Summing up: a new base out of the one before and the log since, shard by shard, so that little is in memory."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import trio

from sessionctx.blocks.on_storage import forms, names
from sessionctx.blocks.on_storage.index import Index
from sessionctx.blocks.on_storage.objects import Objects
from sessionctx.blocks.on_storage.packs import OVERHEAD
from sessionctx.blocks.on_storage.rows import KEY, ROW, newest, place_in, position
from sessionctx.blocks.on_storage.writer import new_number


@attrs.define(eq=False)
class _Shards:
    """The shards of a new base, as rows come; nothing is written if it is not *wanted*."""

    objects: Objects
    wanted: bool
    numbers: list[int] = attrs.field(factory=list[int])
    fences: list[int] = attrs.field(factory=list[int])
    checks: bytearray = attrs.field(factory=bytearray)
    rows: int = 0
    _waiting: bytearray = attrs.field(factory=bytearray)

    async def add(self, rows: bytes) -> None:
        """Take the next rows, and write what is full."""
        self.rows += len(rows) // ROW
        self._waiting += rows if self.wanted else b""
        while len(self._waiting) >= forms.shard_bytes():
            await self._write()

    async def finish(self, seq: int) -> None:
        """Write the rest, and the base that names it all."""
        if not self.wanted:
            return
        if self._waiting:
            await self._write()
        base = forms.Base(seq, self.rows, self.numbers, self.fences, bytes(self.checks))
        await self.objects.write(names.rows(number := new_number()), forms.encode_base(base))
        await self.objects.write(
            names.base(seq), forms.encode_pointer(number), new=True
        )  # if another was first: as good

    async def _write(self) -> None:
        data = bytes(self._waiting[: forms.shard_bytes()])
        del self._waiting[: len(data)]
        for at in range(0, len(data), forms.PAGE):
            page = data[at : at + forms.PAGE]
            self.fences.append(forms.fence_of(page))
            self.checks += forms.check_of(page)
        self.numbers.append(new_number())
        await self.objects.write(names.rows(self.numbers[-1]), data)


async def sum_up(objects: Objects, index: Index) -> tuple[dict[int, int], bool]:
    """Write a base of what is in the log, unless there is one, and return how much of each object is live.

    That is in bytes, with what it takes to keep each block; what is not live is hidden: deleted, or put elsewhere. And
    return whether that was the whole log: it is taken in as far as the memory for it goes.
    """
    complete = await index.refresh(anew=True, partly=True)
    base, seq, runs = index.state.base, index.state.seq, [run.rows for run in index.state.runs]
    live: dict[int, int] = {}
    shards = _Shards(objects, wanted=bool(runs))
    positions = [0] * len(runs)
    count = len(base.shards) if base else 0
    for number in range(count + 1):  # the last time without a shard: what is behind the last key of the base
        old = await index.shard(base, number) if base and number < count else b""
        ends = [position(run, old[-ROW:][:KEY] + b"\0") if old else len(run) for run in runs]
        parts = [old, *(run[at:end] for run, at, end in zip(runs, positions, ends, strict=True))]
        positions = ends
        await shards.add(await trio.to_thread.run_sync(_merged, parts, live))
    await shards.finish(seq)
    await index.refresh(anew=True, partly=True)
    return live, complete


def _merged(parts: Iterable[bytes], live: dict[int, int]) -> bytes:
    """Return the rows of what is kept, and count it into *live*."""
    kept: list[bytes] = []
    for row in newest(parts):
        if (place := place_in(row)) is not None:
            kept.append(row)
            live[place.object] = live.get(place.object, 0) + place.length + OVERHEAD
    return b"".join(kept)

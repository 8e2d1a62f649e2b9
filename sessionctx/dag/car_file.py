"""A DAG as a CAR file, whole or not at all; of version 2 with an index, so that its blocks can be read where they are.

Sources: ipld.io/specs/transport/car/carv1 and carv2.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import trio

from sessionctx import session
from sessionctx.atomic import Draft
from sessionctx.blocks import Blockstore
from sessionctx.content import CID, DagScope, carindex, carv2
from sessionctx.dag.car_stream import CarSummary, car_stream
from sessionctx.dag.path import Ref
from sessionctx.dag.unixfs.sync import reason
from sessionctx.errors import TargetExists, TargetUnwritable

T = TypeVar("T")
Version = Literal[1, 2]


async def export_car(
    blocks: Blockstore,
    ref: Ref,
    target: str | os.PathLike[str],
    *,
    path: str = "",
    scope: DagScope = "all",
    span: str | None = None,
    version: Version = 1,
    index: bool = True,
) -> CarSummary:
    """Write what is below a CID or path to the CAR file *target*, which must not exist: whole, or not at all.

    Args:
        blocks: where to get the blocks.
        ref: where to begin; the header names its CID.
        target: where to; it gets its name when all is written, and on the disk.
        path: below *ref*.
        scope: how much of what the path leads to, as for `car_stream`.
        span: bytes of a file, as for `car_stream`.
        version: of the CAR; default 1.
        index: whether one of version 2 has an index (MultihashIndexSorted; about 100 bytes a block in memory while it
            is made); default: it does.

    Raises:
        TargetExists, TargetUnwritable: of the file.
        PathNotFound, BlockNotFound, ...: as for `car_stream`. Nothing half-written is left.
    """
    session.require_trio("export_car")
    sections: list[tuple[bytes, int]] = []
    wanted = version == 2 and index

    def note(cid: CID, at: int) -> None:
        sections.append((cid.multihash, at))

    async with (
        _Appearing(Path(target)) as file,
        car_stream(blocks, ref, path=path, scope=scope, span=span, note=note if wanted else None) as chunks,
    ):
        size = 0
        if version == 2:
            await file.write(bytes(carv2.BEGINNING))  # filled in at the end, when it is known
        async for chunk in chunks:
            await file.write(chunk)
            size += len(chunk)
        if version == 2:
            if wanted:
                await file.write(await trio.to_thread.run_sync(carindex.encode, sections))
            header = carv2.Header(carv2.BEGINNING, size, carv2.BEGINNING + size if wanted else 0)
            await file.begin_with(carv2.encode_beginning(header))
    return CarSummary(chunks.roots, chunks.blocks, chunks.bytes)


class _Appearing:
    """A new file, which gets its name at the end of the block, unless that is left by an error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> Self:
        self._draft = await self._do(partial(Draft, self._path))
        return self

    async def write(self, data: bytes) -> None:
        """Write what comes next."""
        await self._do(partial(self._draft.file.write, data))

    async def begin_with(self, data: bytes) -> None:
        """Write over the beginning."""
        await self._do(partial(self._draft.file.seek, 0))
        await self.write(data)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._do(self._draft.publish)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._draft.close)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await trio.to_thread.run_sync(work)
        except FileExistsError:
            path = str(self._path)
            raise TargetExists(f"{path!r} exists already; choose another name, or remove it first") from None
        except OSError as error:
            why = reason(error)
            raise TargetUnwritable(f"{str(self._path)!r} cannot be written: {why}; nothing of it was left") from error

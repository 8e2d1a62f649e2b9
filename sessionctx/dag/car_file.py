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
from sessionctx.content import carindex, carv2
from sessionctx.dag.car_stream import CarChunks, CarSummary
from sessionctx.dag.opened import Opened
from sessionctx.dag.unixfs.sync import reason
from sessionctx.errors import TargetExists, TargetUnwritable

T = TypeVar("T")
Version = Literal[1, 2]


async def write_car(
    opened: Opened[CarChunks], target: str | os.PathLike[str], *, version: Version, index: bool
) -> CarSummary:
    """Write a CAR to the file *target*, whole or not at all. See `Dag.export_car`."""
    session.require_trio("export_car")
    async with _Appearing(Path(target)) as file, opened as chunks:
        size, places = 0, list[tuple[bytes, int]]()
        if version == 2:
            chunks.places = places if index else None
            await file.write(bytes(carv2.BEGINNING))  # filled in at the end, when it is known
        async for chunk in chunks:
            await file.write(chunk)
            size += len(chunk)
        if version == 2:
            if index:
                await file.write(await trio.to_thread.run_sync(carindex.encode, places))
            header = carv2.Header(carv2.BEGINNING, size, carv2.BEGINNING + size if index else 0)
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

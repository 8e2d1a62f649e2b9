"""A DAG as a CAR file, whole or not at all; of version 2 with an index, so that its blocks can be read where they are.

Sources: ipld.io/specs/transport/car/carv1 and carv2.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import trio

from sessionctx import session
from sessionctx.blocks import Blockstore
from sessionctx.content import CID, carindex, carv2
from sessionctx.dag.car_stream import CarSummary, Scope, car_stream
from sessionctx.dag.path import Ref
from sessionctx.errors import TargetExists, TargetUnwritable

T = TypeVar("T")
Version = Literal[1, 2]


@session.operation
async def export_car(
    blocks: Blockstore,
    ref: Ref,
    target: str | os.PathLike[str],
    *,
    path: str = "",
    scope: Scope = "all",
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
        self._fresh = path.with_name(f".sessionctx-{secrets.token_hex(6)}.part")

    async def __aenter__(self) -> Self:
        if await self._do(partial(os.path.lexists, self._path)):
            raise self._exists()
        self._file = await self._do(lambda: self._fresh.open("xb", buffering=0))
        return self

    async def write(self, data: bytes) -> None:
        """Write what comes next."""
        await self._do(lambda: _write_all(self._file, data))

    async def begin_with(self, data: bytes) -> None:
        """Write over the beginning."""
        await self._do(lambda: self._file.seek(0))
        await self.write(data)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._do(lambda: os.fsync(self._file.fileno()))
                await self._do(lambda: os.link(self._fresh, self._path))  # which never replaces anything
        except FileExistsError:
            raise self._exists() from None
        finally:
            with trio.CancelScope(shield=True), suppress(OSError):
                await trio.to_thread.run_sync(self._leave)

    def _leave(self) -> None:
        self._file.close()
        self._fresh.unlink(missing_ok=True)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await trio.to_thread.run_sync(work)
        except FileExistsError:
            raise
        except OSError as error:
            why = error.strerror or error
            raise TargetUnwritable(f"{str(self._path)!r} cannot be written: {why}; nothing of it was left") from error

    def _exists(self) -> TargetExists:
        return TargetExists(f"{str(self._path)!r} exists already; choose another name, or remove it first")


def _write_all(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]

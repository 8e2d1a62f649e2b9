"""``sessionctx car``: folders and DAGs as CAR files, and what is in these."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import BinaryIO, Literal

import click
import trio

from sessionctx import Node, session
from sessionctx.blocks import CarBlockstore, DiskBlockstore
from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings, common, peers, settings
from sessionctx.cli.output import printable
from sessionctx.cli.progress import Bar
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.verb import Result, perform
from sessionctx.content import CID, CarDecoder, verify
from sessionctx.dag import PROFILES, V1_2025, Dag
from sessionctx.errors import BlockNotFound, DecodeError, SessionctxError, SourceUnreadable, StoreCorrupt, Unsupported

PIECE = 1024 * 1024


def _seekable(source: Path) -> None:
    """Refuse stdin at once, where blocks are looked for again after they went by."""
    if str(source) == "-":
        raise click.UsageError("stdin cannot be read twice; save the CAR to a file first")


@click.group("car")
def command() -> None:
    """Pack, unpack, list and verify CAR files."""


# --- pack


@command.command("pack")
@click.argument("source", metavar="PATH|CID[/PATH]")
@click.argument("target", metavar="CAR", type=click.Path(path_type=Path))
@click.option("--car-version", "version", type=click.Choice(["1", "2"]), default="1", show_default=True)
@click.option("--no-index", is_flag=True, help="Leave out the index of version 2.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default=V1_2025.name, show_default=True)
@peers
@common
def pack(source: str, target: Path, version: str, profile: str, asked: session.begin, *, no_index: bool) -> int:
    """Write a file or folder, or what is below a CID, to a CAR file: whole, or not at all. Prints its root.

    What is at PATH is not put into the store. What is below a CID comes from the store, and what that lacks from peers.
    The CAR "-" is stdout, where it is of version 1.
    """
    chosen = settings()
    number: Literal[1, 2] = 2 if version == "2" else 1
    if str(target) == "-" and (number == 2 or chosen.output.json):
        raise click.UsageError("stdout takes a CAR of version 1, without --json")
    job = _Pack(chosen, target, number, profile, index=not no_index)
    if os.path.lexists(source):
        return perform("car pack", chosen, lambda: job.from_files(source))
    wanted = reference(source)
    return perform("car pack", chosen, lambda: job.from_store(wanted, asked))


class _Pack:
    def __init__(self, chosen: Settings, target: Path, version: Literal[1, 2], profile: str, *, index: bool) -> None:
        self._chosen = chosen
        self._target = target
        self._version: Literal[1, 2] = version
        self._profile = profile
        self._index = index

    async def from_files(self, source: str) -> Result:
        """Pack what is at a path."""
        with tempfile.TemporaryDirectory(prefix="sessionctx-") as folder:
            async with DiskBlockstore.open(Path(folder) / "blocks") as store:
                node = Node.over(store)
                with Bar(self._chosen.output, f"reading {source}") as bar:
                    added = await node.files.add(source, profile=self._profile, progress=bar.show)
                return await self._write(node.dag, Reference(added.cid))

    async def from_store(self, wanted: Reference, asked: session.begin) -> Result:
        """Pack what is below a CID."""
        with asked:
            async with self._chosen.open_node() as node:
                return await self._write(node.dag, wanted)

    async def _write(self, dag: Dag, wanted: Reference) -> Result:
        output = self._chosen.output
        if str(self._target) == "-":
            async with dag.car(wanted.cid, path=wanted.path) as chunks:
                async for chunk in chunks:
                    await output.raw(chunk)
            return Result({"root": str(wanted.cid), "blocks": chunks.blocks, "bytes": chunks.bytes})
        summary = await dag.export_car(
            wanted.cid, self._target, path=wanted.path, version=self._version, index=self._index
        )
        await output.data("car", str(wanted.cid), root=str(wanted.cid), path=str(self._target))
        output.note(f"Wrote {summary.blocks} blocks to {printable(str(self._target))}.")
        return Result({"root": str(wanted.cid), "blocks": summary.blocks, "bytes": summary.bytes})


# --- unpack


@command.command("unpack")
@click.argument("source", metavar="CAR", type=click.Path(path_type=Path))
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Where to. Default: its root, here.")
@click.option("--root", "wanted", metavar="CID[/PATH]", type=reference, help="What of it. Default: its only root.")
@common
def unpack(source: Path, target: Path | None, wanted: Reference | None) -> int:
    """Write the files in a CAR file to the disk, verified: whole, or not at all. Nothing is put into the store."""
    chosen = settings()
    _seekable(source)
    return perform("car unpack", chosen, lambda: _unpack(chosen, source, target, wanted))


async def _unpack(chosen: Settings, source: Path, target: Path | None, wanted: Reference | None) -> Result:
    async with CarBlockstore.open(source) as blocks:
        if wanted is None:
            if len(blocks.roots) != 1:
                raise click.UsageError(f"{source} names {len(blocks.roots)} roots; choose what to unpack with --root")
            wanted = Reference(blocks.roots[0])
        where = target or Path(wanted.name)
        with Bar(chosen.output, f"unpacking {wanted.name}") as bar:
            exported = await Node.over(blocks).files.export(wanted.cid, where, path=wanted.path, progress=bar.show)
    chosen.output.note(f"Wrote {printable(str(where))}.")
    return Result({"cid": str(exported.cid), "path": str(where), "files": exported.files, "size": exported.size})


# --- ls


@command.command("ls")
@click.argument("source", metavar="CAR", type=click.Path(path_type=Path))
@common
def ls(source: Path) -> int:
    """List the blocks of a CAR file: the CID and the bytes of each, with a tab between. "-" is stdin."""
    chosen = settings()
    return perform("car ls", chosen, lambda: _ls(chosen, source))


async def _ls(chosen: Settings, source: Path) -> Result:
    reading = _Reading(source)
    async with aclosing(reading.sections()) as sections:
        async for cid, data in sections:
            await chosen.output.data("block", f"{cid}\t{len(data)}", cid=str(cid), bytes=len(data))
    return Result({"roots": [str(root) for root in reading.roots], "blocks": reading.blocks, "bytes": reading.bytes})


# --- verify


@command.command("verify")
@click.argument("source", metavar="CAR", type=click.Path(path_type=Path))
@common
def verify_(source: Path) -> int:
    """Check a CAR file: whether each block is what its name says, and whether all is there that its roots lead to."""
    chosen = settings()
    _seekable(source)
    return perform("car verify", chosen, lambda: _verify(chosen, source))


async def _verify(chosen: Settings, source: Path) -> Result:
    reading, bad, missing = _Reading(source), 0, 0
    async with aclosing(reading.sections()) as sections:
        async for cid, data in sections:
            try:
                verify(cid, data)
            except SessionctxError as error:
                bad += 1
                await chosen.output.data("bad", f"bad\t{cid}\t{error}", cid=str(cid), reason=str(error))
    async with CarBlockstore.open(source) as blocks:
        for root in reading.roots:
            for cid in await _missing(blocks, root):
                missing += 1
                await chosen.output.data("missing", f"missing\t{cid}", cid=str(cid))
    whole = not bad and not missing
    if whole:
        chosen.output.note(f"{reading.blocks} blocks are good, and all is there that the roots lead to.")
    fields = {"roots": [str(root) for root in reading.roots], "blocks": reading.blocks, "bytes": reading.bytes}
    code = Exit.MISMATCH if bad else Exit.NOT_FOUND if missing else Exit.DONE
    return Result({**fields, "bad": bad, "missing": missing}, code)


async def _missing(blocks: CarBlockstore, root: CID) -> list[CID]:
    """Return the names at and below *root* that are not there. What cannot be read leads nowhere."""
    missing: list[CID] = []
    seen, left = {root.multihash}, [root]
    while left:
        cid = left.pop()
        try:
            block = await blocks.get(cid)
        except BlockNotFound:
            missing.append(cid)
            continue
        except StoreCorrupt:
            continue  # it was told of already
        with suppress(DecodeError, Unsupported):
            new = [link for link in block.links() if link.multihash not in seen]
            seen.update(link.multihash for link in new)
            left += reversed(new)
    return missing


class _Reading:
    """A CAR file or stdin being read."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._stdin = str(source) == "-"
        self._decoder = CarDecoder()
        self.blocks = 0
        self.bytes = 0

    @property
    def roots(self) -> tuple[CID, ...]:
        """What the header says."""
        return self._decoder.roots or ()

    async def sections(self) -> AsyncGenerator[tuple[CID, bytes]]:
        """Give each block, not verified. :exc:`CarError`, after the good ones before the fault."""
        try:
            with self._open() as file:
                while piece := await trio.to_thread.run_sync(file.read, PIECE, abandon_on_cancel=self._stdin):
                    for section in self._decoder.feed(piece):
                        self.blocks += 1
                        self.bytes += len(section[1])
                        yield section
        except OSError as error:
            raise SourceUnreadable(f"{str(self._source)!r} cannot be read: {error.strerror or error}") from error
        self._decoder.finish()

    def _open(self) -> BinaryIO:
        return sys.stdin.buffer if self._stdin else self._source.open("rb")

"""Something to fetch: files and folders of random bytes as blocks, made in no time and the same for each seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from random import Random
from typing import Final

import attrs

from sessionctx.content import CID, Block, PBLink
from sessionctx.dag import FileBuilder, Profile, build_directory

__all__ = ["Sample", "blocks", "file", "folder"]

KEPT: Final = 16
"""How many samples of each kind are kept, so that making one again costs nothing."""


@attrs.define(eq=False, slots=False)
class Sample:
    """A DAG and what it stands for."""

    root: CID
    blocks: tuple[Block, ...] = attrs.field(repr=False)
    """All of its blocks, each once."""
    files: Mapping[str, bytes] = attrs.field(repr=False)
    """What is in its files, by name; that of a lone file is empty."""

    @property
    def data(self) -> bytes:
        """The bytes of a lone file."""
        return self.files[""]

    @cached_property
    def size(self) -> int:
        """Bytes of all blocks."""
        return sum(len(block.data) for block in self.blocks)

    def below(self, root: CID) -> tuple[Block, ...]:
        """Return the blocks of the subtree at *root*."""
        found: dict[CID, Block] = {}
        todo = [root]
        while todo:
            cid = todo.pop()
            if cid not in found:
                found[cid] = self._by_cid[cid]
                todo += found[cid].links()
        return tuple(found.values())

    @cached_property
    def _by_cid(self) -> dict[CID, Block]:
        return {block.cid: block for block in self.blocks}


@lru_cache(KEPT)
def file(size: int, *, chunk: int = 256 * 1024, width: int = 174, seed: int = 0) -> Sample:
    """Return a file of *size* bytes, cut into raw blocks of *chunk* bytes, with at most *width* links in a node."""
    found: dict[CID, Block] = {}
    data = Random(f"file {seed}").randbytes(size)  # noqa: S311
    root = _file(found, data, _profile(chunk, width))
    return Sample(root.cid, tuple(found.values()), {"": data})


@lru_cache(KEPT)
def folder(count: int, size: int = 1024, *, sharded: bool = False, seed: int = 0) -> Sample:
    """Return a folder of *count* files of *size* bytes, called ``0`` and so on; in one block, or *sharded* (a HAMT)."""
    found: dict[CID, Block] = {}
    random = Random(f"folder {seed}")  # noqa: S311
    profile = _profile(256 * 1024, 174, threshold=0 if sharded else 2**40)
    files = {str(n): random.randbytes(size) for n in range(count)}
    entries = [_file(found, data, profile, name) for name, data in files.items()]
    root = build_directory(profile, _into(found), entries)
    return Sample(root.cid, tuple(found.values()), files)


@lru_cache(KEPT)
def blocks(count: int, size: int, *, seed: int = 0) -> tuple[Block, ...]:
    """Return *count* different raw blocks of *size* bytes (at least 8), mostly zeros: quick to make, even many."""
    return tuple(Block.of(seed.to_bytes(4) + n.to_bytes(4) + bytes(size - 8)) for n in range(count))


def _file(found: dict[CID, Block], data: bytes, profile: Profile, name: str = "") -> PBLink:
    builder = FileBuilder(profile, _into(found))
    for at in range(0, len(data), profile.chunk_size):
        builder.add(data[at : at + profile.chunk_size])
    built = builder.finish()
    return PBLink(built.cid, name, built.dag_size)


def _into(found: dict[CID, Block]) -> Callable[[Block], None]:
    return lambda block: found.update({block.cid: block})


def _profile(chunk: int, width: int, threshold: int = 2**40) -> Profile:
    return Profile("sample", 1, chunk, width, True, 256, threshold, "block")

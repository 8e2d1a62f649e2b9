"""What the tests of the dag floor share: stores that are slow or count, and a trio run inside a property."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sessionctx import session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import DAG_CBOR, DAG_PB, Block, PBLink, PBNode, dagcbor, dagpb, unixfs


class Slow(MemoryBlockstore):
    """Takes *delay* seconds for each get; counts how many run at a time, and which blocks were asked for."""

    def __init__(self, delay: float | Callable[[Block], float] = 1.0) -> None:
        super().__init__()
        self.delay = delay
        self.asked: list[Any] = []
        self.running = 0
        self.most = 0
        self.sessions: set[Any] = set()

    async def get(self, cid):
        self.asked.append(cid)
        self.sessions.add(session.current(None))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            block = await super().get(cid)
            await trio.sleep(self.delay(block) if callable(self.delay) else self.delay)
        finally:
            self.running -= 1
        return block


@pytest.fixture(autouse=True)
def nothing_bound():
    assert session.current(None) is None
    yield
    assert session.current(None) is None


@pytest.fixture
def tmp_path(tmp_path_factory):
    """In memory where that can be: these tests make many small files, and sync them."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path_factory.mktemp("dag")
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def store():
    return MemoryBlockstore()


@pytest.fixture(scope="session")
def slow():
    return Slow


@pytest.fixture(scope="session")
def play():
    """``play(async_fn, *args)``: a trio run of its own, in which time jumps to the next deadline."""

    def play(async_fn, *args):
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))

    return play


@pytest.fixture(scope="session")
def pb():
    """``pb(links, fields)``: a dag-pb block; links are (name, block) or (name, block, tsize)."""

    def make(links=(), fields=None, *, version=1):
        made = tuple(PBLink(link[1].cid, link[0], link[2] if len(link) > 2 else len(link[1].data)) for link in links)
        data = unixfs.encode(fields) if isinstance(fields, unixfs.Data) else fields
        return Block.of(dagpb.encode(PBNode(made, data)), codec=DAG_PB, version=version)

    return make


@pytest.fixture(scope="session")
def folder(pb):
    """``folder({name: block})``: a plain directory; a list of pairs may repeat a name."""

    def make(entries, **fields):
        pairs = entries.items() if isinstance(entries, dict) else entries
        return pb(pairs, unixfs.Data(unixfs.Type.DIRECTORY, **fields))

    return make


@pytest.fixture(scope="session")
def file(pb):
    """``file(parts, sizes=None, data=None, **fields)``: a node of a file over *parts*, blocks."""

    def make(parts=(), sizes=None, data=None, **fields):
        sizes = [len(part.data) for part in parts] if sizes is None else sizes
        fields.setdefault("filesize", sum(sizes) + len(data or b""))
        named = [("", part) for part in parts]
        return pb(named, unixfs.Data(fields.pop("type", unixfs.Type.FILE), data, blocksizes=sizes, **fields))

    return make


@pytest.fixture(scope="session")
def symlink(pb):
    return lambda target, **fields: pb((), unixfs.Data(unixfs.Type.SYMLINK, target, **fields))


@pytest.fixture(scope="session")
def cbor():
    return lambda value: Block.of(dagcbor.encode(value), codec=DAG_CBOR)


@pytest.fixture(scope="session")
def tree():
    """``tree(path)``: a folder on the disk as nested dicts: bytes of files, ``Path`` of symlinks."""

    def read(path: Path):
        if path.is_symlink():
            return path.readlink()
        if path.is_dir():
            return {entry.name: read(entry) for entry in path.iterdir()}
        return path.read_bytes()

    return read


@pytest.fixture(scope="session")
def plant():
    """``plant(path, tree)``: the reverse of ``tree``."""

    def write(path: Path, what):
        if isinstance(what, dict):
            path.mkdir()
            for name, inner in what.items():
                write(path / name, inner)
        elif isinstance(what, Path):
            path.symlink_to(what)
        else:
            path.write_bytes(what)
        return path

    return write

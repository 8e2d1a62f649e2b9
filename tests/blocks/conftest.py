"""What the tests of stores share."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sessionctx.blocks import DiskBlockstore
from sessionctx.content import Block


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "blocks.sqlite3"


@pytest.fixture
async def disk(path: Path) -> AsyncIterator[DiskBlockstore]:
    """An empty store on the disk."""
    async with DiskBlockstore.open(path) as store:
        yield store


@pytest.fixture(scope="session")
def some_blocks() -> Callable[..., list[Block]]:
    """Return a callable that makes blocks of random bytes, the same ones for the same seed."""

    def make(count: int, size: int = 1000, *, seed: int = 0) -> list[Block]:
        rng = random.Random(seed)
        return [Block.of(rng.randbytes(size)) for _ in range(count)]

    return make


@pytest.fixture
def run_script() -> Callable[..., list[Any]]:
    """Return a callable that runs Python text in a process of its own and gives the JSON values it prints, one a line."""

    def run(text: str, *arguments: object) -> list[Any]:
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run

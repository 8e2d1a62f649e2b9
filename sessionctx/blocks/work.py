"""What the writer of a store on disk does inside its transactions: blocks in, blocks out."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Final

from sessionctx.blocks.heap import LARGE, Heap
from sessionctx.content import Block

_PUT: Final = "INSERT INTO blocks (multihash, data) VALUES (?, ?) ON CONFLICT DO NOTHING"
_SIZE: Final = "SELECT coalesce(size, length(data)) FROM blocks WHERE multihash = ?"
_RECENT: Final = "INSERT OR REPLACE INTO recent SELECT id, ? FROM blocks WHERE multihash = ?"
_FETCHED: Final = """INSERT INTO uses (id, at, fetched) SELECT id, ?1, ?1 FROM blocks WHERE multihash = ?2
    ON CONFLICT (id) DO UPDATE SET at = excluded.at, fetched = excluded.fetched"""
_DELETE: Final = "DELETE FROM blocks WHERE multihash = ?"


def insert(blocks: Sequence[Block], heap: Heap, connection: sqlite3.Connection) -> tuple[int, int]:
    """Put *blocks*, and note when."""
    grown = _insert(blocks, heap, connection)
    now = time.time()
    connection.executemany(_RECENT, [(now, block.cid.multihash) for block in blocks])
    return grown


def insert_copies(blocks: Sequence[Block], heap: Heap, connection: sqlite3.Connection) -> tuple[int, int]:
    """Put *blocks* that others have, and note when."""
    grown = _insert(blocks, heap, connection)
    now = time.time()
    connection.executemany(_FETCHED, [(now, block.cid.multihash) for block in blocks])
    return grown


def _insert(blocks: Sequence[Block], heap: Heap, connection: sqlite3.Connection) -> tuple[int, int]:
    large = [block for block in blocks if len(block.data) >= LARGE]
    count, size = heap.put(connection, large) if large else (0, 0)
    for block in blocks:
        if len(block.data) < LARGE and connection.execute(_PUT, (block.cid.multihash, block.data)).rowcount:
            count += 1
            size += len(block.data)
    return count, size


def delete(multihash: bytes, connection: sqlite3.Connection) -> tuple[int, int]:
    """Delete a block, if it is there."""
    row = connection.execute(_SIZE, (multihash,)).fetchone()
    if row is None:
        return 0, 0
    connection.execute(_DELETE, (multihash,))
    return -1, -row[0]


def nothing(_: sqlite3.Connection) -> tuple[int, int]:
    """Change nothing; for a commit that makes durable what was done before."""
    return 0, 0

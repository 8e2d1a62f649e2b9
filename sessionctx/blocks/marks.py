"""What pins lead to: a mark for each block, kept in the store from one time that room is made to the next.

Marking follows every link below every pin once. After that it costs as little as what is new: pins that were added,
and blocks that have come. Only when a pin is removed all marks go, and marking begins again. A mark may stay when a
block above it is deleted; it keeps too much then, never too little, until marking begins again.

A step does some of that inside a transaction, so nobody writes within it, and others write between two. Once a step
finds nothing to do, then in its transaction, and only there, these are true:

1. Each block to which a pin leads through blocks that are in the store has a mark.
2. Each block in the store that has none stands in line for eviction (see `sweep`), and no other does.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from sessionctx.blocks.heap import Heap
from sessionctx.content import CBOR, CID, JSON, RAW, Block, links
from sessionctx.errors import DecodeError, HashMismatch, StoreCorrupt, Unsupported

FREE: Final = 0
"""The line of blocks that came from elsewhere, or were put long ago."""
OWN: Final = 1
"""The line of blocks that were put here, and may be too young to go."""
STEP_BLOCKS: Final = 256
"""How many blocks a step looks at."""
STEP_SECONDS: Final = 0.02
"""For so long others may have to wait for a step."""

_TODO, _MISSING = 0, 1  # of what is done it is NULL, and not in the index
_WITHOUT_LINKS: Final = (RAW, CBOR, JSON)
_NOTE: Final = "INSERT OR IGNORE INTO marks VALUES (?, ?, ?)"
_LEAVE_LINE: Final = """UPDATE uses SET line = NULL WHERE line IS NOT NULL
    AND id = (SELECT id FROM blocks WHERE multihash = ?)"""
# What has no time is from before there were times: then it is the order in which it came.
_STAND_IN_LINE: Final = f"""INSERT INTO uses (id, at, line)
    SELECT blocks.id, coalesce(put, blocks.id * 1e-6), iif(put IS NULL, {FREE}, {OWN})
    FROM blocks LEFT JOIN recent ON recent.id = blocks.id WHERE {{which}}
    ON CONFLICT (id) DO UPDATE SET line = excluded.line, at = max(at, excluded.at)"""  # noqa: S608
_LINE_UP: Final = _STAND_IN_LINE.format(which="blocks.multihash = ?")
_LINE_UP_NEW: Final = _STAND_IN_LINE.format(
    which="""blocks.id > ? AND blocks.id <= ?
        AND NOT EXISTS (SELECT 1 FROM marks WHERE marks.multihash = blocks.multihash)"""
)
_NEW_ROWS: Final = "SELECT max(id) FROM (SELECT id FROM blocks WHERE id > ? ORDER BY id LIMIT ?)"
_HAVE_COME: Final = f"""UPDATE marks SET state = {_TODO} WHERE state = {_MISSING}
    AND multihash IN (SELECT multihash FROM blocks WHERE id > ? AND id <= ?)"""  # noqa: S608
_BLOCK: Final = "SELECT data, at, size FROM blocks WHERE multihash = ?"


def begin_again(connection: sqlite3.Connection) -> None:
    """Let the next steps throw all marks away and make them anew."""
    connection.execute("UPDATE totals SET stale = 1")


def advance(connection: sqlite3.Connection, path: Path) -> bool:
    """Do a step for the store at *path*; return whether there was anything to do. :exc:`StoreCorrupt`."""
    pins, rows, stale = connection.execute("SELECT marked, lined, stale FROM totals").fetchone()
    if stale:
        _forget(connection)
        return True
    return _add_pins(connection, pins) or _follow(connection, path) or _line_up(connection, rows)


def _forget(connection: sqlite3.Connection) -> None:
    """Throw some marks away; their blocks stand in line until they are marked again."""
    some = connection.execute("SELECT multihash, codec FROM marks LIMIT ?", (STEP_BLOCKS,)).fetchall()
    connection.executemany(_LINE_UP, [(multihash,) for multihash, _ in some])
    connection.executemany("DELETE FROM marks WHERE multihash = ? AND codec = ?", some)
    if not some:
        connection.execute("UPDATE totals SET stale = 0, marked = 0")


def _add_pins(connection: sqlite3.Connection, last: int) -> bool:
    query = "SELECT id, cid FROM pins WHERE id > ? ORDER BY id LIMIT ?"
    pins = connection.execute(query, (last, STEP_BLOCKS)).fetchall()
    if pins:
        _note(connection, [CID.from_bytes(cid) for _, cid in pins])
        connection.execute("UPDATE totals SET marked = ?", (pins[-1][0],))
    return bool(pins)


def _line_up(connection: sqlite3.Connection, last: int) -> bool:
    """Look at blocks that have come: which of them were missed below a pin, and which stand in line from now on."""
    (until,) = connection.execute(_NEW_ROWS, (last, STEP_BLOCKS)).fetchone()
    if until is None:
        return False
    connection.execute(_HAVE_COME, (last, until))
    connection.execute(_LINE_UP_NEW, (last, until))
    connection.execute("UPDATE totals SET lined = ?", (until,))
    return True


def _follow(connection: sqlite3.Connection, path: Path) -> bool:
    """Mark what some marked blocks link to."""
    todo = f"SELECT multihash, codec FROM marks WHERE state = {_TODO} LIMIT ?"  # noqa: S608
    some = connection.execute(todo, (STEP_BLOCKS,)).fetchall()
    latest = time.monotonic() + STEP_SECONDS
    with closing(Heap(path)) as heap:
        for multihash, codec in some:
            found = _links(connection, heap, path, CID.new(1, codec, multihash))
            _note(connection, found or [])
            state = _MISSING if found is None else None
            done = "UPDATE marks SET state = ? WHERE multihash = ? AND codec = ?"
            connection.execute(done, (state, multihash, codec))
            if time.monotonic() > latest:
                break
    return bool(some)


def _note(connection: sqlite3.Connection, cids: list[CID]) -> None:
    rows = [(cid.multihash, cid.codec, None if cid.codec in _WITHOUT_LINKS else _TODO) for cid in cids]
    connection.executemany(_NOTE, rows)
    connection.executemany(_LEAVE_LINE, [(cid.multihash,) for cid in cids])


def _links(connection: sqlite3.Connection, heap: Heap, path: Path, cid: CID) -> list[CID] | None:
    """Return what a block links to; nothing where that cannot be read, and ``None`` if it is not here."""
    data = cid.digest
    if not cid.is_identity:
        row = connection.execute(_BLOCK, (cid.multihash,)).fetchone()
        if row is None:
            return None
        data = row[0] if row[1] is None else heap.read(row[1], row[2])
    try:
        return links(cid.codec, Block(cid, data).data)
    except (DecodeError, Unsupported):
        return []  # the bytes are what they are called, and nobody here can follow them
    except HashMismatch as error:
        raise StoreCorrupt(
            f"{path} is damaged: {cid}, which a pin leads to, does not match; nothing more is deleted. "
            "Delete that block, fetch it again"
        ) from error

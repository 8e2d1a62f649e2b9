"""The store's file: what is in it, how it is made, recognised and opened. All of it may block: call it in a thread.

It is an SQLite database in WAL mode with one table of blocks and one row of totals; blocks from 64 KiB on are in a file
beside it, and their rows say where (see `heap`). A file that is being made gets its name only when it is complete, so a
path holds either nothing, or a whole store, or something that is not ours. SQLite alone opens the database: closing a
file handle of our own would drop the locks that SQLite holds on it (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import errno
import secrets
import sqlite3
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final

from sessionctx.atomic import give_name, sync_folder
from sessionctx.blocks.faults import ERRORS, explain
from sessionctx.blocks.heap import data_file, recover
from sessionctx.errors import NotAStore, StoreCorrupt, StoreError, StoreFull

APPLICATION_ID: Final = 0x73637478
"""``sctx``, in the file's header: how a store is told from other databases (and by ``file(1)``)."""
FORMAT: Final = 4
"""Which layout of tables this is; a store of a higher one is refused, one of a lower one is brought up to it."""
PAGE: Final = 16 * 1024
"""Bytes in a page. Large ones make blocks of 256 KiB twice as fast as SQLite's 4 KiB."""
CHECKPOINT: Final = 64 * 1024 * 1024
"""Bytes in the log at which SQLite copies it into the file."""
PATIENCE: Final = 30.0
"""Seconds that a write waits for another process to finish its own."""

_NOT_A_DATABASE = 26
_TABLES = (
    # Not WITHOUT ROWID: it would put the blocks into the index, at five times the room and many times the lookup.
    "CREATE TABLE blocks (id INTEGER PRIMARY KEY, multihash BLOB NOT NULL UNIQUE, data BLOB NOT NULL)",
    # One row. The serial number grows with each change, so that there always is one: SQLite writes nothing, and syncs
    # nothing, for an update to the same values.
    "CREATE TABLE totals (blocks INTEGER NOT NULL, bytes INTEGER NOT NULL, serial INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0, 0, 0)",
)
_UPGRADE = (
    # Of a large block: where it begins in the data file, and how many bytes it has. Its data here is empty.
    "ALTER TABLE blocks ADD COLUMN at INTEGER",
    "ALTER TABLE blocks ADD COLUMN size INTEGER",
    # tail: where the data file ends. sure: the last row that is safe from a loss of power. synced: the serial number up
    # to which all is.
    "ALTER TABLE totals ADD COLUMN tail INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE totals ADD COLUMN sure INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE totals ADD COLUMN synced INTEGER NOT NULL DEFAULT 0",
    # Where deleted blocks were, and the serial number at which they were deleted.
    "CREATE TABLE holes (at INTEGER PRIMARY KEY, size INTEGER NOT NULL, since INTEGER NOT NULL)",
    "CREATE INDEX holes_by_size ON holes (size)",
    """CREATE TRIGGER freed AFTER DELETE ON blocks WHEN old.at IS NOT NULL BEGIN
        INSERT INTO holes VALUES (old.at, old.size, (SELECT serial FROM totals));
        UPDATE holes SET size = size + coalesce((SELECT size FROM holes WHERE at = old.at + old.size), 0)
            WHERE at = old.at;
        DELETE FROM holes WHERE at = old.at + old.size;
        UPDATE holes SET since = (SELECT serial FROM totals),
                size = size + (SELECT size FROM holes WHERE at = old.at)
            WHERE at = (SELECT max(at) FROM holes WHERE at < old.at) AND at + size = old.at;
        DELETE FROM holes WHERE at = old.at
            AND EXISTS (SELECT 1 FROM holes WHERE at < old.at AND at + size > old.at ORDER BY at DESC LIMIT 1);
    END""",
    # An id may be given again once the last row is deleted: it is not sure then.
    """CREATE TRIGGER gone AFTER DELETE ON blocks BEGIN
        UPDATE totals SET sure = min(sure, (SELECT coalesce(max(id), 0) FROM blocks));
    END""",
)
_KEEPING = (
    # When blocks were put last, in seconds since 1970, apart from their rows, which are long. Without one: before that.
    "CREATE TABLE recent (id INTEGER PRIMARY KEY, put REAL NOT NULL)",
    "CREATE TRIGGER forgotten AFTER DELETE ON blocks BEGIN DELETE FROM recent WHERE id = old.id; END",
    "CREATE TABLE pins (id INTEGER PRIMARY KEY AUTOINCREMENT, cid BLOB NOT NULL UNIQUE, name TEXT NOT NULL)",
    # How often something was put, as the third format counted it.
    "ALTER TABLE totals ADD COLUMN puts INTEGER NOT NULL DEFAULT 0",
    # Work under way: what was put since then is kept, until the time given at most.
    "CREATE TABLE holds (id INTEGER PRIMARY KEY AUTOINCREMENT, since REAL NOT NULL, until REAL NOT NULL)",
)
_ROOM = (
    # When blocks were used last, in seconds since 1970; in which line for eviction they stand, if in one (see `sweep`);
    # and when they were fetched, if they were.
    "CREATE TABLE uses (id INTEGER PRIMARY KEY, at REAL NOT NULL, line INTEGER, fetched REAL)",
    "CREATE INDEX lines ON uses (line, at) WHERE line IS NOT NULL",
    "CREATE TRIGGER disused AFTER DELETE ON blocks BEGIN DELETE FROM uses WHERE id = old.id; END",
    # What pins lead to; the state says what is still to be done (see `marks`).
    """CREATE TABLE marks (multihash BLOB NOT NULL, codec INTEGER NOT NULL, state INTEGER,
        PRIMARY KEY (multihash, codec)) WITHOUT ROWID""",
    "CREATE INDEX marks_to_do ON marks (state) WHERE state IS NOT NULL",
    # The last pin that is marked, the last row that was looked at, and whether there are marks of pins that are gone.
    "ALTER TABLE totals ADD COLUMN marked INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE totals ADD COLUMN lined INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE totals ADD COLUMN stale INTEGER NOT NULL DEFAULT 0",
    "CREATE TRIGGER unpinned AFTER DELETE ON pins BEGIN UPDATE totals SET stale = 1; END",
    # An id may be given again once the last row is deleted: it is to be looked at then.
    """CREATE TRIGGER unlined AFTER DELETE ON blocks WHEN old.id > (SELECT coalesce(max(id), 0) FROM blocks) BEGIN
        UPDATE totals SET lined = min(lined, (SELECT coalesce(max(id), 0) FROM blocks));
    END""",
)
_STEPS = {2: _UPGRADE, 3: _KEEPING, 4: _ROOM}
_SETTINGS = (
    "PRAGMA synchronous = NORMAL",  # a commit survives the process; power loss: see DiskBlockstore.sync
    "PRAGMA fullfsync = ON",  # macOS: what is synced is on the medium
    f"PRAGMA journal_size_limit = {CHECKPOINT}",
    "PRAGMA secure_delete = OFF",  # some systems build SQLite to overwrite what is deleted
    "PRAGMA trusted_schema = OFF",
)


def open_store(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Return a connection for writing and one for reading; the store is made if there is nothing at *path*."""
    if not sqlite3.threadsafety:
        raise StoreError("this Python's SQLite was built without threads, which a store needs; use another build")
    try:
        if not path.exists():
            _create(path)
        _recognise(path)
        with ExitStack() as undo:
            writer = undo.enter_context(closing(connect(path, "rw", patience=PATIENCE)))
            _prepare(writer, path)
            reader = undo.enter_context(closing(connect(path, "ro", patience=PATIENCE)))
            _try(reader, path)
            recover(writer, path)
            writer.execute(
                "PRAGMA busy_timeout = 50"
            )  # milliseconds; what is more of PATIENCE, the writer waits itself
            undo.pop_all()
    except ERRORS as error:
        raise explain(error, path) from error
    except OSError as error:
        kind = StoreFull if error.errno == errno.ENOSPC else StoreError
        raise kind(f"{path} cannot be opened: {error.strerror or error}. Check path, permissions and room") from error
    return writer, reader


def connect(path: Path, mode: str, *, patience: float = 0.0) -> sqlite3.Connection:
    """Open *path*; *mode* is ``ro``, ``rw`` or ``rwc``. Transactions are begun by hand; any one thread may use it."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)
    connection.text_factory = bytes
    return connection


def file_bytes(path: Path) -> int:
    """Return the bytes that the store takes on the disk, with its log and its data."""
    return path.stat().st_size + _bytes(_log(path)) + _bytes(data_file(path))


def _create(path: Path) -> None:
    """Make an empty store under another name, then give it its own, unless somebody else was quicker."""
    if _log_bytes(path):
        raise StoreCorrupt(f"{path} is gone, but its log is there. Restore the file, or remove {_log(path).name}")
    if _bytes(data_file(path)):
        raise StoreCorrupt(f"{path} is gone, but its data is there. Restore it, or remove {data_file(path).name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with closing(connect(fresh, "rwc")) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE}")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            for statement in _TABLES + _UPGRADE + _KEEPING + _ROOM:
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):
            give_name(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def _recognise(path: Path) -> None:
    """Raise unless *path* holds a store that this version can use. It is opened for reading only."""
    if path.is_dir():
        raise NotAStore(f"{path} is a folder; name the file in it, for example {path / 'blocks.sqlite3'}")
    if path.stat().st_size == 0:  # SQLite would take it for a new database, and throw its log away
        if _log_bytes(path):
            raise StoreCorrupt(f"{path} was cut to nothing. Restore it, or remove it and {_log(path).name}")
        raise NotAStore(f"{path} is empty: no store, or one that was cut to nothing. Remove it to begin a new one")
    try:
        with closing(connect(path, "ro", patience=PATIENCE)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (page,) = connection.execute("PRAGMA page_size").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == _NOT_A_DATABASE:
            raise NotAStore(f"{path} is no block store, and was left as it is. Choose another path") from error
        raise
    if application != APPLICATION_ID:
        raise NotAStore(f"{path} is a database of another program, and was left as it is. Choose another path")
    if version > FORMAT:
        raise StoreError(f"{path} was made by a newer sessionctx (format {version}; this one knows {FORMAT}): upgrade")
    if path.stat().st_size % page and not _log_bytes(path):  # with a log, a crash may leave this, and is mended
        raise StoreCorrupt(f"{path} was cut in the middle of a page. Restore it from a copy, or remove it")


def _prepare(writer: sqlite3.Connection, path: Path) -> None:
    (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != b"wal":
        raise StoreError(f"{path}: this file system cannot hold a store (SQLite's WAL mode); choose a local disk")
    for setting in _SETTINGS:
        writer.execute(setting)
    (page,) = writer.execute("PRAGMA page_size").fetchone()
    writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT // page}")
    _upgrade(writer)


def _upgrade(writer: sqlite3.Connection) -> None:
    """Bring a store of an older format up to this one."""
    if writer.execute("PRAGMA user_version").fetchone() >= (FORMAT,):
        return
    writer.execute("BEGIN IMMEDIATE")
    with writer:
        (version,) = writer.execute("PRAGMA user_version").fetchone()  # somebody else may have been quicker
        for step in range(version + 1, FORMAT + 1):
            for statement in _STEPS[step]:
                writer.execute(statement)
        writer.execute(f"PRAGMA user_version = {max(version, FORMAT)}")


def _try(reader: sqlite3.Connection, path: Path) -> None:
    """Read a little of everything: enough to notice a cut file, too little to wait for."""
    tables = {name for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables >= {b"blocks", b"totals"} or reader.execute("SELECT blocks, bytes FROM totals").fetchone() is None:
        raise StoreCorrupt(f"{path} is a block store that lacks its tables. Restore it from a copy, or remove it")
    reader.execute("SELECT max(multihash) FROM blocks").fetchone()
    reader.execute("SELECT length(data) FROM blocks ORDER BY id DESC LIMIT 1").fetchone()
    reader.execute("PRAGMA busy_timeout = 0")  # from here on it is used in the trio thread, which must not wait


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _log_bytes(path: Path) -> int:
    return _bytes(_log(path))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

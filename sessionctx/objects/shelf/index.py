"""The index of a shelf: which objects there are, in an SQLite file. Blocking code, for one thread at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import attrs

from sessionctx.errors import NotAStore
from sessionctx.objects.shelf.rows import Blob, Row, packed, packed_blobs, unpacked, unpacked_blobs

_APPLICATION: Final = 0x73786F62  # "sxob"
_FORMAT: Final = 1
_SCHEMA: Final = """
create table objects (
    place text not null, key text not null, metadata text not null, created real not null, expires real,
    inline blob, blobs text not null, primary key (place, key)
) without rowid;
create index expiring on objects (expires) where expires is not null;
create table uploads (
    id text primary key, place text not null, key text not null, metadata text not null, begun real not null,
    length integer
) without rowid;
create table parts (
    upload text not null, number integer not null, etag text not null, modified real not null, blob text not null,
    size integer not null, primary key (upload, number)
) without rowid;
create table doomed (blob text primary key) without rowid;
"""
_COLUMNS: Final = "place, key, metadata, created, expires, inline, blobs"


@attrs.frozen(kw_only=True)
class Upload:
    """An upload that has begun and is no object yet."""

    id: str
    place: str
    key: str
    metadata: str
    begun: float
    length: int | None
    """Bytes that will come, of a resumable one; None of one in parts."""


@attrs.frozen(kw_only=True)
class Part:
    """A part of an upload that is here."""

    number: int
    etag: str
    modified: float
    blob: Blob


@attrs.define(eq=False)
class Index:
    """The tables. Each method is one transaction, or within that of `writing`."""

    _db: sqlite3.Connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the index at *path*, made if need be. :exc:`NotAStore` if something else is there."""
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        try:
            _prepare(db, path)
        except sqlite3.DatabaseError as error:
            db.close()
            raise NotAStore(f"{path} is no index of objects: {error}") from error
        except NotAStore:
            db.close()
            raise
        return cls(db)

    def close(self) -> None:
        """Close it."""
        self._db.close()

    @contextmanager
    def writing(self) -> Generator[None]:
        """Let all that is written in the block be seen at once, or nothing of it."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # --- objects

    def find(self, place: str, key: str, now: float) -> Row | None:
        """Return an object that has not expired."""
        found = self._db.execute(
            f"select {_COLUMNS} from objects where place = ? and key = ? and (expires is null or expires > ?)",  # noqa: S608
            (place, key, now),
        ).fetchone()
        return None if found is None else _row(found)

    def put(self, *rows: Row) -> None:
        """Put objects in place of what is there, whose content is doomed."""
        for row in rows:
            self._put(row)

    def _put(self, row: Row) -> None:
        self.remove(row.place, row.key)
        self._db.execute(
            f"insert into objects ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                row.place,
                row.key,
                packed(row.metadata),
                row.created,
                row.expires,
                row.inline,
                packed_blobs(row.blobs),
            ),
        )

    def remove(self, place: str, *keys: str) -> None:
        """Remove objects, whose content is doomed."""
        for key in keys:
            found = self._db.execute(
                "delete from objects where place = ? and key = ? returning blobs", (place, key)
            ).fetchone()
            if found is not None:
                self.doom(unpacked_blobs(found[0]))

    def expire_at(self, place: str, times: Mapping[str, float]) -> None:
        """Write down other times of expiry, by key."""
        self._db.executemany(
            "update objects set expires = ? where place = ? and key = ?",
            [(expires, place, key) for key, expires in times.items()],
        )

    def amend(self, row: Row) -> None:
        """Write down the metadata and expiry of an object anew, unless it was replaced meanwhile."""
        self._db.execute(
            "update objects set metadata = ?, expires = ? where place = ? and key = ? and created = ?",
            (packed(row.metadata), row.expires, row.place, row.key, row.created),
        )

    def expired(self, now: float, most: int) -> int:
        """Remove up to *most* objects that have expired; returns how many there were."""
        found = self._db.execute(
            "select place, key from objects where expires is not null and expires <= ? limit ?", (now, most)
        ).fetchall()
        for place, key in found:
            self.remove(place, key)
        return len(found)

    # --- content that nobody needs any more

    def doom(self, blobs: Iterable[Blob]) -> None:
        """Note content that is to be deleted: it is, even if the process ends before."""
        self._db.executemany("insert or ignore into doomed (blob) values (?)", [(blob.name,) for blob in blobs])

    def doomed(self, most: int) -> list[str]:
        """Return some of it."""
        return [name for (name,) in self._db.execute("select blob from doomed limit ?", (most,))]

    def gone(self, blobs: Iterable[str]) -> None:
        """Note that it was deleted; or that it is wanted now."""
        self._db.executemany("delete from doomed where blob = ?", [(name,) for name in blobs])

    # --- uploads

    def begin(self, upload: Upload) -> None:
        """Note an upload."""
        self._db.execute(
            "insert into uploads (id, place, key, metadata, begun, length) values (?, ?, ?, ?, ?, ?)",
            (upload.id, upload.place, upload.key, upload.metadata, upload.begun, upload.length),
        )

    def upload(self, name: str) -> Upload | None:
        """Return an upload."""
        found = self._db.execute(
            "select id, place, key, metadata, begun, length from uploads where id = ?", (name,)
        ).fetchone()
        if found is None:
            return None
        return Upload(id=found[0], place=found[1], key=found[2], metadata=found[3], begun=found[4], length=found[5])

    def add_part(self, upload: str, part: Part) -> None:
        """Note a part, in place of one of its number."""
        found = self._db.execute(
            "delete from parts where upload = ? and number = ? returning blob, size", (upload, part.number)
        ).fetchone()
        if found is not None:
            self.doom([Blob(*found)])
        self._db.execute(
            "insert into parts (upload, number, etag, modified, blob, size) values (?, ?, ?, ?, ?, ?)",
            (upload, part.number, part.etag, part.modified, part.blob.name, part.blob.size),
        )
        self.gone([part.blob.name])

    def parts(self, upload: str, after: int = 0, most: int = -1) -> list[Part]:
        """Return the parts of an upload behind the number *after*, in order."""
        found = self._db.execute(
            "select number, etag, modified, blob, size from parts where upload = ? and number > ? order by number"
            " limit ?",
            (upload, after, most),
        )
        return [Part(number=n, etag=etag, modified=at, blob=Blob(name, size)) for n, etag, at, name, size in found]

    def end(self, *uploads: str, kept: Iterable[Blob] = ()) -> None:
        """Forget uploads; of their parts those that are not *kept* are doomed."""
        names = {blob.name for blob in kept}
        for upload in uploads:
            self.doom(part.blob for part in self.parts(upload) if part.blob.name not in names)
            self._db.execute("delete from parts where upload = ?", (upload,))
            self._db.execute("delete from uploads where id = ?", (upload,))

    def abandoned(self, before: float, most: int) -> list[str]:
        """Return uploads that were begun *before* that time."""
        return [name for (name,) in self._db.execute("select id from uploads where begun < ? limit ?", (before, most))]


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")
    found = db.execute("pragma application_id").fetchone()[0], db.execute("pragma user_version").fetchone()[0]
    if found == (0, 0) and not db.execute("select count(*) from sqlite_schema").fetchone()[0]:
        db.executescript(
            f"begin immediate; {_SCHEMA} pragma application_id = {_APPLICATION};"
            f" pragma user_version = {_FORMAT}; commit"
        )
    elif found != (_APPLICATION, _FORMAT):
        raise NotAStore(f"{path} is no index of objects that this version can read")


def _row(found: tuple[str, str, str, float, float | None, bytes | None, str]) -> Row:
    place, key, metadata, created, expires, inline, blobs = found
    return Row(
        place=place,
        key=key,
        metadata=unpacked(metadata),
        created=created,
        expires=expires,
        inline=inline,
        blobs=unpacked_blobs(blobs),
    )

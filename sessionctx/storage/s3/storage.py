"""Files in a bucket of S3, or of a server that speaks like it: Ceph, MinIO and others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Final, Self

import attrs
import trio

from sessionctx.errors import CannotDo, FileChanged, FileExists, NoSuchFile, SessionctxError
from sessionctx.storage.base import PLAIN, Can, Entry, Listing, Reader, Source, WriteOptions
from sessionctx.storage.paths import checked
from sessionctx.storage.s3 import copying, deleting
from sessionctx.storage.s3.client import Ask, Client, complaint_of
from sessionctx.storage.s3.conditions import Conditions
from sessionctx.storage.s3.crew import crew
from sessionctx.storage.s3.journal import Journal
from sessionctx.storage.s3.listing import Folder, Pages
from sessionctx.storage.s3.location import Location
from sessionctx.storage.s3.multipart import Upload
from sessionctx.storage.s3.objects import entry_of
from sessionctx.storage.s3.pace import ENOUGH, Pace
from sessionctx.storage.s3.parts import LARGEST, PART, SMALLEST
from sessionctx.storage.s3.reading import Download
from sessionctx.storage.s3.writing import Writing

CAN: Final = Can(
    folders=False,
    copy=True,
    if_absent=True,
    if_version=True,
    metadata=True,
    batch_delete=deleting.BATCH,
    sorted=True,
    best_in_flight=8,
    best_part=PART,
    pipelined=True,
)


@attrs.frozen(kw_only=True)
class Sizes:
    """In what portions files come and go."""

    single: int = attrs.field(default=5_000_000, validator=attrs.validators.in_(range(LARGEST + 1)))
    """Bytes up to which a file is written in one request: 5 MB."""
    part: int = attrs.field(default=PART, validator=attrs.validators.in_(range(SMALLEST, LARGEST + 1)))
    """Bytes of the parts of a larger one, unless there would be over 10,000; and of ranges that are read."""
    at_once: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    """Parts, or ranges, of one file that are on their way at a time."""
    enough: float = attrs.field(default=ENOUGH, validator=attrs.validators.gt(0))
    """Bytes per second of one stream that are enough: only of a slower one, ranges are read beside it."""


@attrs.define(eq=False)
class S3Storage:
    """A bucket, or a folder in one. Open it with `open_storage`."""

    _location: Location
    _client: Client
    _conditions: Conditions
    _sizes: Sizes
    _journal: Journal | None = None

    @property
    def url(self) -> str:
        """The root, with the keys if they were given in it: never show it."""
        return self._location.url

    @property
    def public(self) -> str:
        """The root without keys."""
        return self._location.public

    @property
    def endpoint(self) -> str:
        """The server."""
        return self._client.place.endpoint

    @property
    def can(self) -> Can:
        """What it can do, as far as is known: see `Conditions`."""
        heeds = self._client.profile.conditional_put is not False
        return attrs.evolve(CAN, if_absent=heeds, if_version=heeds, best_part=self._sizes.part)

    @property
    def _root(self) -> str:
        return f"{self._location.prefix}/" if self._location.prefix else ""

    def _key(self, path: str) -> str:
        return self._root + checked(path)

    async def stat(self, path: str = "") -> Entry:
        """Return what *path* is: a folder is whatever files are below."""
        key = self._key(path)
        absent: NoSuchFile | None = None
        if path:
            try:
                answer = await self._client.call(Ask(method="HEAD", key=key, path=path))
                return entry_of(path, answer.headers)
            except NoSuchFile as error:
                absent = error
        if not await self._is_folder(path) and absent is not None:
            raise absent
        return Entry(path=path, kind="folder")

    async def _is_folder(self, path: str) -> bool:
        folder = Folder(root=self._root, prefix=f"{path}/" if path else "", recursive=True, after=None, page=1)
        page = await self._client.call(Ask(method="GET", path=path, query=folder.query(None), part=bool(path)))
        return any(kind == "Contents" for kind, _ in page.document.records)

    @asynccontextmanager
    async def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AsyncGenerator[Reader]:
        """Read a file. Of a large one several ranges come at a time, and are handed out in order."""
        key = self._key(path)
        if not path:
            raise NoSuchFile(f"{self.public}: the root is a folder", storage=self.public, path=path)
        async with crew(wait=False) as tasks:
            download = Download(
                client=self._client,
                key=key,
                path=path,
                part=self._sizes.part,
                at_once=self._sizes.at_once,
                crew=tasks,
                start=offset,
                end=None if length is None else offset + length,
                version=version,
                pace=Pace(self._sizes.enough),
            )
            reader: Reader = download
            try:
                if length == 0:
                    reader = await self._nothing(path, version)
                else:
                    await download.begin()
            except SessionctxError as error:
                if complaint_of(error).status != 416:
                    raise
                reader = await self._nothing(path, version)
            yield reader

    async def _nothing(self, path: str, version: str | None) -> Reader:
        """Return a reader of no byte of *path*."""
        entry = await self.stat(path)
        if entry.kind != "file":
            raise NoSuchFile(f"{self.public}: {path} is a folder", storage=self.public, path=path)
        if version not in {None, entry.version}:
            raise FileChanged(f"{self.public}: {path} is not version {version}", storage=self.public, path=path)
        return _Nothing(entry)

    async def write(
        self, path: str, source: Source, *, size_hint: int | None = None, options: WriteOptions = PLAIN
    ) -> Entry:
        """Write a file. One that is written in parts is taken back if it does not come to its end."""
        self._check_file(path)
        writing = Writing(
            client=self._client,
            conditions=self._conditions,
            key=self._key(path),
            path=path,
            options=options,
            single=self._sizes.single,
            part=self._sizes.part,
            at_once=self._sizes.at_once,
            journal=self._journal,
        )
        return await writing.write(source, size_hint)

    @asynccontextmanager
    async def list(
        self, prefix: str = "", *, recursive: bool = False, after: str | None = None
    ) -> AsyncGenerator[Listing]:
        """List a folder; the keys of a bucket that are no paths come with a *problem*."""
        below = f"{checked(prefix)}/" if prefix else ""
        async with crew(wait=False) as tasks:
            folder = Folder(root=self._root, prefix=below, recursive=recursive, after=after)
            pages = Pages(self._client, folder, tasks)
            await pages.begin()
            yield pages

    async def delete(self, path: str) -> None:
        """Delete a file."""
        self._check_file(path)
        await deleting.delete(self._client, self._root, path)

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Delete many, a thousand in a request."""
        return await deleting.delete_many(self._client, self._root, paths)

    async def mkdir(self, path: str) -> None:
        """Do nothing: a folder is there as soon as something is in it."""
        checked(path)
        await trio.lowlevel.checkpoint()

    async def rename(self, source: str, target: str) -> None:  # noqa: ARG002
        """Refuse it: S3 cannot."""
        await trio.lowlevel.checkpoint()
        raise CannotDo(f"{self.public}: S3 does not rename; copy, then delete", storage=self.public, path=source)

    async def copy(self, source: str, target: str) -> Entry:
        """Copy a file on the server."""
        self._check_file(target)
        entry = await self.stat(source)
        if entry.kind != "file":
            raise NoSuchFile(f"{self.public}: {source} is a folder", storage=self.public, path=source)
        return await copying.copy(self._client, self._key(source), self._key(target), entry, target)

    async def sweep(self) -> int:
        """Take back the uploads in the journal whose writers are gone; return how many those were."""
        await trio.lowlevel.checkpoint()
        place, swept = self._client.place, 0
        if self._journal is not None:
            for note in await self._journal.abandoned(place.endpoint, place.bucket):
                record = note.record
                path = record.key.removeprefix(self._root)
                swept += await Upload(self._client, record.key, path, record.id, record.checksums, note=note).abort()
        return swept

    def _check_file(self, path: str) -> None:
        if not checked(path):
            raise FileExists(f"{self.public}: the root is a folder", storage=self.public, path=path)


class _Nothing:
    """A reader that has come to its end."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        raise StopAsyncIteration

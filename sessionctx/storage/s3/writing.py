"""Writing: what is small in one request, the rest in parts of which several are on their way, whole or not at all."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import attrs
import trio

from sessionctx.errors import BadRequest, CannotDo, FileChanged, FileExists, NoSuchFile, NotOffered, SessionctxError
from sessionctx.storage.base import Entry, Source, WriteOptions
from sessionctx.storage.s3.checksums import OURS
from sessionctx.storage.s3.client import Ask, Client, complaint_of
from sessionctx.storage.s3.conditions import Conditions
from sessionctx.storage.s3.crew import crew
from sessionctx.storage.s3.gathering import Gathering, Part
from sessionctx.storage.s3.journal import Journal, Record
from sessionctx.storage.s3.multipart import Upload, begin, known_parts
from sessionctx.storage.s3.objects import checksum_header, guards_of, headers_of, version_of
from sessionctx.storage.s3.parts import LARGEST, MOST, MOST_PARTS, at_once, next_size, part_size
from sessionctx.storage.source import length_of

_REFUSED: Final = frozenset({"InvalidRequest", "InvalidArgument", "NotImplemented", "XAmzContentSHA256Mismatch"})
"""Codes of servers that do not know a checksum that they are told."""


@attrs.frozen(kw_only=True)
class Writing:
    """One file that is to be written."""

    client: Client
    conditions: Conditions
    key: str
    path: str
    options: WriteOptions
    single: int
    """Bytes up to which it goes in one request."""
    part: int
    at_once: int
    """Parts that are on their way at a time."""
    journal: Journal | None = None

    async def write(self, source: Source, size_hint: int | None) -> Entry:
        """Write it; see `Backend.write`."""
        size = length_of(source)
        expected = size or size_hint or 0
        if expected > MOST:
            raise self._cannot(f"S3 takes no file over {MOST} bytes")
        gathering, first = Gathering.of(source), Part()
        with self._explained():
            if self._guards:
                await self.conditions.check_put()
            await gathering.fill(first, self.single + 1)
            if not gathering.ended and self._guards and not await self.conditions.heeded_by_complete():
                if size is None or size > LARGEST:
                    raise self._cannot("this server heeds no conditions on files that are sent in parts")
                await gathering.fill(first, size + 1)
            if gathering.ended:
                return self._entry(first.length, await self._put(first))
            return await self._in_parts(gathering, first, expected)

    async def _put(self, part: Part) -> str | None:
        """Send it whole."""

        async def put(told: dict[str, str]) -> str | None:
            headers = headers_of(self.options) | self._guards | told
            ask = Ask(method="PUT", key=self.key, path=self.path, headers=headers, body=part.body, size=part.length)
            answer = await self.client.call(ask, safe=not self._guards)
            return version_of(answer.headers.get("etag"))

        if not self.client.profile.checksums:
            return await put({})
        try:
            return await put({checksum_header(OURS): part.crc.text})
        except (BadRequest, NotOffered) as error:
            if not _about_checksums(error):
                raise
            version = await put({})
        self.client.profile.checksums = False
        return version

    async def _in_parts(self, gathering: Gathering, first: Part, expected: int) -> Entry:
        upload = await self._resumed() or await self._begin()
        try:
            await self._note(upload)
            await self._send_all(upload, gathering, first, expected)
            version = await upload.complete(self._guards)
        except BaseException as error:
            if not await upload.abort():
                error.add_note(f"what was sent of {self.path} is still at {self.client.public}, as upload {upload.id}")
            raise
        return self._entry(sum(part.length for part in upload.sent.values()), version)

    async def _resumed(self) -> Upload | None:
        """Return an upload that was begun by a writer which is gone, with the parts that are there."""
        place, resumed = self.client.place, None
        if self.journal is None:
            return None
        for note in await self.journal.abandoned(place.endpoint, place.bucket, self.key):
            record = note.record
            upload = Upload(self.client, self.key, self.path, record.id, record.checksums, note=note)
            if resumed is not None or record.headers != headers_of(self.options):
                await upload.abort()
                continue
            try:
                upload.there = await known_parts(upload)
            except NoSuchFile:
                note.strike()
                continue
            except BaseException:
                note.leave()
                raise
            resumed = upload
        return resumed

    async def _note(self, upload: Upload) -> None:
        if self.journal is not None and upload.note is None:
            place = self.client.place
            record = Record(
                place.endpoint, place.bucket, self.key, upload.id, headers_of(self.options), upload.checksums
            )
            upload.note = await self.journal.note(record)

    async def _begin(self) -> Upload:
        headers = headers_of(self.options)
        if not self.client.profile.checksums:
            return await begin(self.client, self.key, self.path, headers, checksums=False)
        try:
            return await begin(self.client, self.key, self.path, headers, checksums=True)
        except (BadRequest, NotOffered) as error:
            if not _about_checksums(error):
                raise
            upload = await begin(self.client, self.key, self.path, headers, checksums=False)
        self.client.profile.checksums = False
        return upload

    async def _send_all(self, upload: Upload, gathering: Gathering, part: Part, expected: int) -> None:
        """Send part after part, in as many tasks as memory and the line have room for."""
        least, gone, number, line = max(self.part, part.length), 0, 1, Line()
        async with crew(wait=True) as tasks:
            while not gathering.ended or part.length:
                size = part_size(expected, least) if gone < expected else next_size(gone, least)
                await gathering.fill(part, size)
                if not part.length:
                    break
                await line.wait_for_room(at_once(size, self.at_once))
                if number > MOST_PARTS:
                    raise self._cannot(f"it is much larger than the {expected} bytes that were expected")
                line.add()
                tasks.start(line.run, upload, number, part)
                gone, number, part = gone + part.length, number + 1, Part()

    def _entry(self, size: int, version: str | None) -> Entry:
        options = self.options
        return Entry(
            path=self.path,
            size=size,
            version=version,
            content_type=options.content_type,
            metadata=dict(options.metadata),
        )

    @property
    def _guards(self) -> dict[str, str]:
        return guards_of(self.options, bare=self.client.profile.bare_etags)

    def _cannot(self, why: str) -> CannotDo:
        return CannotDo(f"{self.client.public}: {self.path}: {why}", storage=self.client.public, path=self.path)

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Let the error of a condition that did not hold say which."""
        try:
            yield
        except (FileChanged, NoSuchFile) as error:
            if not self._guards or complaint_of(error).code in {"NoSuchBucket", "NoSuchUpload"}:
                raise
            where, public = f"{self.client.public}: {self.path}", self.client.public
            if self.options.if_version is not None:
                text = f"{where} is not version {self.options.if_version} any more"
                raise FileChanged(text, storage=public, path=self.path) from error
            raise FileExists(f"{where} is there already", storage=public, path=self.path) from error


@attrs.define(eq=False)
class Line:
    """The parts of an upload that are on their way."""

    _count: int = 0
    _freed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def wait_for_room(self, most: int) -> None:
        """Wait until fewer than *most* are."""
        while self._count >= most:
            await self._freed.park()

    def add(self) -> None:
        """One more is."""
        self._count += 1

    async def run(self, upload: Upload, number: int, part: Part) -> None:
        """Send one; to be started in a task."""
        await upload.send(number, part)
        self._count -= 1
        self._freed.unpark()


def _about_checksums(error: SessionctxError) -> bool:
    """Whether the server may have failed at the checksum that it was told."""
    return isinstance(error, NotOffered) or complaint_of(error).code in _REFUSED
